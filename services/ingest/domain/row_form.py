"""Events of columns as rows: what each would be as a serialized tally.ingest.v1.Event.

An event of columns that is rejected is kept as the bytes that the same event has as a row.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from services.ingest.domain.event import MICROS_PER_SECOND
from services.ingest.domain.sent_columns import Form, SentColumns
from services.ingest.domain.wire import LENGTH_DELIMITED, Field, Ints, Kind

# The most bytes that an event has beside its texts and properties: its time, and the tags and
# lengths of 7 texts, of at most 8 MiB.
EVENT_BYTES_MAX = 2 + 11 + 6 + 7 * 5
DECIMAL_CHARACTERS_MAX = 33  # Of -0.000000000001234567890123456789.
# The most bytes that a property has beside its texts: three lengths around it, two tags in it.
VALUE_BYTES_MAX = 4 * 5 + DECIMAL_CHARACTERS_MAX
# The bytes that they usually have.
EVENT_BYTES = 22
VALUE_BYTES = {
    Form.NONE: 6,
    Form.TEXTS: 8,
    Form.DECIMALS: 13,
    Form.DECIMAL_TEXTS: 8,
    Form.FLAGS: 8,
}
POWERS_OF_10 = np.array([10**power for power in range(1, 20)], np.uint64)
MASK_64 = (1 << 64) - 1
SHORT_VARINTS = [bytes([number]) for number in range(128)]
KINDS = {
    Form.TEXTS: Kind.TEXT,
    Form.DECIMALS: Kind.DECIMAL,
    Form.DECIMAL_TEXTS: Kind.DECIMAL,
    Form.FLAGS: Kind.FLAG,
}


def written_size(columns: SentColumns) -> int:
    """Return about how many bytes all events have as rows; `columns` fit each other."""
    events = len(columns.ids)
    lengths = np.fromiter(map(len, columns.texts), np.int64, len(columns.texts))
    size = sum(map(len, columns.ids)) + events * EVENT_BYTES
    for places in columns.places.values():
        times = events if len(places) == 1 else 1
        size += int(lengths[places].sum()) * times
    for values in columns.properties:
        count = len(values.indexes) or events
        size += count * (len(values.key) + VALUE_BYTES[values.form])
        if values.form in (Form.TEXTS, Form.DECIMAL_TEXTS):
            size += int(lengths[values.values].sum())
    return size


def digit_counts(mantissas: Ints) -> Ints:
    """Return how many digits each has."""
    magnitudes: NDArray[np.uint64] = np.abs(mantissas).view(np.uint64)  # -2^63 too.
    return np.searchsorted(POWERS_OF_10, magnitudes, side="right") + 1


def decimal_text(mantissa: int, exponent: int) -> str:
    """Return a decimal as a row has it: 1.50 for 150 and -2, 15e2 for 15 and 2."""
    if exponent > 0:
        return f"{mantissa}e{exponent}"
    if exponent == 0:
        return str(mantissa)
    digits = str(abs(mantissa)).rjust(1 - exponent, "0")
    return f"{'-' * (mantissa < 0)}{digits[:exponent]}.{digits[exponent:]}"


def write_event(
    texts: Iterable[tuple[Field, bytes]], time: int | None, entries: Iterable[bytes]
) -> bytes:
    """Return a serialized Event, as protobuf writes it; `entries` are in the order of theirs."""
    fields = {field: _field(field, text) for field, text in texts if text}
    if time is not None:
        seconds, micros = divmod(time, MICROS_PER_SECOND)
        numbers = ((1, seconds), (2, micros * 1_000))
        fields[Field.TIME] = _field(
            Field.TIME,
            b"".join(_varint(tag << 3) + _varint(number) for tag, number in numbers if number),
        )
    fields[Field.PROPERTIES] = b"".join(entries)
    return b"".join(fields[field] for field in sorted(fields))


def write_entry(key: bytes, kind: Kind, value: bytes) -> bytes:
    """Return a property as a serialized Event has it; the value of a flag is one byte."""
    return _field(Field.PROPERTIES, _field(1, key) + _field(2, _value(kind, value)))


def order_of(key: bytes) -> bytes:
    """Put keys in the order in which protobuf writes them: "p10" comes before "p1"."""
    return key + b"\xff"  # No byte of UTF-8 is above it.


def _value(kind: Kind, value: bytes) -> bytes:
    match kind:
        case Kind.NONE:
            return b""
        case Kind.FLAG:
            return _varint(kind << 3) + value
        case Kind.TEXT | Kind.DECIMAL:
            return _field(kind, value)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | LENGTH_DELIMITED) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    if 0 <= number < len(SHORT_VARINTS):
        return SHORT_VARINTS[number]
    number &= MASK_64
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    octets.append(number)
    return bytes(octets)
