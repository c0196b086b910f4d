"""Due periods gather on one draft, which shows what they cost until it is frozen."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import outbox
from libs.db import begin, begin_worker
from libs.tenant import Tenant
from services.invoicing.domain.invoice import SettledPeriod, Status
from services.invoicing.domain.party import BillingEntity, Customer
from services.invoicing.operations import drafting, finalizing, reading
from services.invoicing.operations.drafting import ChangedUsage, DuePeriods
from services.invoicing.store import entities, parties, taxes, work
from services.invoicing.store import invoices as store
from services.invoicing.store.work import Reference
from tests.store.invoicing.steps import (
    NOW,
    announce,
    claim_one,
    complete_one,
    freeze_one,
    frozen,
    newest,
)
from tests.unit.invoicing.samples import GST, amount_fee, base_fee, rated

HOUR = timedelta(hours=1)


async def invoice_count(engine: AsyncEngine, tenant: Tenant) -> int:
    found = await reading.list_invoices(
        engine, tenant, customer_id="", status=None, before=None, limit=100
    )
    return len(found)


async def stale(worker: AsyncEngine, tenant: Tenant) -> list[Reference]:
    """Return the tenant's drafts that wait for a refresh, an hour before they are due."""
    async with begin_worker(worker) as conn:
        found = await work.find_stale(conn, now=NOW - HOUR, limit=1_000)
    return [one for one in found if one[0] == tenant]


async def finalizable(worker: AsyncEngine, tenant: Tenant, now: datetime) -> list[Reference]:
    """Return the tenant's invoices that the finalizer would take at `now`."""
    async with begin_worker(worker) as conn:
        found = await work.find_finalizable(conn, now=now, limit=1_000)
    return [one for one in found if one[0] == tenant]


