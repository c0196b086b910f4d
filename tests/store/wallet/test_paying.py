"""Invoices paid from wallets in the database: once, and traceable to grants."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import pytest

from libs.period import Period
from services.wallet.domain.apply_credits import CreditLine, Invoice, SettledPeriod
from services.wallet.operations.paying import apply_credits
from services.wallet.store.applications import InvoiceContentChanged
from tally.wallet.v1.wallet_service_pb2 import ApplyCreditsResponse
from tests.store.wallet.conftest import START, Counter

MONTH = Period(START, START.replace(month=2))
HASH, OTHER_HASH = b"1" * 32, b"2" * 32


async def test_an_invoice_is_paid_once_however_many_ask(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    invoice = an_invoice(counter, [30])
    answers = await asyncio.gather(*(apply_credits(counter.desk, invoice, HASH) for _ in range(8)))
    assert len({answer.SerializeToString(deterministic=True) for answer in answers}) == 1
    assert answers[0].total.amount_minor == 30
    assert await counter.standing(wallet_id) == (70, 0, 0)


async def test_a_repeat_gets_the_first_answer_though_the_wallet_has_changed(
    counter: Counter,
) -> None:
    wallet_id = await counter.filled(10)
    invoice = an_invoice(counter, [30])
    first = await apply_credits(counter.desk, invoice, HASH)
    await counter.grant(wallet_id, 500)
    assert await apply_credits(counter.desk, invoice, HASH) == first
    assert await counter.standing(wallet_id) == (500, 0, 0)


async def test_an_invoice_with_other_content_is_refused(counter: Counter) -> None:
    await counter.filled(100)
    invoice = an_invoice(counter, [30])
    await apply_credits(counter.desk, invoice, HASH)
    with pytest.raises(InvoiceContentChanged):
        await apply_credits(counter.desk, invoice, OTHER_HASH)


async def test_an_invoice_with_nothing_to_draw_keeps_its_empty_answer(counter: Counter) -> None:
    invoice = an_invoice(counter, [30])
    empty = await apply_credits(counter.desk, invoice, HASH)
    assert (len(empty.credits), empty.total.amount_minor, empty.total.currency_code) == (
        0,
        0,
        "USD",
    )
    await counter.filled(100)
    assert await apply_credits(counter.desk, invoice, HASH) == empty


async def test_captured_money_is_taken_first_and_the_rest_goes_back(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    hold = await counter.hold(wallet_id, 50, subscription="s")
    await counter.capture(hold.hold.hold_id, 20, final=False)
    await counter.capture(hold.hold.hold_id, 20)
    assert await counter.standing(wallet_id) == (60, 0, 40)
    counter.clock.move(days=31)
    answer = await apply_credits(counter.desk, an_invoice(counter, [30], "s"), HASH)
    assert drawn(answer) == [(30, True)]
    assert await counter.standing(wallet_id) == (70, 0, 0)
    again = await apply_credits(counter.desk, an_invoice(counter, [30], "s"), HASH)
    assert drawn(again) == [(30, False)]


async def test_a_last_invoice_without_a_line_gives_captured_money_back(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    hold = await counter.hold(wallet_id, 50, subscription="s")
    await counter.capture(hold.hold.hold_id, 20)
    counter.clock.move(days=31)
    answer = await apply_credits(counter.desk, an_invoice(counter, [], "s"), HASH)
    assert drawn(answer) == []
    assert await counter.standing(wallet_id) == (100, 0, 0)


async def test_what_is_paid_does_not_depend_on_who_learns_first_of_the_time(
    counter: Counter,
) -> None:
    lapsing = START.replace(month=2)
    wallet_id = await counter.filled(100)
    await counter.grant(wallet_id, 50, expires_at=lapsing)  # It would burn first.
    answer = await apply_credits(
        counter.desk, an_invoice(counter, [30]), HASH, as_of=lapsing
    )  # The wallet's own clock still stands a month before.
    assert answer.total.amount_minor == 30
    # It was in force in the month that is billed: it pays that, and nothing that began later.
    assert await counter.standing(wallet_id) == (100, 0, 0)


async def test_several_wallets_pay_together_and_each_debit_names_grant_and_line(
    counter: Counter,
) -> None:
    first = await counter.open(priority=1)
    second = await counter.open()
    grants = [await counter.grant(first, 10), await counter.grant(second, 100)]
    invoice = an_invoice(counter, [30])
    answer = await apply_credits(counter.desk, invoice, HASH)
    assert [(c.wallet_id, c.amount_minor) for c in answer.credits] == [
        (str(first), 10),
        (str(second), 20),
    ]
    rows = await counter.query(
        "SELECT u.grant_id, u.line_id, u.amount_minor FROM grant_uses u"
        " JOIN transactions t USING (tenant, transaction_id)"
        " WHERE t.reason = 'APPLY' AND t.reference = :invoice ORDER BY u.amount_minor",
        invoice=str(invoice.invoice_id),
    )
    line_id = invoice.lines[0].line_id
    assert [tuple(row) for row in rows] == [(grants[0], line_id, 10), (grants[1], line_id, 20)]


async def test_invoices_and_holds_that_race_share_what_there_is(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    invoices = [an_invoice(counter, [30]) for _ in range(3)]
    await asyncio.gather(
        *(apply_credits(counter.desk, invoice, HASH) for invoice in invoices),
        *(counter.hold(wallet_id, 10) for _ in range(5)),
        return_exceptions=True,
    )
    available, held, captured = await counter.standing(wallet_id)
    [revenue] = await counter.query(
        "SELECT sum(amount_minor) AS n FROM entries WHERE account = 'revenue'"
    )
    assert available + held + captured + revenue.n == 100
    assert available == 0


def an_invoice(counter: Counter, amounts: Sequence[int], subscription: str = "") -> Invoice:
    lines = [
        CreditLine(uuid4(), "usage", "calls", amount, MONTH, subscription) for amount in amounts
    ]
    settled = [SettledPeriod(subscription, MONTH)] if subscription else []
    return Invoice(uuid4(), counter.customer_id, "USD", lines, settled)


def drawn(answer: ApplyCreditsResponse) -> list[tuple[int, bool]]:
    return [(credit.amount_minor, credit.captured) for credit in answer.credits]
