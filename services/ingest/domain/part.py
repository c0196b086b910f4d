"""What the readers of both forms of requests give: the events of a group, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np

from services.ingest.domain.event import Event
from services.ingest.domain.properties import SentProperties
from services.ingest.domain.wire import Field, Ints, Times

# The texts of an event that have places beside its amount.
SHARED = (Field.SOURCE, Field.TYPE, Field.CUSTOMER_ID, Field.SUBSCRIPTION_ID, Field.HOLD_ID)


class Sent(Protocol):
    """Events as they were sent, one by one: only those that may be at fault are looked at so."""

    def event(self, row: int, among: Sequence[int] | None = None) -> Event:
        """Return the event in `row`; what breaks its grammar is Unreadable.

        With only those of its properties whose places in the part's are `among` these, if given.
        """

    def contents(self, rows: Sequence[int]) -> list[bytes]:
        """Return the events in `rows`, ascending, as serialized tally.ingest.v1.Events."""


@dataclass(frozen=True, slots=True)
class Part:
    """Events that one reader found. Places lead into the texts of the group."""

    ids: Sequence[bytes]
    sizes: Ints  # How many bytes each has at most, as a serialized Event.
    times: Times
    places: dict[Field, Ints]  # Of SHARED, and of amounts in canonical form: below 0, unreadable.
    properties: SentProperties
    unread: Ints  # Rows of events with too many properties: not all of them are here.
    sent: Sent


@dataclass(frozen=True, slots=True)
class _SentInParts:
    """Events of several parts. `order` says of each row where it lies, one part behind another."""

    parts: Sequence[Part]
    order: Ints

    def event(self, row: int, among: Sequence[int] | None = None) -> Event:
        part, place = self._find(row)
        if among:
            before = self._properties_before(part)
            among = [one - before for one in among]
        return part.sent.event(place, among)

    def contents(self, rows: Sequence[int]) -> list[bytes]:
        found = sorted(zip(self.order[list(rows)].tolist(), rows, strict=True))
        contents: dict[int, bytes] = {}
        start = 0
        for part in self.parts:
            end = start + len(part.ids)
            own = {row: place - start for place, row in found if start <= place < end}
            contents |= zip(own, part.sent.contents(list(own.values())), strict=True)
            start = end
        return [contents[row] for row in rows]

    def _find(self, row: int) -> tuple[Part, int]:
        place = int(self.order[row])
        for part in self.parts:
            if place < len(part.ids):
                return part, place
            place -= len(part.ids)
        raise AssertionError(f"row {row} lies in no part")

    def _properties_before(self, wanted: Part) -> int:
        before = 0
        for part in self.parts:
            if part is wanted:
                break
            before += len(part.properties.rows)
        return before


def join(parts: Sequence[Part], order: Ints) -> Part:
    """Return the events of `parts` in `order`: their places, one part behind the other."""
    if len(parts) == 1:
        return parts[0]
    rows = np.empty_like(order)
    rows[order] = np.arange(len(order))
    ends = np.cumsum([len(part.ids) for part in parts])
    starts = [0, *ends[:-1].tolist()]
    ids = list(chain.from_iterable(part.ids for part in parts))
    times = [part.times for part in parts]
    return Part(
        ids=[ids[place] for place in order.tolist()],
        sizes=np.concatenate([part.sizes for part in parts])[order],
        times=Times(
            np.concatenate([one.given for one in times])[order],
            np.concatenate([one.seconds for one in times])[order],
            np.concatenate([one.nanos for one in times])[order],
        ),
        places={
            field: np.concatenate([part.places[field] for part in parts])[order]
            for field in parts[0].places
        },
        properties=SentProperties.joined(
            [part.properties.moved(rows, start) for part, start in zip(parts, starts, strict=True)]
        ),
        unread=np.concatenate(
            [rows[part.unread + start] for part, start in zip(parts, starts, strict=True)]
        ),
        sent=_SentInParts(parts, order),
    )
