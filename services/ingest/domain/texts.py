"""Texts by their places in a dictionary: what repeats is looked at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from services.ingest.domain.wire import PADDING, WORD_BYTES, Ints, Octets, Spans

GROUPED_MIN = 500  # Fewer are looked up sooner than they are grouped.
WORDS = 3
SHORT_BYTES_MAX = WORDS * WORD_BYTES
KEPT = np.array([(1 << 8 * size) - 1 for size in range(WORD_BYTES + 1)], np.uint64)
FACTORS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
BUCKET_BITS = 16


class Texts:
    """Gives each text, as UTF-8, its place in the order in which they came; the first is b""."""

    def __init__(self) -> None:
        # Not by the dictionary's own length: it would refer to itself, and stay in memory with all
        # its texts until Python looks for cycles.
        self._places: defaultdict[bytes, int] = defaultdict(count().__next__)
        self.place(b"")

    def place(self, text: bytes) -> int:
        """Return the place of `text`, a new one if it has none yet."""
        return self._places[text]

    def places(self, data: bytes, octets: Octets, spans: Spans) -> Ints:
        """Return the place of the text in each span."""
        if len(spans.starts) < GROUPED_MIN:
            return self._look_up(data, spans)
        likes = first_of_equals(octets, spans)
        firsts = np.flatnonzero(likes == np.arange(len(likes)))
        places = np.empty_like(likes)
        places[firsts] = self._look_up(data, spans.at(firsts))
        return places[likes]

    def places_of(self, texts: Sequence[bytes]) -> Ints:
        """Return the place of each text."""
        return np.fromiter(map(self._places.__getitem__, texts), np.int64, len(texts))

    def all(self) -> list[bytes]:
        """Return the texts by place."""
        return list(self._places)

    def _look_up(self, data: bytes, spans: Spans) -> Ints:
        return self.places_of(cut(data, spans))


def cut(data: bytes, spans: Spans) -> list[bytes]:
    """Return the bytes in each span."""
    return [
        data[start:end]
        for start, end in zip(spans.starts.tolist(), spans.ends.tolist(), strict=True)
    ]


def laid_out(texts: Sequence[bytes]) -> tuple[bytes, Octets, Spans]:
    """Return `texts` one behind the other, padded, and where each lies."""
    data = b"".join([*texts, PADDING])
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    ends = np.cumsum(lengths)
    return data, np.frombuffer(data, np.uint8), Spans(ends - lengths, ends)


def first_of_equals(octets: Octets, spans: Spans) -> Ints:
    """Return for each span the place of another with the same bytes, for all of these the same.

    Most spans with equal bytes are found, not all: long ones are left alone, and one that meets
    another in its bucket of a hash table without collision lists.
    """
    lengths = spans.lengths
    words = [word_at(octets, spans, place * WORD_BYTES) for place in range(WORDS)]
    hashed = lengths.astype(np.uint64)
    for word, factor in zip(words, FACTORS, strict=True):
        hashed = (hashed ^ word) * factor
    buckets = (hashed >> np.uint64(64 - BUCKET_BITS)).astype(np.int64)
    places = np.arange(len(lengths))
    table = np.empty(1 << BUCKET_BITS, np.int64)
    table[buckets] = places  # The last one of a bucket stays.
    likes = table[buckets]
    same = (lengths == lengths[likes]) & (lengths <= SHORT_BYTES_MAX)
    for word in words:
        same &= word == word[likes]
    return np.where(same, likes, places)


def word_at(octets: Octets, spans: Spans, place: int) -> NDArray[np.uint64]:
    """Return the eight bytes of each span from `place` on, zero after its end; padding follows."""
    every = np.ndarray((len(octets) - WORD_BYTES + 1,), "<u8", octets, strides=(1,))
    left = np.minimum(np.maximum(spans.lengths - place, 0), WORD_BYTES)  # clip takes ten times it.
    return every[spans.starts + place] & KEPT[left]
