"""Whatever becomes of a subscription, its periods tile its life, and days are paid for once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from libs.period import DayPeriod, local_day
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.calendar import BillingTime, Calendar, Stretch, stretches
from services.rating.domain.columns import Slice, columns_of
from services.rating.domain.event import Moment, UsageEvent, micros
from services.rating.domain.folding import fold
from services.rating.domain.life import Leg, cut_legs, ended_legs, term_stretches, terms_of
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.pausing import moved_legs, resumed_legs
from services.rating.domain.plan import Interval, IntervalUnit
from services.rating.domain.plan_changing import changed_legs

BASE = datetime(2024, 2, 20, tzinfo=UTC)
ZONES = ("UTC", "Asia/Tokyo", "America/Los_Angeles", "Pacific/Kiritimati", "America/New_York")
UNITS = (IntervalUnit.DAY, IntervalUnit.WEEK, IntervalUnit.MONTH)
DAY = timedelta(days=1)
METER = Meter(
    meter_id=UUID(int=1),
    code="calls",
    name="calls",
    event_type="calls",
    aggregation=Aggregation.COUNT,
    value_property="",
    dimensions=(),
    created_at=BASE,
)

minutes = st.integers(0, 100 * 24 * 60).map(lambda count: BASE + timedelta(minutes=count))
steps = st.lists(
    st.tuples(
        minutes, st.sampled_from([*ZONES, "plan", "same plan", "pause"]), st.integers(0, 20_000)
    ),
    min_size=1,
    max_size=6,
)


@st.composite
def lives(draw: st.DrawFn) -> tuple[list[Leg], datetime | None]:
    """The legs of a life, changed step by step as commands do, and its end."""
    start, zone = draw(minutes), draw(st.sampled_from(ZONES))
    first_day = local_day(start, ZoneInfo(zone))
    legs = [Leg(UUID(int=1), UUID(int=1), zone, start, None, first_day)]
    for number, (at, what, lasting) in enumerate(sorted(draw(steps)), start=2):
        if at <= legs[-1].start:
            continue
        if what == "plan":
            legs = changed_legs(legs, UUID(int=number), at, end=None, term_id=UUID(int=number))
        elif what == "same plan":
            same = legs[-1].plan_version_id
            legs = changed_legs(legs, same, at, end=None, term_id=UUID(int=number))
        elif what == "pause":
            resume = at + timedelta(minutes=lasting + 1)
            legs = resumed_legs(cut_legs(legs, at), resume, None)
        else:
            legs = moved_legs(legs, at, what, default_for_usage=False)
    end = legs[-1].start + draw(st.timedeltas(timedelta(0), 90 * DAY))
    end = end.replace(second=0, microsecond=0)
    return ended_legs(legs, end), end


def stretches_of(legs: list[Leg], end: datetime | None, unit: IntervalUnit) -> list[list[Stretch]]:
    """Return the stretches of each term."""
    anchor = legs[0].first_day
    calendar = Calendar(
        Interval(unit), ZoneInfo("UTC"), BillingTime.ANNIVERSARY, min(anchor, date(2024, 1, 31))
    )
    return [list(term_stretches(term, calendar)) for term in terms_of(legs, end)]


@given(lives(), st.sampled_from(UNITS))
def test_periods_tile_the_life(life: tuple[list[Leg], datetime], unit: IntervalUnit) -> None:
    legs, end = life
    of_terms = stretches_of(legs, end, unit)
    windows = [each.usage for of_term in of_terms for each in of_term]
    assert (windows[0].start, windows[-1].end) == (legs[0].start, end)
    assert all(before.end == after.start for before, after in pairwise(windows))
    for of_term in of_terms:
        for before, after in pairwise(of_term):
            assert before.usage_end_day == before.whole.end_day == after.fee_days.first_day
            assert after.whole.first_day == after.fee_days.first_day


@given(lives(), st.sampled_from(UNITS))
def test_each_day_is_paid_for_once(life: tuple[list[Leg], datetime], unit: IntervalUnit) -> None:
    legs, end = life
    paid: list[date] = []
    for of_term in stretches_of(legs, end, unit):
        for each in of_term:
            paid += sorted(days_of(each.fee_days) - set().union(*map(days_of, each.paused), set()))
    touched = set()
    for leg in legs:
        last = leg.end if leg is legs[-1] else max(leg.end or end, leg.start)
        assert last is not None
        touched |= days_of(DayPeriod(leg.day(leg.start), leg.day(last - MICRO) + DAY))
    assert len(paid) == len(set(paid))
    # But for the day of the end, which is billed though nothing of it may be left.
    assert set(paid) - touched <= {legs[-1].day(end)}
    assert touched - set(paid) <= {legs[-1].day(end)}


@given(lives(), st.sampled_from(UNITS))
def test_cells_of_terms_sum_to_the_log(
    life: tuple[list[Leg], datetime], unit: IntervalUnit
) -> None:
    legs, end = life
    near = [leg.start for leg in legs]  # Where days could be repeated.
    times = [at + timedelta(hours=count) for at in near for count in range(-24, 25, 4)]
    active = [at for at in times if any(leg.start <= at < (leg.end or end) for leg in legs)]
    folded = fold([a_slice(times)], {1: Catalog(1, {"calls": [METER]}, {"acme": a_term(legs)})})
    assert sum(cell.event_count for cell in folded.cells.values()) == len(active)
    assert sum(folded.unattributed.values()) == len(times) - len(active)
    ids = [term.term_id for term in terms_of(legs, end)]
    for term_id, of_term in zip(ids, stretches_of(legs, end, unit), strict=True):
        for each in of_term:
            assert each.usage_end_day is not None
            days = days_of(DayPeriod(each.fee_days.first_day, each.usage_end_day))
            counted = sum(
                cell.event_count
                for key, cell in folded.cells.items()
                if key.term_id == term_id and key.day in days
            )
            assert counted == sum(at in each.usage for at in active)


@given(
    minutes, st.sampled_from(ZONES), st.sampled_from(UNITS), st.timedeltas(timedelta(0), 99 * DAY)
)
def test_a_life_without_changes_has_the_stretches_of_the_calendar(
    start: datetime, zone: str, unit: IntervalUnit, length: timedelta
) -> None:
    first_day, end = local_day(start, ZoneInfo(zone)), start + length
    calendar = Calendar(Interval(unit), ZoneInfo(zone), BillingTime.ANNIVERSARY, first_day)
    legs = [Leg(UUID(int=1), UUID(int=1), zone, start, end, first_day)]
    [term] = terms_of(legs, end)
    expected = [(one.whole, one.fee_days, one.usage) for one in stretches(calendar, start, end)]
    planned = [(one.whole, one.fee_days, one.usage) for one in term_stretches(term, calendar)]
    assert planned == expected


MICRO = timedelta(microseconds=1)


def days_of(days: DayPeriod) -> set[date]:
    return {days.first_day + DAY * count for count in range(days.days)}


def a_slice(times: list[datetime]) -> Slice:
    events = [
        UsageEvent(1, "acme", "", "calls", Moment(micros(at), 0, 1, place), {})
        for place, at in enumerate(times)
    ]
    return Slice(0, 0, 1, 0, "", columns_of(events))


def a_term(legs: list[Leg]) -> list[Term]:
    return [
        Term(
            term_id=leg.term_id,
            subscription_id="s",
            subscription_start=micros(legs[0].start),
            default_for_usage=False,
            zone=leg.zone,
            start=micros(leg.start),
            end=None if leg.end is None else micros(leg.end),
            event_types=frozenset({"calls"}),
            first_day=leg.first_day.toordinal(),
        )
        for leg in legs
    ]
