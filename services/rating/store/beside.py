"""Reading what counts for a minimum commitment besides the usage period that bills what lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import DayPeriod
from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.calendar import BillingTime, Calendar
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.domain.plan import PlanVersion
from services.rating.store.periods import load_period, read_period, select_periods
from services.rating.store.plans import load_versions
from services.rating.store.schema import billing_periods, subscriptions

KINDS = (PeriodKind.BASE, PeriodKind.FIXED, PeriodKind.USAGE)
Owned = tuple[Tenant, BillingPeriod]


@dataclass(frozen=True, slots=True)
class Beside:
    """What a usage period bills a commitment for: `days` of a `whole` one, which others share.

    These are its base fee, fixed charges in advance, and the usage of the months before.
    """

    days: int
    whole: DayPeriod
    others: tuple[BillingPeriod, ...]


async def load_beside(
    conn: AsyncConnection, owned: Sequence[Owned], versions: Mapping[UUID, PlanVersion]
) -> dict[UUID, Beside]:
    """Return what counts for the commitments of those usage periods that bill one, by id.

    Of the months of a long period the last one does. `versions` are those of the periods.
    """
    committed = [
        (tenant, period)
        for tenant, period in owned
        if period.kind is PeriodKind.USAGE
        and versions[period.plan_version_id].minimum_commitment is not None
    ]
    if not committed:
        return {}
    wholes = await _load_wholes(conn, committed, versions)
    stored = await _load_stored(conn, committed, wholes)
    found = {}
    for _, period in committed:
        whole = wholes[period.period_id]
        same = [one for one in stored.get(period.term_id, ()) if _shares(one, whole)]
        usage = [one for one in same if one.kind is PeriodKind.USAGE and _bills(one)]
        if any(one.whole.first_day > period.whole.first_day for one in usage):
            continue
        before = sum(one.billed_days for one in usage if one.period_id != period.period_id)
        others = tuple(one for one in same if one.period_id != period.period_id)
        found[period.period_id] = Beside(before + period.billed_days, whole, others)
    return found


async def lock_committed(conn: AsyncConnection, changed: Sequence[Owned]) -> list[Owned]:
    """Lock the usage periods that bill the commitments for which `changed` ones count.

    Those that are not among `changed` themselves, and those that exist.
    """
    ids = {period.plan_version_id for _, period in changed}
    known = await load_versions(conn, {tenant for tenant, _ in changed}, ids) if ids else {}
    committed = [
        (tenant, period)
        for tenant, period in changed
        if known[period.plan_version_id].minimum_commitment is not None and period.kind in KINDS
    ]
    if not committed:
        return []
    wholes = await _load_wholes(conn, committed, known)
    stored = await _load_stored(conn, committed, wholes)
    billing: dict[UUID, Tenant] = {}
    for tenant, period in committed:
        whole = wholes[period.period_id]
        usage = [
            one
            for one in stored.get(period.term_id, ())
            if one.kind is PeriodKind.USAGE and _shares(one, whole) and _bills(one)
        ]
        if usage:
            billing[max(usage, key=lambda one: one.whole.first_day).period_id] = tenant
    for _, period in changed:
        billing.pop(period.period_id, None)
    return [
        (billing[period_id], await load_period(conn, billing[period_id], period_id, lock=True))
        for period_id in sorted(billing)
    ]


def others_of(
    beside: Mapping[UUID, Beside], periods: Iterable[BillingPeriod]
) -> list[BillingPeriod]:
    """Return what counts for the commitments that `periods` bill."""
    found = (beside.get(period.period_id) for period in periods)
    return [other for one in found if one is not None for other in one.others]


async def _load_wholes(
    conn: AsyncConnection, committed: Sequence[Owned], versions: Mapping[UUID, PlanVersion]
) -> dict[UUID, DayPeriod]:
    """Return the days of the whole periods that the commitments of usage periods are for, by id."""
    wholes = {period.period_id: period.whole for _, period in committed}
    months = [one for one in committed if versions[one[1].plan_version_id].bill_usage_monthly]
    if not months:
        return wholes
    columns = subscriptions.c
    query = select(columns.subscription_uid, columns.billing_time, columns.anchor_day).where(
        among(columns.tenant, {tenant for tenant, _ in months}),
        among(columns.subscription_uid, {period.subscription_uid for _, period in months}),
    )
    rows = {row.subscription_uid: row for row in await conn.execute(query)}
    for _, period in months:
        row, interval = rows[period.subscription_uid], versions[period.plan_version_id].interval
        time = BillingTime(row.billing_time)
        calendar = Calendar(interval, ZoneInfo(period.time_zone), time, row.anchor_day)
        wholes[period.period_id] = calendar.whole(period.whole.first_day)
    return wholes


async def _load_stored(
    conn: AsyncConnection, committed: Sequence[Owned], wholes: Mapping[UUID, DayPeriod]
) -> dict[UUID, list[BillingPeriod]]:
    """Return the periods of the same terms in those whole ones, by term and in their order."""
    columns = billing_periods.c
    query = select_periods().where(
        among(columns.tenant, {tenant for tenant, _ in committed}),
        among(columns.term_id, {period.term_id for _, period in committed}),
        columns.whole_first_day >= min(one.first_day for one in wholes.values()),
        columns.whole_first_day < max(one.end_day for one in wholes.values()),
        columns.kind.in_(KINDS),
    )
    found: dict[UUID, list[BillingPeriod]] = {}
    for row in await conn.execute(query.order_by(columns.whole_first_day, columns.kind)):
        found.setdefault(row.term_id, []).append(read_period(row))
    return found


def _shares(period: BillingPeriod, whole: DayPeriod) -> bool:
    return whole.first_day <= period.whole.first_day < whole.end_day


def _bills(period: BillingPeriod) -> bool:
    """Tell whether anything is left of a period: one that is not planned any more is empty."""
    return period.fee_days.days > 0 or period.usage.start < period.usage.end
