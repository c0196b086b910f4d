"""Numbers have no gaps and no repeats, whoever finalizes at once and whatever is rolled back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Credit, Invoice, Status
from services.invoicing.domain.numbering import Place
from services.invoicing.domain.party import (
    BillingEntity,
    Customer,
    Numbering,
    NumberPrefixTaken,
    ZeroInvoices,
)
from services.invoicing.operations import finalizing, reading
from services.invoicing.operations.drafting import DuePeriods, draft_periods
from services.invoicing.operations.finalizing import Priced
from services.invoicing.store import entities, parties, series
from tests.store.invoicing.steps import NOW, complete_one, finalized, frozen, newest
from tests.unit.invoicing.samples import amount_fee, rated


class Died(Exception):
    """What a finalizer was doing is lost."""


async def set_entity(engine: AsyncEngine, tenant: Tenant, entity: BillingEntity) -> None:
    async with begin(engine, tenant) as conn:
        await entities.save_entity(conn, tenant, entity)


async def every(engine: AsyncEngine, tenant: Tenant) -> list[Invoice]:
    found = await reading.list_invoices(
        engine, tenant, customer_id="", status=None, before=None, limit=100
    )
    return [invoice for _, invoice in found]


async def test_concurrent_finalizations_neither_skip_nor_repeat(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    customers = [f"c{place}" for place in range(12)]
    await asyncio.gather(*(finalized(engine, tenant, customer=one) for one in customers))
    numbers = [(await newest(engine, tenant, customer=one)).number for one in customers]
    assert sorted(numbers) == [f"INV-201401-{place:03}" for place in range(1, 13)]


async def test_numbers_have_no_gap_when_others_of_fifty_finalizers_die(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    """Some hold the next number when they die, and some die before."""
    billed = [rated([amount_fee(1)], period=place) for place in range(1, 51)]
    dues = [
        DuePeriods(f"c{place}", "USD", NOW, "UTC", ((one.period_id, one.period),))
        for place, one in enumerate(billed)
    ]
    async with begin(engine, tenant) as conn:
        await draft_periods(conn, tenant, dues, now=NOW)
    ids_of = {one.customer_id: one.invoice_id for one in await every(engine, tenant)}
    ids = [ids_of[due.customer_id] for due in dues]
    await finalizing.claim(engine, tenant, ids)
    priced = [Priced(one, [period], [], "") for one, period in zip(ids, billed, strict=True)]
    await finalizing.freeze(engine, tenant, priced, now=NOW)

    async def finalize(place: int) -> None:
        if place % 3 == 0:
            with pytest.raises(Died):
                async with begin(engine, tenant) as conn:
                    taking = Place("default", f"c{place}")
                    await series.take_sequences(conn, tenant, [taking])
                    raise Died
        if place % 3 == 1:
            too_much = Credit(uuid4(), uuid4(), uuid4(), 2, False)
            with pytest.raises(IntegrityError):
                await complete_one(engine, tenant, ids[place], [too_much])
        await complete_one(engine, tenant, ids[place])

    await asyncio.gather(*(finalize(place) for place in range(50)))
    numbers = sorted(one.number for one in await every(engine, tenant))
    assert numbers == [f"INV-201401-{place:03}" for place in range(1, 51)]


async def test_each_billing_entity_has_series_of_its_own_and_self_billed_ones_none(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    async with begin(engine, tenant) as conn:
        await entities.create_entity(conn, tenant, BillingEntity(code="two", number_prefix="E-2"))
        for customer, code, own in (("c1", "", False), ("c2", "two", False), ("c3", "two", True)):
            profile = Customer(customer_id=customer, entity_code=code, self_billed=own)
            await parties.save_customer(conn, tenant, profile, now=NOW)
    numbers = [
        (await finalized(engine, tenant, customer=customer)).number
        for customer in ("c1", "c2", "c3", "c2", "c3", "c1")
    ]
    assert numbers == [
        "INV-201401-001",
        "E-2-201401-001",
        "E-2-003-001",
        "E-2-201401-002",
        "E-2-003-002",
        "INV-201401-002",
    ]


async def test_a_prefix_stays_that_of_the_entity_that_had_it(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await set_entity(engine, tenant, BillingEntity(number_prefix="NEW"))
    another = BillingEntity(code="two", number_prefix="INV")
    with pytest.raises(NumberPrefixTaken):
        async with begin(engine, tenant) as conn:
            await entities.create_entity(conn, tenant, another)
    await set_entity(engine, tenant, BillingEntity())
    assert (await finalized(engine, tenant)).number == "INV-201401-001"


async def test_two_finalizers_of_one_invoice_take_one_number(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    invoice_id = await frozen(engine, tenant, [rated([amount_fee(100)])])
    await asyncio.gather(*(complete_one(engine, tenant, invoice_id) for _ in range(4)))
    assert (await newest(engine, tenant)).number == "INV-201401-001"
    assert (await finalized(engine, tenant)).number == "INV-201401-002"


async def test_invoices_completed_together_take_their_numbers_in_order(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    customers = ["c2", "c1", "c2"]
    set_up = BillingEntity(number_prefix="B", numbering=Numbering.PER_CUSTOMER)
    await set_entity(engine, tenant, set_up)
    ids = [
        await frozen(engine, tenant, [rated([amount_fee(1)], period=place)], customer=customer)
        for place, customer in enumerate(customers, start=1)
    ]
    await complete_one(engine, tenant, ids[1])
    numbers = await finalizing.complete(engine, tenant, {one: [] for one in ids}, now=NOW)
    assert numbers == {ids[0]: "B-001-001", ids[2]: "B-001-002"}, "what is closed stays as it is"
    await set_entity(engine, tenant, replace(set_up, numbering=Numbering.PER_ENTITY))
    assert (await finalized(engine, tenant)).number == "B-201401-004"


async def test_a_rollback_gives_the_number_back(engine: AsyncEngine, tenant: Tenant) -> None:
    invoice_id = await frozen(engine, tenant, [rated([amount_fee(100)])])
    line_id = (await newest(engine, tenant)).lines[0].line_id
    too_much = Credit(line_id, uuid4(), uuid4(), 101, False)
    with pytest.raises(IntegrityError):
        await complete_one(engine, tenant, invoice_id, [too_much])
    assert (await newest(engine, tenant)).status is Status.FINALIZING
    assert (await finalized(engine, tenant, customer="c2")).number == "INV-201401-001"
    await complete_one(engine, tenant, invoice_id)
    assert (await newest(engine, tenant)).number == "INV-201401-002"


async def test_a_change_of_numbering_goes_on_without_a_gap(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    entity = BillingEntity(number_prefix="BENT1", numbering=Numbering.PER_CUSTOMER)
    await set_entity(engine, tenant, entity)
    numbers = [
        (await finalized(engine, tenant, customer=customer)).number
        for customer in ("c1", "c2", "c1")
    ]
    assert numbers == ["BENT1-001-001", "BENT1-002-001", "BENT1-001-002"]
    await set_entity(engine, tenant, replace(entity, numbering=Numbering.PER_ENTITY))
    assert (await finalized(engine, tenant, customer="c2")).number == "BENT1-201401-004"


async def test_a_skipped_invoice_takes_no_number(engine: AsyncEngine, tenant: Tenant) -> None:
    await set_entity(engine, tenant, BillingEntity(zero_invoices=ZeroInvoices.SKIP))
    skipped = await finalized(engine, tenant, 0)
    assert (skipped.status, skipped.number) == (Status.SKIPPED, "")
    assert (await finalized(engine, tenant, 1)).number == "INV-201401-001"


async def test_customers_are_counted_without_gaps_however_they_are_met(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    async def upsert(place: int) -> int:
        async with begin(engine, tenant) as conn:
            profile = Customer(customer_id=f"c{place % 4}", name="x")
            return (await parties.save_customer(conn, tenant, profile, now=NOW)).number

    async def meet(place: int) -> int:
        async with begin(engine, tenant) as conn:
            customer_id = f"c{place % 4}"
            known = await parties.open_customers(conn, tenant, {customer_id: "UTC"}, now=NOW)
            return known[customer_id].number

    both = [upsert(place) for place in range(8)] + [meet(place) for place in range(8)]
    assert set(await asyncio.gather(*both)) == {1, 2, 3, 4}


async def test_each_tenant_has_a_series_of_its_own(engine: AsyncEngine, tenant: Tenant) -> None:
    other = Tenant(tenant + 1_000_000)
    assert (await finalized(engine, tenant)).number == "INV-201401-001"
    assert (await finalized(engine, other)).number == "INV-201401-001"
