"""The usage event of a file, and what is said of a row that is none."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
MICRO_DIGITS = 6

Value = str | Decimal | bool


class RowFault(Exception):
    """A row cannot be read as an event; the message says why, by field."""


class FileFault(Exception):
    """A file cannot be read, or not from here on."""


class Event(NamedTuple):
    """An event as the contract has it. Texts that are left out are "", a time or amount None.

    `time` counts microseconds since 1970 in UTC.
    """

    id: str
    source: str
    type: str
    time: int | None
    customer_id: str
    subscription_id: str
    properties: Mapping[str, Value]
    amount: Decimal | None
    hold_id: str


class Row(NamedTuple):
    """What a file says in one place, by the file's names; `line` counts from 1.

    Values are str, bool, int, Decimal, datetime, None or a mapping of such.
    """

    line: int
    values: Mapping[str, object]


class ReadEvent(NamedTuple):
    """An event, and the line on which it begins."""

    line: int
    event: Event


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that is no event."""

    line: int
    id: str  # As far as it is known.
    problem: str


def parse_time(value: object, zone: ZoneInfo | None) -> int:
    """Return microseconds since 1970 of an RFC 3339 text or a datetime.

    Without an offset it is a time on the clocks of `zone`.

    Raises:
        RowFault: it is no time, finer than a microsecond, or it is not known of which zone.
    """
    instant = _parse_text(value) if isinstance(value, str) else value
    if not isinstance(instant, datetime):
        raise RowFault(f"time: {value!r} is no time like 2014-02-01T10:00:00Z")
    if instant.tzinfo is None:
        instant = _placed(instant, zone)
    return (instant - EPOCH) // MICROSECOND


def time_text(micros: int) -> str:
    """Return microseconds since 1970 as "2014-02-01T10:00:00.000001Z"."""
    instant = EPOCH + timedelta(microseconds=micros)
    return instant.replace(tzinfo=None).isoformat() + "Z"


def _parse_text(text: str) -> datetime:
    match = RFC_3339.fullmatch(text)
    if match is None:
        raise RowFault(f"time: {text!r} is no time like 2014-02-01T10:00:00Z")
    day, clock, fraction, offset = match.groups(default="")
    if fraction[MICRO_DIGITS:].strip("0"):
        raise RowFault(f"time: {text!r} is finer than a microsecond")
    micros = fraction[:MICRO_DIGITS].ljust(MICRO_DIGITS, "0")
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{micros}{offset.upper()}")
    except ValueError as error:
        raise RowFault(f"time: {text!r} is no time: {error}") from None


def _placed(local: datetime, zone: ZoneInfo | None) -> datetime:
    if zone is None:
        raise RowFault(f"time: {local.isoformat()} has no offset; --time-zone says whose it is")
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise RowFault(f"time: {local.isoformat()} is there twice or never in {zone.key}")
    return first
