"""Days between two instants, by blocks of 24 hours and by dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from services.rating.domain.day_counts import days_between, days_touched

MICROSECOND = timedelta(microseconds=1)


def instant(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("first", "last", "zone", "between", "touched"),
    [
        # Blocks start at the time of day of the first instant.
        ("2023-09-01T01:10", "2023-10-01T00:59:59", "Europe/Paris", 30, 31),
        ("2023-09-01T01:10", "2023-10-01T01:10", "Europe/Paris", 30, 31),
        ("2023-09-01T01:10", "2023-10-01T01:10:00.000001", "Europe/Paris", 31, 31),
        ("2023-09-01T12:00", "2023-09-01T12:00", "UTC", 0, 1),
        ("2023-09-01T12:00", "2023-09-01T12:00:01", "UTC", 1, 1),
        ("2023-09-01T23:00", "2023-09-02T01:00", "UTC", 1, 2),
        # A midnight stands for its day.
        ("2023-12-01T00:00", "2023-12-07T00:00", "UTC", 7, 7),
        ("2023-12-01T00:00", "2023-12-06T23:59:59.999999", "UTC", 6, 6),
        ("2023-12-01T10:00", "2023-12-03T00:00", "UTC", 3, 3),
        ("2023-12-01T00:00", "2023-12-01T00:00", "UTC", 1, 1),
        # The clock goes forward in March and back in October, and counts as if it had not.
        ("2024-03-31T00:00", "2024-03-31T23:59:59", "Europe/Paris", 1, 1),
        ("2024-03-30T12:00", "2024-03-31T12:00", "Europe/Paris", 1, 2),
        ("2024-03-30T12:00", "2024-03-31T12:30", "Europe/Paris", 2, 2),
        ("2024-10-27T00:00", "2024-10-27T23:59:59", "Europe/Paris", 1, 1),
        ("2024-10-26T12:00", "2024-10-27T12:00", "Europe/Paris", 1, 2),
        # The same instants are other days elsewhere.
        ("2023-12-01T10:00", "2023-12-01T16:00", "Asia/Tokyo", 1, 1),
        ("2023-12-01T22:00", "2023-12-02T04:00", "Asia/Tokyo", 1, 2),
        # In Santiago the clock jumped over midnight: the day began at 01:00.
        ("2023-09-02T00:00", "2023-09-03T01:00", "America/Santiago", 2, 2),
        ("2023-09-02T00:00", "2023-09-03T01:30", "America/Santiago", 2, 2),
        ("2023-09-01T12:00", "2023-09-03T01:00", "America/Santiago", 3, 3),
        ("2023-09-03T01:00", "2023-09-03T23:59:59", "America/Santiago", 1, 1),
    ],
)
def test_days_are_counted(first: str, last: str, zone: str, between: int, touched: int) -> None:
    stretch = instant(first, zone), instant(last, zone), ZoneInfo(zone)
    assert days_between(*stretch) == between
    assert days_touched(*stretch) == touched


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "America/Santiago", "Asia/Kathmandu"])
@pytest.mark.parametrize("month", range(1, 12))
def test_from_a_midnight_both_counts_agree(zone: str, month: int) -> None:
    first = instant(f"2023-{month:02}-01T00:00", zone)
    end = instant(f"2023-{month + 1:02}-01T00:00", zone)
    for last in (first + timedelta(hours=7), end - timedelta(days=3), end - MICROSECOND, end):
        stretch = first, last, ZoneInfo(zone)
        assert days_between(*stretch) == days_touched(*stretch)
