"""Late usage of a closed period comes back as an adjustment, once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.operations import drafting
from services.invoicing.operations.drafting import ChangedUsage
from services.invoicing.operations.finalizing import Claim
from services.invoicing.store import parties
from tests.store.invoicing.steps import NOW, announce, claim_one, freeze_one, frozen, newest
from tests.unit.invoicing.samples import amount_fee, rated

DAY = timedelta(days=1)


async def late(
    engine: AsyncEngine, tenant: Tenant, period: int, *, version: int, currency: str = "USD"
) -> None:
    """Take the fact that a closed period's usage changed."""
    changed = ChangedUsage(UUID(int=period), "c1", currency, late_version=version, closed=True)
    async with begin(engine, tenant) as conn:
        await drafting.note_changed_usage(conn, tenant, [changed], now=NOW)


async def claimed(
    engine: AsyncEngine, tenant: Tenant, period: int, *, day: int = 0
) -> tuple[Claim, RatedPeriod]:
    """Draft a new invoice of 100 and claim it; return its claim and its period."""
    closed = rated([amount_fee(100)], period=period)
    await announce(engine, tenant, [closed], due_at=NOW + day * DAY)
    draft = await newest(engine, tenant)
    return await claim_one(engine, tenant, draft.invoice_id), closed


def sequences(claim: Claim) -> list[tuple[int, int]]:
    return [(one.period_id.int, one.sequence) for one in claim.adjustments]


async def test_the_next_invoice_takes_the_adjustment(engine: AsyncEngine, tenant: Tenant) -> None:
    await frozen(engine, tenant, [rated([amount_fee(100)], period=1)])
    await late(engine, tenant, 1, version=1)
    claim, closed = await claimed(engine, tenant, 2, day=30)
    assert sequences(claim) == [(1, 1)]
    difference = rated([amount_fee(40)], period=1, sequence=1, late_version=1)
    await freeze_one(
        engine, tenant, claim.invoice.invoice_id, closed=[closed], adjusted=[difference]
    )
    invoice = await newest(engine, tenant)
    assert invoice.subtotal_minor == 140
    assert [line.adjustment_sequence for line in invoice.lines] == [0, 1]
    claim, _ = await claimed(engine, tenant, 3, day=60)
    assert sequences(claim) == []


async def test_a_retry_asks_for_the_same_sequence(engine: AsyncEngine, tenant: Tenant) -> None:
    await late(engine, tenant, 1, version=1)
    claim, _ = await claimed(engine, tenant, 2)
    again = await asyncio.gather(
        *(claim_one(engine, tenant, claim.invoice.invoice_id) for _ in range(3))
    )
    assert [sequences(one) for one in again] == [[(1, 1)]] * 3


async def test_another_invoice_leaves_a_claimed_adjustment_alone(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await late(engine, tenant, 1, version=1)
    await claimed(engine, tenant, 2)
    other, _ = await claimed(engine, tenant, 3, day=1)
    assert sequences(other) == []


async def test_what_does_not_fit_waits_with_its_answer(engine: AsyncEngine, tenant: Tenant) -> None:
    await late(engine, tenant, 1, version=1)
    claim, closed = await claimed(engine, tenant, 2)
    too_much = rated([amount_fee(-130)], period=1, sequence=1, late_version=1)
    await freeze_one(engine, tenant, claim.invoice.invoice_id, closed=[closed], adjusted=[too_much])
    assert (await newest(engine, tenant)).subtotal_minor == 100
    await late(engine, tenant, 1, version=2)
    claim, _ = await claimed(engine, tenant, 3, day=1)
    assert sequences(claim) == [(1, 1), (1, 2)]
    assert claim.adjustments[0].rated == too_much
    assert claim.adjustments[1].rated is None


async def test_usage_that_an_adjustment_covers_is_not_asked_for_again(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await late(engine, tenant, 1, version=1)
    claim, closed = await claimed(engine, tenant, 2)
    covering = rated([amount_fee(5)], period=1, sequence=1, late_version=2)
    await freeze_one(engine, tenant, claim.invoice.invoice_id, closed=[closed], adjusted=[covering])
    await late(engine, tenant, 1, version=2)
    await late(engine, tenant, 1, version=1)
    assert sequences((await claimed(engine, tenant, 3, day=1))[0]) == []
    await late(engine, tenant, 1, version=3)
    assert sequences((await claimed(engine, tenant, 4, day=2))[0]) == [(1, 2)]


async def test_a_freeze_that_misses_an_adjustment_is_not_made(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    claim, closed = await claimed(engine, tenant, 2)
    await late(engine, tenant, 1, version=1)
    await claim_one(engine, tenant, claim.invoice.invoice_id)
    assert not await freeze_one(
        engine, tenant, claim.invoice.invoice_id, closed=[closed], adjusted=[]
    )


async def test_adjustments_keep_to_their_currency(engine: AsyncEngine, tenant: Tenant) -> None:
    await late(engine, tenant, 1, version=1, currency="EUR")
    assert sequences((await claimed(engine, tenant, 2))[0]) == []


async def test_usage_that_comes_too_late_is_ignored_and_a_command_is_not(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    period = rated([amount_fee(100)], period=1)
    await frozen(engine, tenant, [period])
    async with begin(engine, tenant) as conn:
        [known] = (await parties.find_customers(conn, tenant, ["c1"])).values()
        profile = replace(known.profile, late_usage_days=7)
        await parties.save_customer(conn, tenant, profile, now=NOW)

    async def late_after(days: int, *, version: int, commanded: bool = False) -> list[int]:
        now = period.period.end + days * DAY
        changed = ChangedUsage(
            period.period_id, "c1", "USD", version, closed=True, commanded=commanded
        )
        async with begin(engine, tenant) as conn:
            await drafting.note_changed_usage(conn, tenant, [changed], now=now)
            rows = await conn.execute(text("SELECT late_version FROM late_periods"))
            return list(rows.scalars())

    assert await late_after(8, version=1) == []
    assert await late_after(7, version=2) == [2]
    assert await late_after(8, version=3) == [2]
    assert await late_after(8, version=4, commanded=True) == [4]
