"""Events of columns as rows: what each would be as a serialized tally.ingest.v1.Event.

An event of columns is what the same event sent as a row is: as large, and kept as the same bytes
if it is rejected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from services.ingest.domain.event import MICROS_PER_SECOND
from services.ingest.domain.sent_columns import Form, SentColumns, SentValues
from services.ingest.domain.wire import LENGTH_DELIMITED, Field, Ints, Kind

FLAG_BYTES = 2
VARINT_BOUNDS = np.array([1 << 7 * size for size in range(1, 9)], np.int64)
POWERS_OF_10 = np.array([10**power for power in range(1, 20)], np.uint64)
MASK_64 = (1 << 64) - 1
KINDS = {
    Form.TEXTS: Kind.TEXT,
    Form.DECIMALS: Kind.DECIMAL,
    Form.DECIMAL_TEXTS: Kind.DECIMAL,
    Form.FLAGS: Kind.FLAG,
}


def sizes_of(columns: SentColumns) -> Ints:
    """Return the bytes of each event; `columns` fit each other."""
    lengths = _lengths(columns.texts)
    of_fields = np.where(lengths > 0, _delimited(lengths), 0)
    of_values = _delimited(_delimited(lengths))
    ids = _lengths(columns.ids)
    sizes: Ints = np.where(ids > 0, _delimited(ids), 0)
    for places in columns.places.values():
        if len(places):
            sizes += of_fields[places]
    sizes += _sizes_of_times(columns)
    for values in columns.properties:
        key = _delimited(np.array([len(values.key)], np.int64))
        entry = key + _sizes_of_values(values, of_values)
        if len(values.indexes):
            sizes[values.indexes] += _delimited(entry)
        else:
            sizes += _delimited(entry)
    return sizes


def _lengths(texts: Sequence[bytes]) -> Ints:
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _sizes_of_times(columns: SentColumns) -> Ints:
    if not len(columns.times):
        return np.zeros(len(columns.ids), np.int64)
    seconds, micros = np.divmod(columns.times, MICROS_PER_SECOND)
    inner = np.where(seconds != 0, 1 + _varint_sizes(seconds), 0)
    inner += np.where(micros != 0, 1 + _varint_sizes(micros * 1_000), 0)
    return np.where(columns.times_given, _delimited(inner), 0)


def _sizes_of_values(values: SentValues, of_texts: Ints) -> Ints:
    """Return the bytes of each value with its tag and length; `of_texts` are those of texts."""
    match values.form:
        case Form.TEXTS | Form.DECIMAL_TEXTS:
            sizes: Ints = of_texts[values.values]
            return sizes
        case Form.DECIMALS:
            return _delimited(_delimited(decimal_lengths(values.values, values.powers())))
        case Form.FLAGS:
            return np.full(len(values.values), FLAG_BYTES + 2)
        case Form.NONE:
            return np.full(1, 2)  # An empty message.


def decimal_lengths(mantissas: Ints, exponents: Ints) -> Ints:
    """Return how many characters `decimal_text` gives each decimal."""
    digits = digit_counts(mantissas)
    signs = (mantissas < 0).astype(np.int64)
    fractions = np.where(digits > -exponents, digits + 1, 2 - exponents)
    powers = digits + np.where(exponents > 9, 3, 2)
    return signs + np.where(exponents < 0, fractions, np.where(exponents > 0, powers, digits))


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
    texts: Iterable[tuple[Field, bytes]],
    time: int | None,
    properties: Iterable[tuple[bytes, Kind, bytes]],
) -> bytes:
    """Return a serialized Event, as protobuf writes it; the value of a flag is one byte."""
    fields = {field: _field(field, text) for field, text in texts if text}
    if time is not None:
        seconds, micros = divmod(time, MICROS_PER_SECOND)
        numbers = ((1, seconds), (2, micros * 1_000))
        fields[Field.TIME] = _field(
            Field.TIME,
            b"".join(_varint(tag << 3) + _varint(number) for tag, number in numbers if number),
        )
    fields[Field.PROPERTIES] = b"".join(
        _field(Field.PROPERTIES, _field(1, key) + _field(2, _value(kind, value)))
        for key, kind, value in sorted(properties, key=_written_order)
    )
    return b"".join(fields[field] for field in sorted(fields))


def _written_order(entry: tuple[bytes, Kind, bytes]) -> bytes:
    """Put keys in the order in which protobuf writes them: "p10" comes before "p1"."""
    return entry[0] + b"\xff"  # No byte of UTF-8 is above it.


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
    number &= MASK_64
    octets = bytearray()
    while number > 127:
        octets.append(number & 127 | 128)
        number >>= 7
    octets.append(number)
    return bytes(octets)


def _delimited(lengths: Ints) -> Ints:
    """Return how long so long contents are with a tag of one byte and their length."""
    sizes: Ints = lengths + 2 + (lengths > 127)
    sizes += (lengths > 16_383).astype(np.int64) + (lengths > 2_097_151)
    return sizes


def _varint_sizes(numbers: Ints) -> Ints:
    sizes = np.searchsorted(VARINT_BOUNDS, numbers, side="right") + 1
    return np.where(numbers < 0, 10, sizes)
