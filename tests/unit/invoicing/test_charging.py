"""What becomes of a charge, whatever is told of it in which order, and when it is tried again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from libs.money import Money
from services.invoicing.domain.charging import (
    Notice,
    Outcome,
    ProviderEvent,
    after_dispute,
    after_outcome,
    begin_charge,
    next_attempt,
    retries_of,
)
from services.invoicing.domain.invoice import Kind
from services.invoicing.domain.payment import Payment, PaymentStatus, Receivable
from services.invoicing.operations.stripe_provider import read_message, stripe_amount
from services.invoicing.settings import read_retry_days

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = (1, 3, 5, 7)
ASKED = Receivable(invoice_id=uuid4(), total_minor=100, paid_minor=30, charge_at=NOW)
CHARGING = begin_charge(ASKED)
PAYMENT = Payment(
    payment_id=uuid4(),
    invoice_id=ASKED.invoice_id,
    invoice_number="INV-1",
    customer_id="c1",
    amount=Money("USD", 70),
    status=PaymentStatus.PROCESSING,
    provider="stripe",
    reference="",
    received_at=None,
    attempt=1,
    failure_code="",
    created_at=NOW,
)
SUCCEEDED = Outcome(PaymentStatus.SUCCEEDED, "pi_1")
FAILED = Outcome(PaymentStatus.FAILED, "pi_1", "insufficient_funds")
PROCESSING = Outcome(PaymentStatus.PROCESSING, "pi_1")


def test_a_failed_charge_is_tried_again_after_one_three_five_and_seven_days() -> None:
    waits = [next_attempt(DAYS, attempts, now=NOW) for attempts in range(1, 6)]
    assert [at and (at - NOW).days for at in waits] == [1, 3, 5, 7, None]
    assert next_attempt((), 1, now=NOW) is None


def test_all_that_is_payable_is_charged_and_can_be_paid_in_no_other_way_meanwhile() -> None:
    assert (CHARGING.charging_minor, CHARGING.attempts, CHARGING.charge_at) == (70, 1, None)
    assert (CHARGING.due_minor, CHARGING.payable_minor) == (70, 0)


def test_money_that_is_there_stays_whatever_is_told_later() -> None:
    after = after_outcome(CHARGING, PAYMENT, SUCCEEDED, DAYS, now=NOW)
    assert after is not None
    paid, payment = after
    assert (paid.due_minor, paid.charging_minor, payment.received_at) == (0, 0, NOW)
    for told in (SUCCEEDED, FAILED, PROCESSING):
        assert after_outcome(paid, payment, told, DAYS, now=NOW) is None


def test_a_failure_is_told_once_and_money_may_still_come_for_it() -> None:
    after = after_outcome(CHARGING, PAYMENT, FAILED, DAYS, now=NOW)
    assert after is not None
    failed, payment = after
    assert (failed.status, failed.charging_minor) == ("failed", 0)
    assert failed.charge_at == NOW + timedelta(days=1)
    assert payment.failure_code == "insufficient_funds"
    for told in (FAILED, PROCESSING):
        assert after_outcome(failed, payment, told, DAYS, now=NOW) is None
    late = after_outcome(failed, payment, SUCCEEDED, DAYS, now=NOW)
    assert late is not None
    assert (late[0].status, late[0].charge_at, late[1].failure_code) == ("succeeded", None, "")


def test_a_charge_that_is_being_worked_on_is_noted_once() -> None:
    after = after_outcome(CHARGING, PAYMENT, PROCESSING, DAYS, now=NOW)
    assert after is not None
    assert (after[0], after[1].reference) == (CHARGING, "pi_1")
    assert after_outcome(*after, PROCESSING, DAYS, now=NOW) is None


def event(notice: Notice, at: datetime) -> ProviderEvent:
    return ProviderEvent(notice, "pi_1", at, None, None)


def test_news_of_a_dispute_go_by_their_own_time() -> None:
    later = NOW + timedelta(seconds=1)
    paid = replace(PAYMENT, status=PaymentStatus.SUCCEEDED, received_at=NOW)
    disputed = after_dispute(paid, event(Notice.DISPUTED, NOW))
    assert disputed and disputed.disputed
    assert after_dispute(disputed, event(Notice.DISPUTED, NOW)) is None
    for at in (NOW, later):
        won = after_dispute(disputed, event(Notice.DISPUTE_WON, at))
        assert won and not won.disputed
        assert after_dispute(won, event(Notice.DISPUTED, NOW)) is None
    refunded = after_dispute(paid, event(Notice.REFUNDED, NOW))
    assert refunded and refunded.disputed


@pytest.mark.parametrize(
    ("currency", "minor", "expected"),
    [
        ("USD", 1050, 1050),
        ("JPY", 5, 5),
        ("KWD", 1230, 1230),
        ("MGA", 500, 5),
        ("MGA", 550, None),
        ("UGX", 5, 500),
    ],
)
def test_amounts_are_told_to_stripe_in_its_own_units(
    currency: str, minor: int, expected: int | None
) -> None:
    assert stripe_amount(Money(currency, minor)) == expected


def test_messages_about_something_else_tell_nothing() -> None:
    about = {"id": "cus_1", "object": "customer"}
    other = {"type": "customer.created", "created": 1, "data": {"object": about}}
    assert read_message(other) is None


def test_retries_are_set_by_days_or_none() -> None:
    name = "INVOICING_RETRY_DAYS"
    assert read_retry_days({}) == (1, 3, 5, 7)
    assert read_retry_days({name: "2, 4"}) == (2, 4)
    assert read_retry_days({name: "none"}) == ()
    for wrong in ("0", "1;2", "61", "x"):
        with pytest.raises(SystemExit, match=name):
            read_retry_days({name: wrong})


def test_what_buys_prepaid_credits_is_charged_once() -> None:
    assert retries_of(Kind.SUBSCRIPTION, DAYS) == DAYS
    assert retries_of(Kind.CREDIT_PURCHASE, DAYS) == ()
