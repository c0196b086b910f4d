"""Many decimals at once: plain ones in columns, others one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from services.ingest.domain.columns import Kind
from services.ingest.domain.number import parse_number
from services.ingest.domain.texts import Texts
from services.ingest.domain.wire import Flags, Ints, Octets, Spans

UNREADABLE = 0  # The kind of what breaks the grammar of decimals, or is missing.
UNREADABLE_AMOUNT = -1  # The place of an amount that does so.
PLAIN_DIGITS_MAX = 18  # With so many no bound can be passed, nor 64 bits.
ZERO, NINE, POINT = ord("0"), ord("9"), ord(".")


def read_decimals(
    data: bytes, octets: Octets, spans: Spans, texts: Texts
) -> tuple[Ints, Ints, Ints]:
    """Return kind, value and exponent of the decimal in each span.

    A DECIMAL has its mantissa as value; a LARGE_DECIMAL the place of its canonical text.
    """
    plain, mantissas, exponents = _read_plain(octets, spans)
    kinds = np.where(plain, np.int64(Kind.DECIMAL), UNREADABLE)
    for place in np.flatnonzero(~plain).tolist():
        sent = data[spans.starts[place] : spans.ends[place]]
        kinds[place], mantissas[place], exponents[place] = _read_one(sent, texts)
    return kinds, mantissas, exponents


def read_amounts(sent: Sequence[bytes], texts: Texts) -> Ints:
    """Return the places of amounts in canonical form; none stays none."""
    places = {b"": texts.place(b"")}
    for text in set(sent) - places.keys():
        number = parse_number(text.decode())
        canonical = None if number is None else number.canonical().encode()
        places[text] = UNREADABLE_AMOUNT if canonical is None else texts.place(canonical)
    return np.fromiter(map(places.__getitem__, sent), np.int64, len(sent))


def _read_plain(octets: Octets, spans: Spans) -> tuple[Flags, Ints, Ints]:
    """Return which are digits with one point at most, up to 18 of them, and what they say."""
    lengths = spans.lengths
    mantissas, digits, points = (np.zeros_like(lengths) for _ in range(3))
    places = np.zeros_like(lengths)
    for column in range(int(min(lengths.max(initial=0), PLAIN_DIGITS_MAX + 1))):
        there = column < lengths
        character = np.where(there, octets[spans.starts + column], 0)
        is_digit = (character >= ZERO) & (character <= NINE)
        mantissas = np.where(is_digit, mantissas * 10 + character - ZERO, mantissas)
        digits += is_digit
        places += is_digit & (points > 0)
        points += character == POINT
    plain = (digits > 0) & (digits <= PLAIN_DIGITS_MAX) & (points <= 1)
    plain &= digits + points == lengths
    return plain, mantissas, np.where(mantissas == 0, 0, -places)


def _read_one(sent: bytes, texts: Texts) -> tuple[int, int, int]:
    number = parse_number(sent.decode())
    if number is None:
        return UNREADABLE, 0, 0
    fitting = number.fitting()
    if fitting is None:
        return Kind.LARGE_DECIMAL, texts.place(number.canonical().encode()), 0
    return Kind.DECIMAL, *fitting
