"""The digest of an event's content: what tells a repeat from a conflict.

All of it is computed in columns: 64-bit words are mixed and summed for all events at once. It
resists chance, not somebody who wants two contents of his own event to look the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from services.ingest.domain.columns import Kind
from services.ingest.domain.properties import Properties
from services.ingest.domain.texts import laid_out, word_at
from services.ingest.domain.wire import WORD_BYTES, Ints

Words = NDArray[np.uint64]

DIGEST_VERSION = 1  # Stored beside each digest; a changed canonical form gets the next one.
NO_TIME = -(2**63)
COLUMN_BYTES_MAX = 64  # Of texts that are hashed together; longer ones are rare.
STEP = np.uint64(0x9E3779B97F4A7C15)
FACTOR = np.uint64(0xBF58476D1CE4E5B9)
OTHER_FACTOR = np.uint64(0x94D049BB133111EB)
SHIFT = np.uint64(32)


def text_words(texts: Sequence[bytes]) -> Words:
    """Return 64 bits for each text: what stands for it in a digest."""
    _, octets, spans = laid_out(texts)
    lengths = spans.lengths
    words = mixed(lengths.astype(np.uint64))
    rows = np.arange(len(texts))
    for start in range(0, COLUMN_BYTES_MAX, WORD_BYTES):
        rows = rows[lengths[rows] > start]
        if not len(rows):
            break
        words[rows] = mixed(words[rows] ^ word_at(octets, spans.at(rows), start))
    for row in np.flatnonzero(lengths > COLUMN_BYTES_MAX).tolist():
        digest = blake2b(texts[row], digest_size=WORD_BYTES).digest()
        words[row] = int.from_bytes(digest, "little")
    return words


def digests(heads: Sequence[Words], properties: Properties, words: Words) -> Ints:
    """Return 64 bits an event, signed: equal for equal content, and else all but never.

    `heads` are words of every event: its texts, its time. A property adds its name, its kind and,
    of a decimal, the exponent, and its value, as `words` has it for a text. Decimals are without
    superfluous zeros, and a sum knows no order: neither the order of properties nor "1.50" for
    "1.5" matters. The identity is not part of it: digests are compared where it is the same.
    """
    sums = np.zeros(len(heads[0]), np.uint64)
    steps = STEP * np.arange(1, len(heads) + 1, dtype=np.uint64)  # An array overflows silently.
    for head, step in zip(heads, steps, strict=True):
        sums += mixed(head + step)
    if len(properties.rows):
        first = np.flatnonzero(np.diff(properties.rows, prepend=-1))
        sums[properties.rows[first]] += np.add.reduceat(_of_properties(properties, words), first)
    return mixed(sums).view(np.int64)


def mixed(words: Words) -> Words:
    """Return other words, different for different ones, of which every bit depends on all."""
    words = (words ^ words >> SHIFT) * FACTOR
    words = (words ^ words >> SHIFT) * OTHER_FACTOR
    return words ^ words >> SHIFT


def _of_properties(properties: Properties, words: Words) -> Words:
    values = properties.values.view(np.uint64).copy()
    texts = np.flatnonzero(properties.are_texts)
    values[texts] = words[properties.values[texts]]
    forms = properties.kinds << 8
    decimals = np.flatnonzero(properties.kinds == Kind.DECIMAL)
    mantissas, exponents = _reduced(properties.values[decimals], properties.exponents[decimals])
    values[decimals] = mantissas.view(np.uint64)
    forms[decimals] |= exponents & 0xFF
    names = words[properties.names] + forms.view(np.uint64) * STEP
    return mixed(values + mixed(names))


def _reduced(mantissas: Ints, exponents: Ints) -> tuple[Ints, Ints]:
    """Return decimals without superfluous zeros."""
    exponents[mantissas == 0] = 0
    longer = np.flatnonzero((mantissas % 10 == 0) & (mantissas != 0))
    while len(longer):
        mantissas[longer] //= 10
        exponents[longer] += 1
        longer = longer[mantissas[longer] % 10 == 0]
    return mantissas, exponents
