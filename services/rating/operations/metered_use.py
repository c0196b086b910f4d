"""How far the limits of subscriptions are used, read from cells: for many at once."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import DayPeriod
from libs.tenant import Tenant
from services.rating.domain.cell import Cell
from services.rating.domain.high_cardinality import has_days_in_log
from services.rating.domain.meter import Meter
from services.rating.domain.metered_limit import (
    WINDOWS_MAX,
    Limit,
    LimitReset,
    Standing,
    day_windows,
    resets_at,
    rolled_over,
)
from services.rating.domain.period import BillingPeriod
from services.rating.domain.usage import units, whole_usage
from services.rating.operations.carrying import with_carried
from services.rating.store.cells import load_cells
from services.rating.store.entitled import (
    Active,
    TermDays,
    load_latest_periods,
    load_own_terms,
)
from services.rating.store.used_units import Used, is_summed, load_used_units

ZERO = Decimal(0)

Key = tuple[UUID, str, Limit]  # Subscription uid, meter code and limit.


@dataclass(frozen=True, slots=True)
class Asked:
    """A limit of a subscription, on what `meter` counts."""

    active: Active
    limit: Limit
    meter: Meter

    @property
    def uid(self) -> UUID:
        """Of the subscription."""
        return self.active.subscription.subscription_uid

    @property
    def key(self) -> Key:
        """What is the same for all features with such a limit."""
        return self.uid, self.meter.code, self.limit


@dataclass(frozen=True, slots=True)
class _Window:
    """A stretch between two resets: the id by which its units are found, and its end."""

    window_id: UUID
    end: datetime


@dataclass(slots=True)
class _Windows:
    """The windows of subscriptions by uid and reset, and the days that they are; equal ones once.

    `current` are the usage periods that are the present windows, by the ids of these.
    """

    by_key: dict[tuple[UUID, LimitReset], list[_Window]] = field(default_factory=dict)
    days: list[TermDays] = field(default_factory=list)
    current: dict[UUID, BillingPeriod] = field(default_factory=dict)
    _ids: dict[tuple[tuple[UUID, ...], DayPeriod], UUID] = field(default_factory=dict)

    def add(
        self, key: tuple[UUID, LimitReset], terms: Collection[UUID], days: DayPeriod, end: datetime
    ) -> UUID:
        """Add the next window; return its id."""
        known = (tuple(sorted(terms)), days)
        if known not in self._ids:
            self._ids[known] = uuid4()
            self.days += [TermDays(self._ids[known], term_id, days) for term_id in terms]
        self.by_key.setdefault(key, []).append(_Window(self._ids[known], end))
        return self._ids[known]


async def load_standings(
    conn: AsyncConnection, tenant: Tenant, asked: Sequence[Asked], now: datetime
) -> dict[Key, Standing]:
    """Return how limits stand at `now`, by subscription uid, meter code and limit.

    One set of statements, however many are asked for.
    """
    if not asked:
        return {}
    windows = _Windows()
    await _add_periods(conn, tenant, asked, windows, now)
    await _add_days(conn, tenant, asked, windows, now)
    meters = {one.meter.meter_id: one.meter for one in asked}
    summed = [meter for meter in meters.values() if is_summed(meter)]
    used = await load_used_units(conn, tenant, windows.days, summed)
    others = [meter for meter in meters.values() if not is_summed(meter)]
    if others:
        used |= await _load_others(conn, tenant, windows, others)
    found: dict[Key, Standing] = {}
    for one in asked:
        if one.key not in found:
            of_key = windows.by_key.get((one.uid, one.limit.reset), [])
            found[one.key] = _standing(one, of_key, used, now)
    return found


def _standing(one: Asked, windows: Sequence[_Window], used: Used, now: datetime) -> Standing:
    limit = one.limit
    counted = one.meter.event_type in one.active.counted_types
    if not windows or not counted or windows[-1].end <= now:
        return Standing(limit, ZERO, None, windows[-1].end if windows else now)
    chosen = windows if limit.rollover is not None else windows[-1:]
    units_of = [used.get((window.window_id, one.meter.meter_id), ZERO) for window in chosen]
    known = [each for each in units_of if each is not None]
    if len(known) < len(units_of):
        return Standing(limit, ZERO, None, windows[-1].end)
    return Standing(limit, rolled_over(limit, known[:-1]), known[-1], windows[-1].end)


async def _add_periods(
    conn: AsyncConnection,
    tenant: Tenant,
    asked: Sequence[Asked],
    windows: _Windows,
    now: datetime,
) -> None:
    counts = _counts(asked, LimitReset.USAGE_PERIOD)
    if not counts:
        return
    count = max(counts.values())
    periods = await load_latest_periods(conn, tenant, counts, now=now, count=count)
    for uid, of_one in periods.items():
        for period in of_one:
            key = (uid, LimitReset.USAGE_PERIOD)
            found = windows.add(key, [period.term_id], period.fee_days, period.usage.end)
            if period is of_one[-1]:
                windows.current[found] = period


async def _add_days(
    conn: AsyncConnection,
    tenant: Tenant,
    asked: Sequence[Asked],
    windows: _Windows,
    now: datetime,
) -> None:
    subscriptions = {one.uid: one.active.subscription for one in asked}
    counts = {
        (uid, reset): count
        for reset in (LimitReset.DAY, LimitReset.MONTH)
        for uid, count in _counts(asked, reset).items()
    }
    if not counts:
        return
    terms = await load_own_terms(conn, tenant, {uid for uid, _ in counts})
    for (uid, reset), count in counts.items():
        subscription = subscriptions[uid]
        zone = ZoneInfo(subscription.time_zone)
        for days in day_windows(reset, zone, start=subscription.start, now=now, count=count):
            windows.add((uid, reset), terms[uid], days, resets_at(days, zone))


def _counts(asked: Sequence[Asked], reset: LimitReset) -> dict[UUID, int]:
    """Return how many windows are needed of the subscriptions that have some, by uid."""
    found: dict[UUID, int] = {}
    for one in asked:
        if one.limit.reset is reset:
            count = 1 if one.limit.rollover is None else WINDOWS_MAX
            found[one.uid] = max(count, found.get(one.uid, 0))
    return found


async def _load_others(
    conn: AsyncConnection, tenant: Tenant, windows: _Windows, meters: Sequence[Meter]
) -> Used:
    """Return the units of meters whose cells have to be looked at, with what is carried over."""
    ids = [meter.meter_id for meter in meters]
    cells = await load_cells(conn, tenant, windows.days, meter_ids=ids)
    by_id = {meter.meter_id: meter for meter in meters}
    found = dict(_units_of(cells, by_id))
    recurring = {meter.meter_id: meter for meter in meters if meter.recurring}
    if recurring:
        own = {
            period.period_id: cells.get(window_id, {})
            for window_id, period in windows.current.items()
        }
        current = [(tenant, period) for period in windows.current.values()]
        whole = await with_carried(conn, current, recurring.values(), own)
        window_ids = {period.period_id: one for one, period in windows.current.items()}
        for (period_id, meter_id), used in _units_of(whole, recurring):
            found[window_ids[period_id], meter_id] = used
    return found


def _units_of(
    cells: Mapping[UUID, Mapping[UUID, Sequence[Cell]]], meters: Mapping[UUID, Meter]
) -> Iterator[tuple[tuple[UUID, UUID], Decimal | None]]:
    for days_id, by_meter in cells.items():
        for meter_id, own in by_meter.items():
            if meter_id in meters:
                meter = meters[meter_id]
                known = not has_days_in_log(own)
                used = units(whole_usage(own, meter), meter) if known else None
                yield (days_id, meter_id), used
