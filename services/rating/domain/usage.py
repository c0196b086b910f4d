"""Usage: what the cells of a period come to, as their meter counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import assert_never
from zoneinfo import ZoneInfo

from services.rating.domain.cell import ZERO, Cell, Level, merged
from services.rating.domain.event import micros
from services.rating.domain.meter import Aggregation, DayBucket, Meter, ValueInput
from services.rating.domain.period import BillingPeriod
from services.rating.domain.proration import BilledDays, billed_days
from services.rating.domain.rounding import round_units
from services.rating.domain.seat_period import SeatPeriod, seat_period_of

Exact = Decimal | Fraction


@dataclass(frozen=True, slots=True)
class Billed:
    """The days of a period by which prorated usage is weighed, and their zone."""

    days: BilledDays
    zone: ZoneInfo


@dataclass(frozen=True, slots=True)
class Span:
    """Over what a level is weighed: up to `end`, as a part of a `whole` period.

    `end` is in microseconds since 1970 in UTC, `whole` is a length in microseconds. Prorated usage
    is weighed by the days that are `billed`, seats by those that are left of their period.
    """

    end: int
    whole: int
    billed: Billed | None = None
    seats: SeatPeriod | None = None


def span_of(period: BillingPeriod) -> Span:
    """Return the span of a usage period; its whole is a month or week in its zone."""
    whole = period.whole.instants(ZoneInfo(period.time_zone))
    length = micros(whole.end) - micros(whole.start)
    return Span(micros(period.usage.end), length, seats=seat_period_of(period))


def prorated_span_of(period: BillingPeriod) -> Span:
    """Return the span of a usage period with the days that prorated usage needs."""
    zone = ZoneInfo(period.time_zone)
    days = billed_days(
        period.usage,
        zone,
        of_days=period.whole.days,
        fee_days=period.fee_days,
        paused=period.paused,
    )
    return replace(span_of(period), billed=Billed(days, zone))


def whole_usage(cells: Sequence[Cell], meter: Meter) -> Cell:
    """Return the usage of all `cells` of `meter` as one, with its days where they count."""
    whole = merged(cells)
    if meter.day_bucket is not None:
        by_day: dict[date | None, list[Cell]] = {}
        for cell in cells:
            by_day.setdefault(cell.day, []).append(cell)
        whole.days = tuple(merged(of_day) for of_day in by_day.values())
    return whole


def units(usage: Cell, meter: Meter, *, span: Span | None = None) -> Decimal:
    """Return the units that `usage` is, rounded as the meter says; `span` is for levels.

    Without events it is 0. What does not end is rounded at the 30th place, half away from zero;
    a rounding of the meter's own is of the exact value, and the only one.
    """
    match meter.day_bucket:
        case None:
            exact = _exact(usage, meter, span)
        case DayBucket.SUM:
            days = [Fraction(_exact(day, meter, span)) for day in usage.days]
            exact = sum(days, Fraction(0))
        case DayBucket.MAX:
            exact = max((_exact(day, meter, span) for day in usage.days), default=ZERO)
    return round_units(exact, meter.rounding)


def _exact(usage: Cell, meter: Meter, span: Span | None) -> Exact:
    match meter.aggregation:
        case Aggregation.COUNT:
            return Decimal(usage.event_count)
        case Aggregation.SUM:
            return usage.total or ZERO
        case Aggregation.MAX:
            return usage.greatest or ZERO
        case Aggregation.MIN:
            return usage.least or ZERO
        case Aggregation.AVG:
            return Fraction(usage.total) / usage.event_count if usage.total else ZERO
        case Aggregation.LATEST:
            return max(usage.latest or ZERO, ZERO)
        case Aggregation.UNIQUE_COUNT:
            return Decimal(sum(operation.present for operation in usage.values.values()))
        case Aggregation.WEIGHTED_SUM:
            assert span is not None, "a level is weighed over a span"
            return _weighted(usage, meter, span)
        case Aggregation.PERCENTILE:
            return nearest_rank(usage.counts or {}, meter.percentile)
        case _:
            assert_never(meter.aggregation)


def _weighted(usage: Cell, meter: Meter, span: Span) -> Fraction:
    """Return the sum of level x time, as a part of the whole.

    Of values v that come at t it is sum v x (end - t), which is what the cells hold the sums of:
    1,000 from the fifth of March on is 1000 x 27 / 31.
    """
    if meter.value_input is ValueInput.LEVEL:
        return _area(usage.levels or {}, span.end) / span.whole
    total, weighted = Fraction(usage.total or ZERO), Fraction(usage.weighted or ZERO)
    return (total * span.end - weighted) / span.whole


def _area(levels: Mapping[int, Level], end: int) -> Fraction:
    times = sorted(levels)
    ends = [*times[1:], end]
    lasted = zip(times, ends, strict=True) if times else ()
    return sum(
        (Fraction(levels[start].value) * (until - start) for start, until in lasted), Fraction(0)
    )


def nearest_rank(counts: Mapping[Decimal, int], percentile: int) -> Decimal:
    """Return the least value that at least `percentile` percent of the events do not exceed.

    Of 1, 2, 3 and 4, half of the events have at most 2, and 95 percent at most 4; of none it is 0.
    """
    rank = -(-sum(counts.values()) * percentile // 100)  # Rounded up.
    for value in sorted(counts):
        rank -= counts[value]
        if rank <= 0:
            return value
    return ZERO
