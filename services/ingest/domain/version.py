"""Versions of an event: what it is, and what it was before it was corrected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from libs.errors import FieldInvalid, Refused
from services.ingest.domain.event import LoggedEvent
from services.ingest.domain.validation import Rejection


class EventRetracted(Refused):
    """The event was taken back; it cannot be corrected any more."""

    reason = "EVENT_RETRACTED"


class RuleBroken(FieldInvalid):
    """What an event was to become breaks a rule of events."""

    def __init__(self, rejection: Rejection) -> None:
        field = f"event.{rejection.field}" if rejection.field else "event"
        super().__init__(field, rejection.detail)
        self.metadata["rejection_reason"] = rejection.reason.value


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in a shard's log."""

    number: int
    index: int


@dataclass(frozen=True, slots=True)
class Version:
    """An event since the segment `number`; version 1 is as it was recorded.

    Times are microseconds since 1970. `content` is an Event as it was sent: of a retracted one,
    what it was until then.
    """

    version: int
    number: int
    origin: Position  # Where the event was recorded.
    received: int
    time: int
    customer_id: str
    digest: int
    retracted: bool
    content: bytes
    corrected_at: datetime | None


@dataclass(frozen=True, slots=True)
class Found:
    """An event, where it was recorded, and what became of it since."""

    position: Position
    logged: LoggedEvent
    version: int = 1
    corrected_at: datetime | None = None
    retracted: bool = False
