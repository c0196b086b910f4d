"""Instants and steps as they are typed."""

from datetime import UTC, datetime, timedelta

import pytest

from cli.clock import parse_target, time_text


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("2014-02-01", datetime(2014, 2, 1, tzinfo=UTC)),
        ("2014-02-01T00:30:00Z", datetime(2014, 2, 1, 0, 30, tzinfo=UTC)),
        ("2014-02-01T11:00:00+11:00", datetime(2014, 2, 1, tzinfo=UTC)),
        ("+32d", timedelta(days=32)),
        ("+90m", timedelta(minutes=90)),
        ("+2w", timedelta(weeks=2)),
    ],
)
def test_a_time_or_a_step_is_read(typed: str, meant: datetime | timedelta) -> None:
    assert parse_target(typed) == meant


@pytest.mark.parametrize("typed", ["", "tomorrow", "+5", "5d", "+1y", "2014-02-30", "-1d"])
def test_anything_else_is_refused(typed: str) -> None:
    with pytest.raises(ValueError):
        parse_target(typed)


def test_a_time_is_shown_in_utc() -> None:
    assert time_text(datetime(2014, 2, 1, tzinfo=UTC)) == "2014-02-01T00:00:00Z"
