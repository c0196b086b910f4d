"""Invoices that were voided: what they took is given back, once."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from libs.period import Period
from services.wallet.domain.apply_credits import CreditLine, Invoice
from services.wallet.operations.paying import apply_credits, return_credits
from services.wallet.store.applications import InvoiceContentChanged
from tests.store.wallet.conftest import START, Counter
from tests.store.wallet.test_paying import HASH, an_invoice
from tests.store.wallet.test_verifying import checked


async def test_what_was_paid_comes_back_once_however_many_ask(counter: Counter) -> None:
    wallet_id = await counter.open()
    used_up = await counter.grant(wallet_id, 20, expires_at=START.replace(month=3))
    await counter.grant(wallet_id, 100)
    hold = await counter.hold(wallet_id, 30, subscription="s")
    await counter.capture(hold.hold.hold_id, 30)
    counter.clock.move(days=31)
    invoice = an_invoice(counter, [50], "s")
    paid = await apply_credits(counter.desk, invoice, HASH)
    assert await counter.standing(wallet_id) == (70, 0, 0)
    asked = [return_credits(counter.desk, invoice.invoice_id) for _ in range(4)]
    answers = await asyncio.gather(*asked)
    assert all(list(answer.credits) == list(paid.credits) for answer in answers)
    assert await counter.standing(wallet_id) == (120, 0, 0)
    [grant] = await counter.query(
        "SELECT kind, expires_at, available_minor FROM grants WHERE grant_id = :id", id=used_up
    )
    assert tuple(grant) == ("purchased", START.replace(month=3), 20)
    assert await counter.query("SELECT 1 FROM wallets WHERE due_at IS NULL") == []
    found, _ = await checked(counter)
    assert found == []


async def test_an_invoice_that_never_asked_cannot_be_paid_after_its_return(
    counter: Counter,
) -> None:
    wallet_id = await counter.filled(100)
    invoice = an_invoice(counter, [30])
    assert not (await return_credits(counter.desk, invoice.invoice_id)).credits
    with pytest.raises(InvoiceContentChanged):
        await apply_credits(counter.desk, invoice, HASH)
    assert await counter.standing(wallet_id) == (100, 0, 0)
    assert not (await return_credits(counter.desk, uuid4())).credits


async def test_a_lapsed_grant_lapses_again_as_of_the_void(counter: Counter) -> None:
    wallet_id = await counter.open()
    await counter.grant(wallet_id, 30, expires_at=START.replace(month=2))
    invoice = an_invoice(counter, [30])
    await apply_credits(counter.desk, invoice, HASH)
    # The wallet's own clock still stands a month before.
    await return_credits(counter.desk, invoice.invoice_id, as_of=START.replace(month=2))
    assert await counter.standing(wallet_id) == (0, 0, 0)
    assert (await counter.facts())[-1] == "CreditsExpired"


async def test_what_had_lapsed_pays_its_own_month_once_and_lapses_again_when_returned(
    counter: Counter,
) -> None:
    wallet_id = await counter.open()
    await counter.grant(wallet_id, 50, expires_at=START.replace(month=2))
    counter.clock.move(days=32)
    assert await counter.standing(wallet_id) == (0, 0, 0)
    invoices = [an_invoice(counter, [amount]) for amount in (30, 30)]
    paid = [await apply_credits(counter.desk, invoice, HASH) for invoice in invoices]
    assert [answer.total.amount_minor for answer in paid] == [30, 20]
    await return_credits(counter.desk, invoices[0].invoice_id)
    assert await counter.standing(wallet_id) == (0, 0, 0)
    third = await apply_credits(counter.desk, an_invoice(counter, [40]), HASH)
    assert third.total.amount_minor == 30
    february = Period(START.replace(month=2), START.replace(month=3))
    line = CreditLine(uuid4(), "usage", "calls", 9, february, "")
    late = Invoice(uuid4(), counter.customer_id, "USD", [line], [])
    assert not (await apply_credits(counter.desk, late, HASH)).credits
    found, _ = await checked(counter)
    assert found == []
