"""Charging invoices by a payment provider: what is asked, what it says, and when to try again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from libs.money import Money
from services.invoicing.domain.invoice import Kind
from services.invoicing.domain.payment import Payment, PaymentMethod, PaymentStatus, Receivable

RETRY_DAYS = (1, 3, 5, 7)
RETRY_DAYS_MAX = 60


@dataclass(frozen=True, slots=True)
class Charge:
    """What a provider is asked for. The same `key` is charged once, however often it comes."""

    tenant: int
    payment_id: UUID
    invoice_id: UUID
    amount: Money
    method: PaymentMethod
    attempt: int

    @property
    def key(self) -> str:
        """The idempotency key: one for each attempt to charge an invoice."""
        return f"tally-{self.tenant}-{self.invoice_id}-{self.attempt}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a provider says of a charge; `reference` is its id of it, `failure_code` its reason."""

    status: PaymentStatus
    reference: str
    failure_code: str = ""


class Notice(StrEnum):
    """What a provider tells on its own."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    DISPUTED = "disputed"  # The payer wants the money back, or has it: a chargeback.
    DISPUTE_WON = "dispute_won"  # It stays with us.
    REFUNDED = "refunded"


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """What a provider tells of one charge, `told_at` its time.

    `tenant` and `payment_id` are what the charge carries; where they are absent, the provider's
    `reference` names it.
    """

    notice: Notice
    reference: str
    told_at: datetime
    tenant: int | None
    payment_id: UUID | None
    failure_code: str = ""


def retries_of(kind: Kind, retry_days: Sequence[int]) -> Sequence[int]:
    """Return the waits between attempts to charge an invoice of that kind.

    Prepaid credits are tried once: who still wants them asks anew, as top-up rules do, and would
    else have them twice.
    """
    return () if kind is Kind.CREDIT_PURCHASE else retry_days


def next_attempt(retry_days: Sequence[int], attempts: int, *, now: datetime) -> datetime | None:
    """Return when to charge again after so many attempts, all failed; None: no more.

    With 1, 3, 5, 7 days the second attempt is a day after the first, the third three days after
    the second, and the fifth is the last.
    """
    if attempts > len(retry_days):
        return None
    return now + timedelta(days=retry_days[attempts - 1])


def begin_charge(receivable: Receivable) -> Receivable:
    """Return `receivable` while all that is payable of it is being charged."""
    return replace(
        receivable,
        charging_minor=receivable.payable_minor,
        attempts=receivable.attempts + 1,
        charge_at=None,
    )


def after_outcome(
    receivable: Receivable,
    payment: Payment,
    outcome: Outcome,
    retry_days: Sequence[int],
    *,
    now: datetime,
) -> tuple[Receivable, Payment] | None:
    """Return both after what a provider said of the payment; None: it says nothing new.

    Money that is there stays there: what came before it is told too late. Money may come for an
    attempt that was told to have failed.
    """
    amount = payment.amount.amount_minor
    told = replace(payment, status=outcome.status, reference=outcome.reference)
    before = payment.status
    charging = receivable.charging_minor - (amount if before is PaymentStatus.PROCESSING else 0)
    if before is PaymentStatus.SUCCEEDED:
        return None
    if outcome.status is PaymentStatus.SUCCEEDED:
        paid = replace(
            receivable,
            paid_minor=receivable.paid_minor + amount,
            charging_minor=charging,
            last_failed=False,
            charge_at=None,
        )
        return paid, replace(told, received_at=now, failure_code="")
    if before is PaymentStatus.FAILED:
        return None
    if outcome.status is PaymentStatus.PROCESSING:
        return (receivable, told) if payment.reference != outcome.reference else None
    failed = replace(
        receivable,
        charging_minor=charging,
        last_failed=True,
        charge_at=next_attempt(retry_days, payment.attempt, now=now),
    )
    return failed, replace(told, failure_code=outcome.failure_code or "declined")


def after_dispute(payment: Payment, event: ProviderEvent) -> Payment | None:
    """Return the payment after a dispute or refund was told; None: newer news are known.

    Of news of the same second, what ends a dispute wins: it can only have come last.
    """
    known = payment.dispute_told_at
    won = event.notice is Notice.DISPUTE_WON
    if known and (event.told_at < known or (event.told_at == known and not won)):
        return None
    return replace(payment, disputed=not won, dispute_told_at=event.told_at)
