"""Events as the columns in which they are sent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from cli.events.event import Event, Value
from tally.ingest.v1.event_columns_pb2 import (
    DecimalValues,
    EventColumns,
    FlagValues,
    PropertyValues,
    TextValues,
)

PLAIN_CHARACTERS_MAX = 18  # Of a decimal: with so many its digits fit into a whole number.


def event_columns(events: Sequence[Event]) -> EventColumns:
    """Return what the events say, in their order."""
    texts = _Texts()
    amounts = ("" if event.amount is None else str(event.amount) for event in events)
    columns = EventColumns(
        ids=[event.id for event in events],
        sources=texts.column(event.source for event in events),
        types=texts.column(event.type for event in events),
        customer_ids=texts.column(event.customer_id for event in events),
        subscription_ids=texts.column(event.subscription_id for event in events),
        amounts=texts.column(amounts),
        hold_ids=texts.column(event.hold_id for event in events),
        times=_times(events),
        untimed=_untimed(events),
        properties=_properties(events, texts),
    )
    columns.texts.extend(texts.all())  # Last: by now each text has its place.
    return columns


class _Texts:
    """Texts by their places; the first one is empty."""

    def __init__(self) -> None:
        self._places = {"": 0}

    def place(self, text: str) -> int:
        """Return where `text` is."""
        return self._places.setdefault(text, len(self._places))

    def column(self, texts: Iterable[str]) -> list[int]:
        """Return a place for each text; one if all are the same, none if all are empty."""
        places = list(map(self.place, texts))
        if places.count(places[0]) < len(places):
            return places
        return places[:1] if places[0] else []

    def all(self) -> list[str]:
        """Return the texts by their places."""
        return list(self._places)


def _times(events: Sequence[Event]) -> list[int]:
    if all(event.time is None for event in events):
        return []
    return [event.time or 0 for event in events]


def _untimed(events: Sequence[Event]) -> list[int]:
    rows = [row for row, event in enumerate(events) if event.time is None]
    return rows if len(rows) < len(events) else []


def _properties(events: Sequence[Event], texts: _Texts) -> Iterable[PropertyValues]:
    """Give a column for each property and kind of its values."""
    found: dict[tuple[str, type], tuple[list[int], list[Value]]] = {}
    for row, event in enumerate(events):
        for key, value in event.properties.items():
            column = found.get((key, type(value)))
            if column is None:
                column = found[key, type(value)] = ([], [])
            column[0].append(row)
            column[1].append(value)
    for (key, kind), (rows, values) in found.items():
        message = PropertyValues(key=key, indexes=rows if len(rows) < len(events) else [])
        if kind is Decimal:
            _put_decimals(message, [str(value) for value in values], texts)
        elif kind is bool:
            message.flags.CopyFrom(FlagValues(flags=[value is True for value in values]))
        else:
            places = [texts.place(str(value)) for value in values]
            message.texts.CopyFrom(TextValues(places=places))
        yield message


def _put_decimals(message: PropertyValues, written: list[str], texts: _Texts) -> None:
    """Write decimals as whole numbers and powers of ten, if all of them are small and plain."""
    if any(len(text) > PLAIN_CHARACTERS_MAX or "E" in text for text in written):
        places = [texts.place(text) for text in written]
        message.decimal_texts.CopyFrom(TextValues(places=places))
        return
    split = [text.partition(".") for text in written]
    exponents = [-len(fraction) for _, _, fraction in split]
    if exponents.count(exponents[0]) == len(exponents):
        exponents = exponents[:1] if exponents[0] else []
    mantissas = [int(whole + fraction) for whole, _, fraction in split]
    message.decimals.CopyFrom(DecimalValues(mantissas=mantissas, exponents=exponents))
