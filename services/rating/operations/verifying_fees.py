"""Whether what was frozen of closed periods is what their usage costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.db import Snapshots
from libs.difference import Difference, Finding, Unverified, compared
from libs.tenant import Tenant
from services.rating.domain.cell import Cell
from services.rating.domain.commitment import Commitment
from services.rating.domain.custom import PriceNotComputable
from services.rating.domain.fee import AmountTooLarge
from services.rating.domain.instant_bill import Bill
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus
from services.rating.domain.plan import PlanVersion
from services.rating.domain.single_events import EventsNotRead
from services.rating.domain.unit_change import UnitChange
from services.rating.domain.verification import breakdown_differences, fee_differences
from services.rating.operations.carrying import with_carried
from services.rating.operations.committing import commitment_of
from services.rating.operations.log import Log
from services.rating.operations.rating import Rated, load_unit_changes, price_period
from services.rating.operations.single_events import (
    Asked,
    ReadEvents,
    counted_of,
    load_asked,
    read_events,
)
from services.rating.store import verification as store
from services.rating.store.beside import Beside, load_beside, others_of
from services.rating.store.catalog import load_meters_by_type
from services.rating.store.closes import Close, list_closes
from services.rating.store.instant_states import load_bills
from services.rating.store.plans import load_versions

PERIODS_AT_ONCE = 200

Owned = tuple[Tenant, BillingPeriod]


@dataclass(frozen=True, slots=True)
class Books:
    """What some closed periods were frozen as, and all that their price is made of."""

    closes: Mapping[UUID, Sequence[Close]]
    versions: Mapping[UUID, PlanVersion]
    meters: Mapping[int, Mapping[str, Meter]]  # By tenant and code.
    cells: Mapping[UUID, Mapping[UUID, Sequence[Cell]]]  # By period and meter.
    bills: Mapping[UUID, Sequence[Bill]]  # Of instant fees, by the period they are in or of.
    asked: Sequence[Asked]  # Of periods whose prices look at single events.
    jobs: set[tuple[int, str]]
    changes: Mapping[UUID, Sequence[UnitChange]]  # Of units of fixed charges, by subscription.
    beside: Mapping[UUID, Beside]  # What counts for minimum commitments.


async def verify_fees(
    snapshots: Snapshots, log: Log, counts: Counter[str]
) -> AsyncGenerator[Finding, None]:
    """Give every frozen fee that is not what the period's cells cost now, adjustments included.

    200 periods are read at one instant each time, with their cells; that is all that is held in
    memory, and the single events of one period where its prices look at them. A period with late
    usage that no adjustment covers yet cannot be compared, nor one whose usage is being attributed
    again.

    Raises:
        Unavailable: the log or the database is away.
    """
    counts.update({"closed periods": 0, "closed fees": 0})
    async with snapshots.begin() as conn:
        unexpected = await store.find_closes_of_open_periods(conn)
    for tenant, period_id, status in unexpected:
        named = {"period_id": str(period_id)}
        yield Difference(tenant, "period", named, "status", status, str(PeriodStatus.CLOSED))
    after: tuple[int, UUID] | None = None
    while True:
        async with snapshots.begin() as conn:
            page = await store.load_closed_periods(conn, after=after, limit=PERIODS_AT_ONCE)
            books = await _load_books(conn, page)
        for tenant, period in page:
            closes = books.closes.get(period.period_id, ())
            counts["closed periods"] += 1
            counts["closed fees"] += sum(len(close.fees) for close in closes)
            priced = {one.period_id for one in [period, *others_of(books.beside, [period])]}
            asked = [one for one in books.asked if one.period.period_id in priced]
            read = await read_events(log, asked)
            for finding in _findings(tenant, period, closes, books, read):
                yield finding
        if len(page) < PERIODS_AT_ONCE:
            return
        after = (page[-1][0], page[-1][1].period_id)


async def _load_books(conn: AsyncConnection, page: Sequence[Owned]) -> Books:
    closes: dict[UUID, list[Close]] = {}
    if page:
        of_page = {period.period_id for _, period in page}
        for (_, period_id, _), close in await list_closes(conn, period_ids=of_page):
            closes.setdefault(period_id, []).append(close)
    tenants = sorted({tenant for tenant, _ in page})
    by_type = await load_meters_by_type(conn, tenants)
    usage = [(tenant, period) for tenant, period in page if period.kind is PeriodKind.USAGE]
    versions = await load_versions(conn, tenants, {one.plan_version_id for _, one in page})
    beside = await load_beside(conn, usage, versions)
    owner = {period.period_id: tenant for tenant, period in usage}
    others = {
        one.period_id: (owner[period_id], one)
        for period_id, of_period in beside.items()
        for one in of_period.others
    }
    of_beside = [one for period_id, one in others.items() if period_id not in owner]
    usage += [one for one in of_beside if one[1].kind is PeriodKind.USAGE]
    versions |= await load_versions(conn, tenants, {one.plan_version_id for _, one in of_beside})
    meters = {
        tenant: {meter.code: meter for of_type in types.values() for meter in of_type}
        for tenant, types in by_type.items()
    }
    in_periods = await store.load_cells_of_periods(conn, usage)
    every = [meter for of_tenant in meters.values() for meter in of_tenant.values()]
    cells = await with_carried(conn, usage, every, in_periods)
    counted = []
    for tenant, period in usage:
        version = versions[period.plan_version_id]
        found = counted_of(meters[tenant], [version], cells.get(period.period_id, {}))
        counted.append((tenant, period, found))
    return Books(
        closes=closes,
        versions=versions,
        meters=meters,
        cells=cells,
        bills=await load_bills(conn, [period for _, period in page]),
        asked=await load_asked(conn, counted),
        jobs=await store.load_jobs(conn),
        changes=await load_unit_changes(conn, [*page, *of_beside], versions),
        beside=beside,
    )


def _findings(
    tenant: Tenant,
    period: BillingPeriod,
    closes: Sequence[Close],
    books: Books,
    read: Mapping[UUID, ReadEvents],
) -> Iterator[Finding]:
    named = {
        "subscription_id": period.subscription_id,
        "period_id": str(period.period_id),
        "bills": str(period.kind),
    }
    sequences = tuple(close.sequence for close in closes)
    whole = tuple(range(max(len(closes), 1)))
    yield from compared(tenant, "period", named, closes=(sequences, whole))
    for close in closes:
        yield from breakdown_differences(tenant, named, close.fees)
    if sequences != whole:
        return
    covered = closes[-1].late_version
    if (tenant, period.customer_id) in books.jobs:
        yield Unverified(tenant, "period", named, "its usage is being attributed again")
    elif covered < period.late_version:
        yield Unverified(tenant, "period", named, "it has late usage that is not adjusted yet")
    else:
        yield from compared(tenant, "period", named, late_version=(period.late_version, covered))
        try:
            commitment = commitment_of(
                books.versions[period.plan_version_id],
                books.beside.get(period.period_id),
                lambda one: _price(tenant, one, books, read).fees,
            )
            bills = books.bills.get(period.period_id, ())
            rated = _price(tenant, period, books, read, bills=bills, commitment=commitment)
        except (AmountTooLarge, PriceNotComputable, EventsNotRead) as error:
            yield Unverified(tenant, "period", named, str(error))
            return
        frozen = [close.fees for close in closes]
        yield from fee_differences(tenant, named, frozen, rated.fees)


def _price(
    tenant: Tenant,
    period: BillingPeriod,
    books: Books,
    read: Mapping[UUID, ReadEvents],
    *,
    bills: Sequence[Bill] | None = None,
    commitment: Commitment | None = None,
) -> Rated:
    """Price a period by the books, with the events of it that were read."""
    stored, events = books.cells.get(period.period_id, {}), read.get(period.period_id)
    return price_period(
        period,
        books.versions[period.plan_version_id],
        books.meters[tenant],
        stored if events is None else events.instead(stored),
        changes=books.changes.get(period.subscription_uid, ()),
        events=None if events is None else events.events,
        bills=bills,
        commitment=commitment,
    )
