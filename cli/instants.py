"""Instants as they are typed: "2014-02-01", "2014-02-01T10:00:00+11:00", "+32d"."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

DURATION = re.compile(r"\+(\d{1,6})([smhdw])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta | None:
    """Read a step like "+32d", "+90m", "+2w"; None if it is written in no such way."""
    match = DURATION.fullmatch(text)
    return timedelta(**{UNITS[match[2]]: int(match[1])}) if match else None


def parse_instant(text: str) -> datetime:
    """Read a date or an RFC 3339 time; without an offset it is in UTC.

    Raises:
        ValueError: it is neither.
    """
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)


class Instant(click.ParamType[datetime]):
    """An instant, as the type of an option."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return parse_instant(value)
        except ValueError:
            self.fail(f"{value!r} is no time like 2014-02-01 or 2014-02-01T10:00:00Z", param, ctx)


INSTANT = Instant()
