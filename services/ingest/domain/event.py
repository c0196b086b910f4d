"""The usage event: what a client sent, and what the log makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from libs.errors import NotFound
from libs.tenant import Tenant
from services.ingest.domain.number import Number

MICROS_PER_SECOND = 1_000_000
SECONDS_MIN, SECONDS_MAX = -62_135_596_800, 253_402_300_799  # The years 1 to 9999.


class EventNotFound(NotFound):
    """The tenant stored no such event."""

    reason = "EVENT_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value that was sent and breaks its grammar; `problem` says how, for people."""

    problem: str


PropertyValue = str | Number | bool | Unreadable


class Event(NamedTuple):  # A tuple: as a dataclass it took five times as long to make.
    """What a client sent. Texts that it left out are "", a time or amount None.

    `time` counts microseconds since 1970 in UTC.
    """

    id: str
    source: str
    type: str
    time: int | Unreadable | None
    customer_id: str
    subscription_id: str
    properties: Mapping[str, PropertyValue]
    amount: Number | Unreadable | None
    hold_id: str


class LoggedEvent(NamedTuple):
    """An event in a segment; `received` counts microseconds since 1970."""

    tenant: Tenant
    place: int  # In the segment.
    event: Event
    received: int

    @property
    def time(self) -> int:
        """When it happened: as sent, else when it was received."""
        time = self.event.time
        assert not isinstance(time, Unreadable)
        return self.received if time is None else time


def parse_time(seconds: int, nanos: int) -> int | Unreadable:
    """Return microseconds since 1970; times finer than that or far away are unreadable."""
    if not SECONDS_MIN <= seconds <= SECONDS_MAX:
        return Unreadable(f"{seconds} s since 1970 lie outside the years 1 to 9999")
    if not 0 <= nanos < 1_000_000_000 or nanos % 1_000:
        return Unreadable(f"{nanos} ns are not whole microseconds of a second")
    return seconds * MICROS_PER_SECOND + nanos // 1_000
