"""The digest of an event's content: what tells a repeat from a conflict."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from services.ingest.domain.columns import Kind
from services.ingest.domain.properties import Properties
from services.ingest.domain.wire import Ints

DIGEST_VERSION = 1  # Stored beside each digest; a changed canonical form gets the next one.
NO_TIME = -(2**63)
WORDS_OF_PROPERTY = 3


def text_words(texts: Sequence[bytes]) -> Ints:
    """Return 64 bits for each text: what stands for it in a digest."""
    digests = b"".join([blake2b(text, digest_size=8).digest() for text in texts])
    return np.frombuffer(digests, "<i8").astype(np.int64)


def digests(heads: Sequence[Ints], properties: Properties, words: Ints) -> Ints:
    """Return 64 bits an event, signed: equal for equal content only.

    `heads` are words of every event: its texts, its time. Its properties follow by the bytes of
    their names, three words each: the name; the kind and, of a decimal, the exponent; the value,
    as `words` has it for a text. Decimals are without superfluous zeros, so that neither the order
    of properties nor "1.50" for "1.5" matters. The identity is not part of it: digests are
    compared where it is the same.
    """
    count = len(heads[0])
    counts = np.bincount(properties.rows, minlength=count)
    sizes = len(heads) + WORDS_OF_PROPERTY * counts
    ends = np.cumsum(sizes)
    starts = ends - sizes
    record = np.empty(ends[-1], np.int64)
    for place, head in enumerate(heads):
        record[starts + place] = head
    before = np.arange(len(properties.rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    at = starts[properties.rows] + len(heads) + WORDS_OF_PROPERTY * before
    mantissas, exponents = _reduced(properties)
    is_text = properties.are_texts
    record[at] = words[properties.names]
    record[at + 1] = properties.kinds << 8 | (exponents & 0xFF)
    record[at + 2] = np.where(is_text, words[np.where(is_text, properties.values, 0)], mantissas)
    return _hash(record, starts, ends)


def _reduced(properties: Properties) -> tuple[Ints, Ints]:
    """Return values and exponents, those of decimals without superfluous zeros."""
    mantissas, exponents = properties.values.copy(), properties.exponents.copy()
    decimals = properties.kinds == Kind.DECIMAL
    exponents[decimals & (mantissas == 0)] = 0
    longer = np.flatnonzero(decimals & (mantissas != 0) & (mantissas % 10 == 0))
    while len(longer):
        mantissas[longer] //= 10
        exponents[longer] += 1
        longer = longer[mantissas[longer] % 10 == 0]
    return mantissas, exponents


def _hash(record: NDArray[np.int64], starts: Ints, ends: Ints) -> Ints:
    content = record.astype("<i8").tobytes()
    hashed = [
        blake2b(content[8 * start : 8 * end], digest_size=8).digest()
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
    ]
    return np.frombuffer(b"".join(hashed), "<i8").astype(np.int64)