async def test_a_customer_met_in_a_fact_is_a_stub_with_its_zone(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await announce(engine, tenant, [rated([amount_fee(5)])])
    async with begin(engine, tenant) as conn:
        known = await parties.load_customer(conn, tenant, "c1")
    assert (known.profile.stub, known.profile.time_zone, known.number) == (True, "UTC", 1)
    draft = await newest(engine, tenant)
    assert (draft.status, draft.buyer.name, draft.time_zone) == (Status.DRAFT, "c1", "UTC")


async def test_later_periods_of_the_day_join_the_draft(engine: AsyncEngine, tenant: Tenant) -> None:
    first, second = rated([amount_fee(5)], period=1), rated([base_fee("1")], period=2)
    await announce(engine, tenant, [first])
    await announce(engine, tenant, [second], due_at=NOW + HOUR)
    assert await invoice_count(engine, tenant) == 1
    draft = await newest(engine, tenant)
    assert draft.finalize_at == NOW + HOUR
    work = await drafting.load_draft(engine, tenant, draft.invoice_id)
    assert work.period_ids == [first.period_id, second.period_id]


async def test_another_day_currency_or_customer_makes_another_draft(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    await announce(engine, tenant, [rated([], period=1)])
    await announce(engine, tenant, [rated([], period=2)], due_at=NOW + timedelta(days=1))
    await announce(engine, tenant, [rated([], period=3)], currency="EUR")
    await announce(engine, tenant, [rated([], period=4)], customer="c2")
    assert await invoice_count(engine, tenant) == 4


async def test_the_day_is_the_customers(engine: AsyncEngine, tenant: Tenant) -> None:
    async with begin(engine, tenant) as conn:
        profile = Customer(customer_id="c1", time_zone="Australia/Melbourne")
        await parties.save_customer(conn, tenant, profile, now=NOW)
    # 13:10Z on 31 January and 09:00Z on 1 February are both 1 February in Melbourne.
    await announce(engine, tenant, [rated([], period=1)])
    await announce(engine, tenant, [rated([], period=2)], due_at=NOW + 20 * HOUR)
    assert await invoice_count(engine, tenant) == 1
    assert (await newest(engine, tenant)).time_zone == "Australia/Melbourne"


async def test_a_period_that_is_billed_already_makes_no_draft(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    period = rated([amount_fee(5)])
    await frozen(engine, tenant, [period])
    await announce(engine, tenant, [period])
    assert await invoice_count(engine, tenant) == 1


async def test_a_draft_is_announced_once(engine: AsyncEngine, tenant: Tenant) -> None:
    await announce(engine, tenant, [rated([], period=1)])
    await announce(engine, tenant, [rated([], period=2)])
    async with begin(engine, tenant) as conn:
        count = select(func.count()).select_from(outbox.outbox)
        assert (await conn.execute(count)).scalar_one() == 1


async def test_a_refresh_shows_lines_taxes_and_totals(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    async with begin(engine, tenant) as conn:
        await taxes.create_tax(conn, tenant, GST, now=NOW)
        await entities.save_entity(conn, tenant, BillingEntity(default_tax_codes=("gst",)))
    await announce(engine, tenant, [rated([amount_fee(105)])])
    assert len(await stale(worker, tenant)) == 1
    draft = await drafting.load_draft(engine, tenant, (await newest(engine, tenant)).invoice_id)
    assert await drafting.refresh_draft(engine, tenant, draft, [rated([amount_fee(105)])])
    shown = await newest(engine, tenant)
    assert (shown.subtotal_minor, shown.tax_minor, shown.total_minor) == (105, 11, 116)
    assert [line.tax_share_minor for line in shown.lines] == [11]
    assert await stale(worker, tenant) == []


async def test_a_refresh_that_was_overtaken_changes_nothing(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    period = rated([amount_fee(5)])
    await announce(engine, tenant, [period])
    draft = await drafting.load_draft(engine, tenant, (await newest(engine, tenant)).invoice_id)
    async with begin(engine, tenant) as conn:
        await drafting.note_changed_usage(
            conn,
            tenant,
            [ChangedUsage(period.period_id, "c1", "USD", late_version=1, closed=False)],
            now=NOW,
        )
    assert not await drafting.refresh_draft(engine, tenant, draft, [period])
    assert (await newest(engine, tenant)).lines == ()
    assert len(await stale(worker, tenant)) == 1


async def test_facts_taken_together_join_as_one_by_one(engine: AsyncEngine, tenant: Tenant) -> None:
    """Two days of one customer and one of another, of which one period comes twice."""
    periods = [rated([], period=place) for place in range(1, 5)]
    dues = [
        DuePeriods(customer, "USD", due_at, "UTC", tuple((one.period_id, one.period) for one in of))
        for customer, due_at, of in (
            ("c1", NOW, periods[:1]),
            ("c2", NOW, periods[1:2]),
            ("c1", NOW + HOUR, [periods[0], periods[2]]),
            ("c1", NOW + timedelta(days=1), periods[3:]),
        )
    ]
    for _ in range(2):
        async with begin(engine, tenant) as conn:
            await drafting.draft_periods(conn, tenant, dues, now=NOW)
    async with begin(engine, tenant) as conn:
        found = await store.list_invoices(
            conn, tenant, customer_id="", status=None, before=None, limit=9
        )
        billed = await store.load_period_ids(conn, tenant, [one.invoice_id for _, one in found])
    drafts = {
        (one.customer_id, one.finalize_at): [each.int for each in billed[one.invoice_id]]
        for _, one in found
    }
    assert drafts == {
        ("c1", NOW + HOUR): [1, 3],
        ("c2", NOW): [2],
        ("c1", NOW + timedelta(days=1)): [4],
    }


async def test_a_freeze_that_misses_a_period_is_not_made(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    first = rated([amount_fee(5)], period=1)
    await announce(engine, tenant, [first])
    draft = await newest(engine, tenant)
    claim = await claim_one(engine, tenant, draft.invoice_id)
    assert claim.period_ids == [UUID(int=1)]
    await announce(engine, tenant, [rated([amount_fee(7)], period=2)])
    assert not await freeze_one(engine, tenant, draft.invoice_id, closed=[first], adjusted=[])
    assert (await newest(engine, tenant)).status is Status.DRAFT


async def test_a_frozen_invoice_names_what_it_settles_with_lines_or_without(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    periods = [rated([], period=1, subscription="s"), rated([amount_fee(5)], period=2)]
    claim = await claim_one(engine, tenant, await frozen(engine, tenant, periods))
    assert claim.settled == [
        SettledPeriod(one.period_id, one.subscription_id, one.period) for one in periods
    ]
    assert len(claim.invoice.lines) == 1


async def test_instant_fees_are_billed_alone_without_grace_and_settle_no_time(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    async with begin(engine, tenant) as conn:
        await entities.save_entity(conn, tenant, BillingEntity(grace_days=3))
    whole, one, other = (rated([amount_fee(cents)], period=cents) for cents in (1, 2, 3))
    instant = [replace(each, settles=False) for each in (one, other)]
    await announce(engine, tenant, [whole, *instant])
    assert await invoice_count(engine, tenant) == 3
    due = await finalizable(worker, tenant, NOW)
    assert len(due) == 2
    billed = []
    for _, invoice_id in due:
        claim = await claim_one(engine, tenant, invoice_id)
        [period_id] = claim.period_ids
        billed.append(period_id)
        closed = [each for each in instant if each.period_id == period_id]
        assert await freeze_one(engine, tenant, invoice_id, closed=closed)
        assert (await claim_one(engine, tenant, invoice_id)).settled == []
    assert sorted(billed) == [one.period_id, other.period_id]


async def test_grace_lets_a_draft_wait(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    async with begin(engine, tenant) as conn:
        await entities.save_entity(conn, tenant, BillingEntity(grace_days=3))
    await announce(engine, tenant, [rated([amount_fee(5)])])
    due = NOW + timedelta(days=3)
    assert await finalizable(worker, tenant, due - HOUR) == []
    assert len(await finalizable(worker, tenant, due)) == 1


async def test_an_invoice_that_was_left_half_way_is_found_until_it_is_complete(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    """Whoever froze it may be gone: its time does not matter any more."""
    invoice_id = await frozen(engine, tenant, [rated([amount_fee(5)])])
    assert await finalizable(worker, tenant, NOW - HOUR) == [(tenant, invoice_id)]
    await complete_one(engine, tenant, invoice_id)
    assert await finalizable(worker, tenant, NOW) == []


async def test_periods_of_two_sellers_go_on_two_invoices_and_late_usage_stays_with_its_own(
    engine: AsyncEngine, tenant: Tenant
) -> None:
    async with begin(engine, tenant) as conn:
        await entities.create_entity(
            conn, tenant, BillingEntity(code="two", number_prefix="E-2", grace_days=1)
        )
    first, second = (rated([amount_fee(cents)], period=cents) for cents in (1, 2))
    due = DuePeriods(
        "c1",
        "USD",
        NOW,
        "UTC",
        ((first.period_id, first.period), (second.period_id, second.period)),
        wanted={second.period_id: "two"},
    )
    async with begin(engine, tenant) as conn:
        await drafting.draft_periods(conn, tenant, [due], now=NOW)
        late = [ChangedUsage(one.period_id, "c1", "USD", 1, closed=True) for one in (first, second)]
        await drafting.note_changed_usage(conn, tenant, late, now=NOW)
    listed = await reading.list_invoices(
        engine, tenant, customer_id="c1", status=None, before=None, limit=9
    )
    drafts = {one.entity_code: one for _, one in listed}
    waits = {code: one.finalize_at - NOW for code, one in drafts.items()}
    assert waits == {"default": timedelta(0), "two": timedelta(days=1)}
    claims = await finalizing.claim(engine, tenant, [one.invoice_id for one in drafts.values()])
    owed = {one.invoice.entity_code: [each.period_id for each in one.adjustments] for one in claims}
    assert owed == {"default": [first.period_id], "two": [second.period_id]}
