"""Payment requests: made by steps and by hand, charged, and paid as a whole."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin, begin_worker
from libs.money import Money
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.dunning import Campaign, NothingDue
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.payment import PaymentExceedsDue, PaymentMethod
from services.invoicing.operations import dunning, paying, reading
from services.invoicing.store import payment_methods
from services.invoicing.store.dunning import count_dunned, find_dunned
from tests.store.invoicing.steps import NOW, finalized
from tests.store.invoicing.test_payments import record, subjects

OVERDUE = NOW + timedelta(days=1)  # Due on the day of NOW, in UTC.
STEPS = Campaign((2, 5), {"USD": 150})


def command() -> Request:
    return Request("method", uuid4(), b"digest")


async def overdue(engine: AsyncEngine, tenant: Tenant, count: int) -> list[Invoice]:
    """Finalize so many invoices over a dollar, and let them fall overdue."""
    made = [await finalized(engine, tenant, 100) for _ in range(count)]
    await paying.mark_overdue(engine, tenant, [one.invoice_id for one in made], now=OVERDUE)
    return made


async def requested(engine: AsyncEngine, tenant: Tenant) -> list[tuple[int, int, int]]:
    """Return step, amount and what is due of the payment requests, oldest first."""
    found = await dunning.list_requests(engine, tenant, customer_id="c1", before=None, limit=9)
    return [(one.step, one.amount.amount_minor, one.due_minor) for _, one in reversed(found)]


async def test_steps_ask_once_each_for_all_that_is_overdue_and_charge_it(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    await dunning.set_campaign(engine, tenant, command(), STEPS, now=NOW)
    first, second = await overdue(engine, tenant, 2)
    method = PaymentMethod("c1", "stripe", "cus_1", "pm_1")
    async with begin(engine, tenant) as conn:
        await payment_methods.save_method(conn, tenant, method)
    for days in (1, 2, 2, 3, 9, 10):
        now = NOW + timedelta(days=days)
        await dunning.dun(engine, tenant, "c1", "USD", now=now)
        if days == 3:  # What is left is below the threshold.
            await record(engine, tenant, first.invoice_id, 100)
    assert await requested(engine, tenant) == [(1, 200, 100)]
    left = await reading.get_invoice(engine, tenant, invoice_id=second.invoice_id)
    assert left.receivable and left.receivable.charge_at == NOW + timedelta(days=2)
    assert (left.receivable.dunning_step, left.receivable.dun_at) == (2, None)
    async with begin_worker(worker) as conn:
        assert (tenant, "c1", "USD") not in await find_dunned(conn, now=now, limit=99)


async def test_steps_that_came_meanwhile_ask_once_and_a_new_campaign_looks_at_what_is_overdue(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    await overdue(engine, tenant, 2)
    await dunning.dun(engine, tenant, "c1", "USD", now=OVERDUE)  # There is no campaign yet.
    later = NOW + timedelta(days=8)
    await dunning.set_campaign(engine, tenant, command(), STEPS, now=later)
    async with begin_worker(worker) as conn:
        assert (tenant, "c1", "USD") in await find_dunned(conn, now=later, limit=99)
        assert (await count_dunned(conn, now=later))[0] >= 2
    for _ in range(2):
        await dunning.dun(engine, tenant, "c1", "USD", now=later)
    assert await requested(engine, tenant) == [(2, 200, 200)]


async def test_money_for_a_payment_request_pays_its_invoices_in_their_order(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    with pytest.raises(NothingDue):
        due = await finalized(engine, tenant, 100)  # But not overdue.
        await dunning.create_request(engine, tenant, command(), "c1", "USD", all_due=False, now=NOW)
    every = await dunning.create_request(
        engine, tenant, command(), "c1", "USD", all_due=True, now=NOW
    )
    assert [one.number for one in every.payment_request.invoices] == [due.number]
    await record(engine, tenant, due.invoice_id, 100)
    first, second = await overdue(engine, tenant, 2)
    asked = await dunning.create_request(
        engine, tenant, command(), "c1", "USD", all_due=False, now=OVERDUE
    )
    request_id = UUID(asked.payment_request.payment_request_id)
    await record(engine, tenant, first.invoice_id, 30)

    async def pay(amount_minor: int, *, by: Request) -> int:
        money = Money("USD", amount_minor)
        paid = await dunning.pay_request(
            engine, tenant, by, request_id, money, "wire 9", now=OVERDUE
        )
        return paid.payment_request.due_minor

    with pytest.raises(PaymentExceedsDue, match="170 due; 171"):
        await pay(171, by=command())
    assert await pay(90, by=command()) == 80  # The first one, and 20 of the second.
    once = command()
    assert [await pay(80, by=once) for _ in range(2)] == [0, 0]
    for one in (first, second):
        found = await reading.get_invoice(engine, tenant, invoice_id=one.invoice_id)
        assert found.payment_status == "succeeded"
    assert (await subjects(engine, tenant)).count("InvoicePaid") == 3
    assert await requested(engine, tenant) == [(0, 100, 0), (0, 200, 0)]
