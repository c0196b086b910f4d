"""Windows of time, and where the usage of a term within some time is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from libs.errors import FieldInvalid
from libs.period import DayPeriod, Period
from services.rating.domain.attribution import Term
from services.rating.domain.columns import ints
from services.rating.domain.event import micros
from services.rating.domain.usage_query import Sources, split_sources
from services.rating.domain.windows import (
    Window,
    Windows,
    cut_windows,
    make_windows,
)

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # Its clocks change by half an hour.
TERM = Term(UUID(int=1), "s", 0, False, BERLIN, 0, None, frozenset())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def between(start: str, end: str) -> Period:
    return Period(at(start), at(end))


def starts(window: Window, zone: ZoneInfo, start: str, end: str) -> list[str]:
    made = make_windows(window, zone, between(start, end))
    assert made.whole == between(start, end)
    ends = [each.end for each in made.periods]
    assert ends[:-1] == [each.start for each in made.periods[1:]]
    return [each.start.strftime("%d %H:%M") for each in made.periods]


def test_hours_at_the_ends_are_cut() -> None:
    assert starts(Window.HOUR, BERLIN, "2026-01-05 10:30", "2026-01-05 12:10") == [
        "05 10:30",
        "05 11:00",
        "05 12:00",
    ]


def test_an_hour_that_the_clock_repeats_is_two() -> None:
    """Local 02:00 to 03:00 comes twice on 25 October."""
    found = starts(Window.HOUR, BERLIN, "2026-10-25 00:00", "2026-10-25 03:00")
    assert found == ["25 00:00", "25 01:00", "25 02:00"]


def test_where_the_clock_changes_by_half_an_hour_an_hour_is_shorter() -> None:
    """At 15:00 UTC on 4 April it goes from 02:00 back to 01:30."""
    found = starts(Window.HOUR, LORD_HOWE, "2026-04-04 14:00", "2026-04-04 16:30")
    assert found == ["04 14:00", "04 15:00", "04 15:30"]


def test_days_begin_at_local_midnight() -> None:
    """The clock goes forward on 29 March: the day has 23 hours."""
    found = starts(Window.DAY, BERLIN, "2026-03-28 12:00", "2026-03-30 23:00")
    assert found == ["28 12:00", "28 23:00", "29 22:00", "30 22:00"]


def test_each_instant_is_in_its_window() -> None:
    windows = make_windows(Window.HOUR, BERLIN, between("2026-01-05 10:30", "2026-01-05 12:00"))
    instants = [at("2026-01-05 10:30"), at("2026-01-05 10:59"), at("2026-01-05 11:00")]
    assert [windows.find(each) for each in instants] == [0, 0, 1]
    assert windows.find(at("2026-01-05 12:00")) is None
    assert windows.find(at("2026-01-05 10:29")) is None
    assert windows.ordinals(ints(map(micros, instants)), BERLIN).tolist() == [1, 1, 2]


def test_more_than_10_000_windows_are_refused() -> None:
    start = at("2026-01-01 00:00")
    most = Period(start, start + timedelta(hours=10_000))
    assert len(make_windows(Window.HOUR, ZoneInfo("UTC"), most).periods) == 10_000
    more = Period(start, start + timedelta(hours=10_000, seconds=1))
    with pytest.raises(FieldInvalid, match="end: is so late"):
        make_windows(Window.HOUR, ZoneInfo("UTC"), more)


def test_periods_are_cut_at_what_is_asked_for() -> None:
    months = [between("2026-02-01", "2026-03-01"), between("2026-01-01", "2026-02-01")]
    cut = cut_windows(months, between("2026-01-10", "2026-02-01"))
    assert cut == Windows([between("2026-01-10", "2026-02-01")])


def sources(first: int, end: int, *parts: tuple[str, str]) -> Sources:
    days = DayPeriod(date(2026, 1, first), date(2026, 1, end))
    return Sources(days, tuple(between(*part) for part in parts))


TERMS = {
    "open": TERM,
    "from the 2nd, 12:00": replace(TERM, start=micros(at("2026-01-02 11:00"))),
    "to the 5th, 07:00": replace(TERM, end=micros(at("2026-01-05 06:00"))),
}
# Days of Berlin begin at 23:00 UTC.
CASES = [
    ("open", "2026-01-01 23:00", "2026-01-03 23:00", sources(2, 4)),
    (
        "open",
        "2026-01-02 12:00",
        "2026-01-05 06:00",
        sources(
            3, 5, ("2026-01-02 12:00", "2026-01-02 23:00"), ("2026-01-04 23:00", "2026-01-05 06:00")
        ),
    ),
    (
        "open",
        "2026-01-02 12:00",
        "2026-01-02 13:00",
        sources(3, 3, ("2026-01-02 12:00", "2026-01-02 13:00")),
    ),
    ("from the 2nd, 12:00", "2026-01-01 00:00", "2026-01-03 23:00", sources(2, 4)),
    (
        "from the 2nd, 12:00",
        "2026-01-01 00:00",
        "2026-01-02 12:00",
        sources(2, 2, ("2026-01-02 11:00", "2026-01-02 12:00")),
    ),
    (
        "from the 2nd, 12:00",
        "2026-01-02 11:01",
        "2026-01-02 23:00",
        sources(3, 3, ("2026-01-02 11:01", "2026-01-02 23:00")),
    ),
    ("to the 5th, 07:00", "2026-01-03 23:00", "2026-02-01 00:00", sources(4, 6)),
    (
        "to the 5th, 07:00",
        "2026-01-03 23:00",
        "2026-01-05 05:59",
        sources(4, 5, ("2026-01-04 23:00", "2026-01-05 05:59")),
    ),
    ("to the 5th, 07:00", "2026-01-06 00:00", "2026-01-07 00:00", sources(6, 6)),
]


@pytest.mark.parametrize(("term", "start", "end", "expected"), CASES)
def test_whole_days_are_stored_and_the_rest_is_in_the_log(
    term: str, start: str, end: str, expected: Sources
) -> None:
    assert split_sources(TERMS[term], between(start, end)) == expected
