"""Reading: the value that a meter sees in an event, of a property or of an expression."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from services.rating.domain.batch import Batch, Numbers
from services.rating.domain.columns import Ints, Kind, PropertyColumn, encode, ints, read_value
from services.rating.domain.event import PropertyValue, UsageEvent
from services.rating.domain.expression import evaluate, parse_expression
from services.rating.domain.expression_event import Failure, Readable
from services.rating.domain.meter import Meter
from services.rating.domain.value import parse_value, text_of

parsed = lru_cache(maxsize=4_096)(parse_expression)


def value_of(event: UsageEvent, meter: Meter) -> PropertyValue | None:
    """Return the value of an event for `meter`, None if it has none."""
    if not meter.expression:
        return event.properties.get(meter.value_property)
    value = evaluate(
        parsed(meter.expression), Readable(event.type, event.moment.time, event.properties)
    )
    return None if isinstance(value, Failure) else value


def number_of(event: UsageEvent, meter: Meter) -> Decimal | None:
    """Return the number of an event for `meter`, None if it has none."""
    return parse_value(value_of(event, meter))


def numbers_of(batch: Batch, rows: Ints, meter: Meter) -> Numbers:
    """Return the numbers that `meter` sees in `rows` of a batch, one a row of the whole batch."""
    if not meter.expression:
        return batch.numbers(meter.value_property)
    return batch.numbers_in(_computed(batch, rows, meter.expression))


def texts_of(batch: Batch, rows: Ints, meter: Meter) -> Ints:
    """Return the texts that `meter` sees in `rows` of a batch, one a row of the whole batch."""
    if not meter.expression:
        return batch.texts(meter.value_property)
    return batch.texts_in(_computed(batch, rows, meter.expression))


def text_for(event: UsageEvent, meter: Meter) -> str:
    """Return the text of an event for `meter`, "" if it has none."""
    return text_of(value_of(event, meter))


def _computed(batch: Batch, rows: Ints, text: str) -> list[PropertyColumn]:
    """Evaluate an expression for `rows`: columns of its values, without those that failed."""
    expression = parsed(text)
    read: dict[int, dict[str, PropertyValue]] = {row: {} for row in rows.tolist()}
    for name in expression.properties:
        columns = batch.columns(name)
        strings = batch.listed()  # Those of the columns are among them now.
        for column in columns:
            for at, row in enumerate(column.rows.tolist()):
                if row in read:
                    read[row][name] = read_value(column, at, strings)
    found: dict[Kind, list[tuple[int, int, int]]] = {}
    types, times = batch.types[rows].tolist(), batch.times[rows].tolist()
    for (row, properties), place, time in zip(read.items(), types, times, strict=True):
        value = evaluate(expression, Readable(batch.text(place), time, properties))
        if not isinstance(value, Failure):
            kind, number, exponent = encode(value, batch.strings)
            found.setdefault(kind, []).append((row, number, exponent))
    return [
        PropertyColumn("", kind, *(ints(column) for column in zip(*values, strict=True)))
        for kind, values in found.items()
    ]
