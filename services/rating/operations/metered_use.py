"""How far the limits of subscriptions are used, read from cells: for many at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.period import DayPeriod
from libs.tenant import Tenant
from services.rating.domain.cell import Cell
from services.rating.domain.high_cardinality import has_days_in_log
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.metered_limit import (
    WINDOWS_MAX,
    Limit,
    LimitReset,
    Standing,
    day_windows,
    resets_at,
    rolled_over,
)
from services.rating.domain.subscription import Subscription
from services.rating.domain.usage import units, whole_usage
from services.rating.operations.carrying import with_carried
from services.rating.store.entitled import (
    Active,
    TermDays,
    load_latest_periods,
    load_own_terms,
)
from services.rating.store.merged_cells import load_merged_cells

Cells = Mapping[UUID, Mapping[UUID, Sequence[Cell]]]  # By an id of days, and meter.


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


@dataclass(frozen=True, slots=True)
class _Window:
    """A stretch between two resets: the ids by which its cells are found, and its end."""

    ids: Sequence[UUID]
    end: datetime


async def load_standings(
    conn: AsyncConnection, tenant: Tenant, asked: Sequence[Asked], now: datetime
) -> dict[tuple[UUID, str, Limit], Standing]:
    """Return how limits stand at `now`, by subscription uid, meter code and limit.

    At most three sets of statements, one for each way to reset, however many are asked for.
    """
    found = {}
    for reset in LimitReset:
        alike = [one for one in asked if one.limit.reset is reset]
        if alike:
            load = _load_periods if reset is LimitReset.USAGE_PERIOD else _load_days
            windows, cells = await load(conn, tenant, alike, now)
            for one in alike:
                key = (one.uid, one.meter.code, one.limit)
                found[key] = _standing(one, windows[one.uid], cells, now)
    return found


def _standing(one: Asked, windows: Sequence[_Window], cells: Cells, now: datetime) -> Standing:
    limit = one.limit
    counted = one.meter.event_type in one.active.counted_types
    if not windows or not counted or windows[-1].end <= now:
        return Standing(limit, Decimal(0), None, windows[-1].end if windows else now)
    chosen = windows if limit.rollover is not None else windows[-1:]
    used = [_used(one.meter, window, cells) for window in chosen]
    known = [each for each in used if each is not None]
    if len(known) < len(used):
        return Standing(limit, Decimal(0), None, windows[-1].end)
    return Standing(limit, rolled_over(limit, known[:-1]), known[-1], windows[-1].end)


def _used(meter: Meter, window: _Window, cells: Cells) -> Decimal | None:
    """Return the units of a window; None: they would have to be read from the log."""
    own = [cell for one in window.ids for cell in cells.get(one, {}).get(meter.meter_id, ())]
    if not own:
        return Decimal(0)
    if meter.aggregation is not Aggregation.COUNT and has_days_in_log(own):
        return None
    return units(whole_usage(own, meter), meter)


async def _load_periods(
    conn: AsyncConnection, tenant: Tenant, asked: Sequence[Asked], now: datetime
) -> tuple[Mapping[UUID, Sequence[_Window]], Cells]:
    uids, meters = {one.uid for one in asked}, _meters(asked)
    count = WINDOWS_MAX if any(one.limit.rollover is not None for one in asked) else 1
    periods = await load_latest_periods(conn, tenant, uids, now=now, count=count)
    every = [period for of_subscription in periods.values() for period in of_subscription]
    cells = await load_merged_cells(conn, tenant, every, meters)
    current = [(tenant, of_one[-1]) for of_one in periods.values() if of_one]
    windows = {
        uid: [_Window([one.period_id], one.usage.end) for one in of_one]
        for uid, of_one in periods.items()
    }
    return windows, await with_carried(conn, current, meters, cells)


async def _load_days(
    conn: AsyncConnection, tenant: Tenant, asked: Sequence[Asked], now: datetime
) -> tuple[Mapping[UUID, Sequence[_Window]], Cells]:
    subscriptions = {one.uid: one.active.subscription for one in asked}
    terms = await load_own_terms(conn, tenant, subscriptions)
    windows: dict[UUID, list[_Window]] = {}
    every: list[TermDays] = []
    carrying = {one.uid for one in asked if one.limit.rollover is not None}
    for uid, subscription in subscriptions.items():
        count = WINDOWS_MAX if uid in carrying else 1
        windows[uid] = []
        for days, end in _days(asked[0].limit.reset, subscription, now, count):
            parts = [TermDays(uuid4(), term_id, days) for term_id in terms[uid]]
            windows[uid].append(_Window([part.period_id for part in parts], end))
            every += parts
    return windows, await load_merged_cells(conn, tenant, every, _meters(asked))


def _days(
    reset: LimitReset, subscription: Subscription, now: datetime, count: int
) -> list[tuple[DayPeriod, datetime]]:
    zone = ZoneInfo(subscription.time_zone)
    found = day_windows(reset, zone, start=subscription.start, now=now, count=count)
    return [(days, resets_at(days, zone)) for days in found]


def _meters(asked: Iterable[Asked]) -> list[Meter]:
    return list({one.meter.meter_id: one.meter for one in asked}.values())
