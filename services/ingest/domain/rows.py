"""Reading requests of events one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.ingest.domain.decimals import read_amounts
from services.ingest.domain.event import Event
from services.ingest.domain.part import SHARED, Part
from services.ingest.domain.properties import read_properties
from services.ingest.domain.sent import sent_event
from services.ingest.domain.texts import Texts, cut
from services.ingest.domain.wire import Field, Fields, find_events, read_fields
from services.ingest.domain.wire_few import FEW_EVENTS_MAX, read_few_fields


@dataclass(frozen=True, slots=True)
class SentRows:
    """Events out of their serialized requests."""

    fields: Fields

    def event(self, row: int, among: Sequence[int] | None = None) -> Event:
        """Return the event in `row`, with the properties `among` these places or with all."""
        return sent_event(self.fields, row, among)

    def contents(self, rows: Sequence[int]) -> list[bytes]:
        """Return the events in `rows` as they were sent."""
        return cut(self.fields.data, self.fields.events.at(np.array(rows, np.int64)))


def read_rows(requests: Sequence[bytes], texts: Texts, *, properties_max: int) -> Part:
    """Return the events of serialized RecordEventsRequests without unknown fields."""
    data, events = find_events(requests)
    read = read_few_fields if len(events.starts) <= FEW_EVENTS_MAX else read_fields
    fields = read(data, events, properties_max=properties_max)
    places = {field: texts.places(data, fields.octets, fields.texts[field]) for field in SHARED}
    places[Field.AMOUNT] = read_amounts(cut(data, fields.texts[Field.AMOUNT]), texts)
    return Part(
        ids=cut(data, fields.texts[Field.ID]),
        sizes=events.lengths,
        times=fields.times,
        places=places,
        properties=read_properties(fields, texts),
        unread=fields.unread,
        sent=SentRows(fields),
    )
