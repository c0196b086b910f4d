"""Hours, days and the whole of some time count the same events."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from libs.period import Period, local_day
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.cell import Cell, merged
from services.rating.domain.columns import Slice, columns_of
from services.rating.domain.event import Moment, UsageEvent, instant_of, micros
from services.rating.domain.folding import fold
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.usage import units
from services.rating.domain.windows import FIRST_ORDINAL, Window, Windows, make_windows

# In 2026 the clocks of these change within the ten days of events, or their hours do not begin
# with those of UTC.
ZONES = ["Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Africa/Cairo", "UTC"]
START = datetime(2026, 3, 24, 5, 17, tzinfo=UTC)
DAYS = 10
METERS = [
    Meter(
        meter_id=UUID(int=place),
        code=aggregation,
        name=aggregation,
        event_type="used",
        aggregation=aggregation,
        value_property="" if aggregation is Aggregation.COUNT else "v",
        dimensions=(),
        created_at=START,
    )
    for place, aggregation in enumerate((Aggregation.COUNT, Aggregation.SUM), start=1)
]
used = st.tuples(
    st.integers(0, DAYS * 24 * 60 - 1), st.decimals(min_value=-9, max_value=9, places=2)
)


def event(number: int, minutes: int, value: Decimal) -> UsageEvent:
    moment = Moment(micros(START + timedelta(minutes=minutes)), 0, number, 0)
    return UsageEvent(1, "acme", "", "used", moment, {"v": value})


def in_windows(
    log: list[UsageEvent], windows: Windows, zone: ZoneInfo
) -> dict[UUID, dict[int, Cell]]:
    """Return the usage of each window, by meter."""
    term = Term(UUID(int=9), "s", 0, False, zone, 0, None, frozenset({"used"}))
    catalog = Catalog(1, {"used": METERS}, {"acme": [term]})
    pieces = [Slice(0, 0, each.moment.number, 0, "", columns_of([each])) for each in log]
    found: dict[UUID, dict[int, Cell]] = defaultdict(dict)
    for key, cell in fold(pieces, {1: catalog}, days=windows.ordinals).cells.items():
        found[key.meter_id][key.day.toordinal() - FIRST_ORDINAL] = cell
    return found


@given(st.lists(used, min_size=1, max_size=20), st.sampled_from(ZONES), st.sampled_from(ZONES))
def test_hours_add_up_to_days_and_days_to_the_whole(
    events: list[tuple[int, Decimal]], asked: str, subscribed: str
) -> None:
    """In whatever zone they are asked for, and wherever the subscription is."""
    zone, own = ZoneInfo(asked), ZoneInfo(subscribed)
    log = [event(number, *each) for number, each in enumerate(events, start=1)]
    whole = Period(START, START + timedelta(days=DAYS))
    hours, days = (make_windows(each, zone, whole) for each in (Window.HOUR, Window.DAY))
    by_hour, by_day = (in_windows(log, each, own) for each in (hours, days))
    for meter in METERS:
        of_days: dict[int, list[Cell]] = defaultdict(list)
        for place, cell in by_hour[meter.meter_id].items():
            day = days.find(hours.periods[place].start)
            assert day is not None
            of_days[day].append(cell)
        added = {day: units(merged(cells), meter) for day, cells in of_days.items()}
        counted = by_day[meter.meter_id]
        assert added == {day: units(each, meter) for day, each in counted.items()}
        values = [Decimal(1) if meter is METERS[0] else value for _, value in events]
        assert sum(added.values()) == sum(values)


@given(st.lists(used, min_size=1, max_size=20), st.sampled_from(ZONES))
def test_each_event_is_in_the_window_of_its_local_hour(
    events: list[tuple[int, Decimal]], asked: str
) -> None:
    """Told by the wall clock, a minute at a time."""
    zone = ZoneInfo(asked)
    hours = make_windows(Window.HOUR, zone, Period(START, START + timedelta(days=DAYS)))
    for minutes, _ in events:
        instant = START + timedelta(minutes=minutes)
        place = hours.find(instant)
        assert place is not None
        window = hours.periods[place]
        local, begun = instant.astimezone(zone), window.start.astimezone(zone)
        assert (local.date(), local.hour) == (begun.date(), begun.hour)
        assert window.end - window.start <= timedelta(hours=1)
        assert local_day(instant_of(micros(window.start)), zone) == local_day(instant, zone)
