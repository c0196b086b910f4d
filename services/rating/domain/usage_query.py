"""Usage by windows and groups: what a question asks for, and the rows of its answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from libs.errors import Refused
from libs.period import DayPeriod, Period, local_day, local_midnight
from services.rating.domain.attribution import Term
from services.rating.domain.cell import Cell, merged
from services.rating.domain.event import instant_of, micros
from services.rating.domain.filters import DimensionFilter
from services.rating.domain.meter import Aggregation, Dimension, Meter
from services.rating.domain.usage import whole_usage
from services.rating.domain.windows import EARLIEST, LATEST, Window

DAY = timedelta(days=1)
ROWS_MAX = 10_000
VALUES_MAX = 500_000  # Distinct values of a UNIQUE_COUNT meter, of all rows.


class UsageQueryTooLarge(Refused):
    """The answer would take more than one answer may."""

    reason = "USAGE_QUERY_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """Asks what a meter counted of a subscription; `time_zone` "" is that of the subscription."""

    subscription_id: str
    meter_code: str
    start: datetime
    end: datetime
    window: Window
    group_by: tuple[str, ...]
    filters: tuple[DimensionFilter, ...]
    time_zone: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The properties that decide in which row an event counts, each once."""
        return tuple(dict.fromkeys((*self.group_by, *(each.key for each in self.filters))))


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the usage of a term within some time is found.

    `days` are stored as cells; `parts`, which are what is left at its ends, are in the log only.
    """

    days: DayPeriod
    parts: tuple[Period, ...]


@dataclass(slots=True)
class UsageRows:
    """Usage by window (its place) and group values, gathered from cells.

    Where the `meter` counts each day for itself, days are kept apart within a window.
    """

    query: UsageQuery
    meter: Meter
    rows: dict[tuple[int, tuple[str, ...]], dict[date | None, Cell]] = field(default_factory=dict)

    def add(self, window: int, keys: Sequence[str], cell: Cell) -> None:
        """Count a cell whose dimensions are the values of `keys`, unless a filter refuses it.

        Raises:
            UsageQueryTooLarge: there are more than 10,000 rows.
        """
        values = dict(zip(keys, cell.dimensions, strict=True))
        if not all(each.matches(values.get(each.key, "")) for each in self.query.filters):
            return
        row = (window, tuple(values.get(key, "") for key in self.query.group_by))
        days = self.rows.setdefault(row, {})
        day = cell.day if self.meter.day_bucket is not None else None
        known = days.get(day)
        days[day] = cell if known is None else replace(merged((known, cell)), day=day)
        check_count("rows", len(self.rows), ROWS_MAX)

    def check_values(self) -> None:
        """Check that memory holds the distinct values, and what else a cell keeps many of.

        Raises:
            UsageQueryTooLarge: they are more than 500,000.
        """
        held = (cell for days in self.rows.values() for cell in days.values())
        count = sum(len(one.values) + len(one.levels or ()) + len(one.counts or ()) for one in held)
        check_count("distinct values", count, VALUES_MAX)

    def in_order(self) -> Iterator[tuple[int, tuple[str, ...], Cell]]:
        """Give window, group values and usage of each row, by window and then by values."""
        for window, values in sorted(self.rows):
            yield window, values, whole_usage([*self.rows[window, values].values()], self.meter)


def check_count(what: str, count: int, limit: int) -> None:
    """Check that an answer does not take more than `limit` of something.

    Raises:
        UsageQueryTooLarge: it does.
    """
    if count > limit:
        problem = f"the answer takes more than {limit} {what}: ask for less time or fewer groups"
        raise UsageQueryTooLarge(problem, metadata={"limit": str(limit)})


def needs_whole_periods(meter: Meter) -> bool:
    """Tell whether what `meter` counts is known of whole billing periods only."""
    return meter.aggregation is Aggregation.WEIGHTED_SUM or meter.day_bucket is not None


def meter_by(meter: Meter, keys: Sequence[str]) -> Meter:
    """Return `meter` as if `keys` were its dimensions."""
    return replace(meter, dimensions=tuple(Dimension(key, ()) for key in keys))


def has_dimensions(meter: Meter, keys: Sequence[str]) -> bool:
    """Tell whether the cells of `meter` are kept apart by `keys`."""
    return all(meter.dimension(key) is not None for key in keys)


def clipped(query: UsageQuery, zone: ZoneInfo, start: datetime, end: datetime | None) -> Period:
    """Return what `query` asks for of a subscription from `start` to `end`, by whole windows.

    The first window is that of the subscription's first instant at the earliest, whole days and
    hours in `zone`; the last one may end behind the subscription's end.
    """
    first = local_midnight(local_day(start, zone), zone)
    last = LATEST if end is None else local_midnight(local_day(end, zone) + DAY, zone)
    begins = max(query.start, first, EARLIEST)
    return Period(begins, max(begins, min(query.end, last, LATEST)))


def log_sources(term: Term, asked: Period) -> Sources:
    """Return that the usage of `term` within `asked` is to be found in the log, all of it."""
    within = _within(term, asked)
    day = local_day(asked.start, term.zone)
    return Sources(DayPeriod(day, day), () if within is None else (within,))


def sources_before(legs: Sequence[Term], days: DayPeriod, before: Period) -> Sources:
    """Return where the usage of a billing period of `days` is found, as far as it is `before`.

    The `legs` are those of its term, in their order.
    """
    if len(legs) == 1:
        return split_sources(legs[0], before)
    started = [leg for leg in legs if instant_of(leg.start) < before.end] or list(legs[:1])
    last = started[-1]
    if last.end is not None and last.end <= micros(before.end):
        return Sources(DayPeriod(days.first_day, max(_day_after(last), days.first_day)), ())
    day = min(max(last.day(before.end), days.first_day), days.end_day)
    begins = [_first_of(leg, day) for leg in started]
    start = max(before.start, next(one for one in begins if one is not None))
    parts = (Period(start, before.end),) if start < before.end else ()
    return Sources(DayPeriod(days.first_day, day), parts)


def _day_after(leg: Term) -> date:
    assert leg.end is not None
    return leg.day(instant_of(leg.end - 1)) + DAY


def _first_of(leg: Term, day: date) -> datetime | None:
    """Return the first instant of a leg on `day` or a later one; None: it has none."""
    start = instant_of(leg.start)
    if leg.day(start) < day:
        start = max(start, local_midnight(day, leg.zone))
    return start if leg.end is None or micros(start) < leg.end else None


def split_sources(term: Term, asked: Period) -> Sources:
    """Return where the usage of `term` within `asked` is found.

    A day that the term begins or ends in is whole if all that the term has of it is asked for. Of
    2 January 12:00 to 5 January 06:00 the 3rd and 4th are whole.
    """
    within = _within(term, asked)
    if within is None:
        return log_sources(term, asked)
    if term.continues or term.continued:
        return _split_leg(term, within)
    first, last = local_day(within.start, term.zone), local_day(within.end, term.zone)
    if _begins(term, first) < within.start:
        first += DAY
    if last < first:  # All of it within one day.
        return Sources(DayPeriod(first, first), (within,))
    if term.end is not None and within.end == instant_of(term.end):
        end = last if local_midnight(last, term.zone) == within.end else last + DAY
        return Sources(DayPeriod(first, end), _left(term, within, first, end))
    return Sources(DayPeriod(first, last), _left(term, within, first, last))


def _split_leg(term: Term, within: Period) -> Sources:
    """Return the whole days of a leg that no other leg of its term can have a part of."""
    first, end = term.day(within.start), term.day(within.end)
    if term.continues or _begins(term, first) < within.start:
        first += DAY
    if not term.continued and term.end is not None and within.end == instant_of(term.end):
        end = end if local_midnight(end, term.zone) == within.end else end + DAY
    if end <= first:
        day = term.day(within.start)
        return Sources(DayPeriod(day, day), (within,))
    return Sources(DayPeriod(first, end), _left(term, within, first, end))


def _within(term: Term, asked: Period) -> Period | None:
    start = max(asked.start, instant_of(term.start))
    end = asked.end if term.end is None else min(asked.end, instant_of(term.end))
    return Period(start, end) if start < end else None


def _begins(term: Term, day: date) -> datetime:
    """Return the first instant that `term` has of `day`."""
    return max(local_midnight(day, term.zone), instant_of(term.start))


def _left(term: Term, within: Period, first: date, end: date) -> tuple[Period, ...]:
    """Return what is left of `within` at its ends when its whole days are taken."""
    parts = []
    if within.start < _begins(term, first):
        parts.append(Period(within.start, local_midnight(first, term.zone)))
    last = max(local_midnight(end, term.zone), within.start)
    if last < within.end:
        parts.append(Period(last, within.end))
    return tuple(parts)
