"""What wallets are told of usage that no invoice bills yet."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin, begin_worker
from libs.tenant import Tenant
from services.invoicing.domain.line import FeeKind, RatedPeriod
from services.invoicing.operations.drafting import load_draft, refresh_draft
from services.invoicing.operations.unbilled import UsageOf, load_told, note_usage, tell
from services.invoicing.store.unbilled import find_untold, insert_wallet_customers
from tally.invoicing.v1.events_pb2 import UnbilledAmountChanged
from tests.store.invoicing.steps import announce, claim_one, complete_one, freeze_one, newest
from tests.store.invoicing.test_progressive import cross, crossing, finalize, snapshot
from tests.unit.invoicing.samples import amount_fee, base_fee, rated


async def changed(engine: AsyncEngine, tenant: Tenant, period_id: UUID) -> None:
    """Take the fact that usage of a period changed."""
    async with begin(engine, tenant) as conn:
        await note_usage(conn, tenant, [UsageOf("c1", "USD", "meter-3065-01", (period_id,))])


async def told(engine: AsyncEngine, tenant: Tenant, price: RatedPeriod) -> list[tuple[int, int]]:
    """Tell what there is to tell of a period that costs `price`; return all revisions so far."""
    before = await load_told(engine, tenant, price.period_id)
    if before is not None:
        await tell(engine, tenant, before, price)
    async with begin(engine, tenant) as conn:
        query = "SELECT payload FROM outbox WHERE subject LIKE '%.UnbilledAmountChanged'"
        rows = await conn.execute(text(f"{query} ORDER BY id"))
        facts = [UnbilledAmountChanged.FromString(row.payload) for row in rows]
    return [(fact.revision, sum(line.gross_minor for line in fact.lines)) for fact in facts]


async def test_absolute_amounts_are_told_until_the_period_is_invoiced(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    period = rated([amount_fee(200)], period=uuid4().int)
    minimum = replace(amount_fee(500), kind=FeeKind.MINIMUM)
    await changed(engine, tenant, period.period_id)
    first = replace(period, fees=(amount_fee(50), minimum))  # Its minimum is due as it ends.
    assert await told(engine, tenant, first) == [(1, 50)]
    await changed(engine, tenant, period.period_id)
    await changed(engine, tenant, period.period_id)
    assert await told(engine, tenant, first) == [(1, 50)]
    await changed(engine, tenant, period.period_id)
    assert await told(engine, tenant, snapshot(period, 80)) == [(1, 50), (2, 80)]
    await cross(engine, tenant, crossing(period, 1))
    early = await newest(engine, tenant)
    await finalize(engine, tenant, early.invoice_id, snapshot(period, 80))
    assert await told(engine, tenant, period) == [(1, 50), (2, 80), (3, 120)]
    await announce(engine, tenant, [period])
    close = await newest(engine, tenant)
    assert await told(engine, tenant, period) == [(1, 50), (2, 80), (3, 120)]
    await finalize(engine, tenant, close.invoice_id, period)
    assert await told(engine, tenant, period) == [(1, 50), (2, 80), (3, 120), (4, 0)]
    async with begin_worker(worker) as conn:
        assert tenant not in {of for of, _ in await find_untold(conn, limit=100)}


async def test_a_draft_tells_all_that_it_bills_of_customers_with_wallets(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    """Its base fee and minimum, too; usage that is noted meanwhile waits for its refresh."""
    minimum = replace(amount_fee(500), kind=FeeKind.MINIMUM)
    base = rated([base_fee("10.00")], period=uuid4().int)
    usage = rated([amount_fee(50), minimum], period=uuid4().int)
    await changed(engine, tenant, usage.period_id)
    assert await told(engine, tenant, usage) == [(1, 50)]
    await announce(engine, tenant, [base, usage])
    await refresh(engine, tenant, [base, usage])
    assert await told(engine, tenant, usage) == [(1, 50)]  # Nobody has a wallet.

    async with begin(engine, tenant) as conn:
        await insert_wallet_customers(conn, tenant, ["c1"])
    await refresh(engine, tenant, [base, usage])
    assert sorted((await told(engine, tenant, usage))[1:]) == [(1, 1_000), (2, 550)]
    await changed(engine, tenant, usage.period_id)
    assert len(await told(engine, tenant, snapshot(usage, 80))) == 3
    draft = await newest(engine, tenant)
    await claim_one(engine, tenant, draft.invoice_id)
    assert await freeze_one(engine, tenant, draft.invoice_id, closed=[base, usage])
    await complete_one(engine, tenant, draft.invoice_id)
    for one in (base, usage):
        await told(engine, tenant, one)
    assert sorted((await told(engine, tenant, usage))[3:]) == [(2, 0), (3, 0)]


async def refresh(engine: AsyncEngine, tenant: Tenant, periods: list[RatedPeriod]) -> None:
    """Show on the newest draft what its periods cost."""
    draft = await load_draft(engine, tenant, (await newest(engine, tenant)).invoice_id)
    assert await refresh_draft(engine, tenant, draft, periods)
