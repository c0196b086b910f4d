"""Which keys came of late: a hint that spares the database questions about new events."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from services.ingest.domain.digest import mixed
from services.ingest.domain.wire import Flags, Ints

BITS = 26  # 8 MiB for each of two generations.
GENERATION_KEYS = 4_000_000  # About a hundredth of new keys are taken for known ones then.
GROUPS_IN_DOUBT = 20
MASK = np.uint64((1 << BITS) - 1)
HALF = np.uint64(32)


Hashes = NDArray[np.uint64]


def key_hashes(tenants: Ints, keys: NDArray[np.uint8]) -> Hashes:
    """Return 64 bits for each key, 16 bytes a row, of a tenant."""
    words = keys.view(np.uint64)
    return mixed(words[:, 0] ^ mixed(words[:, 1] ^ mixed(tenants.view(np.uint64))))


class RecentKeys:
    """Remembers, roughly, the last four to eight million keys that came.

    It takes some new keys for known ones, and does not know what came before it was made or to
    other processes. So it never decides: the unique index does. After it was wrong, and at the
    start, it vouches for nothing for a while, as others of those keys may be on their way.
    """

    def __init__(self) -> None:
        self._now, self._before = _no_bits(), _no_bits()
        self._noted = 0
        self._in_doubt = GROUPS_IN_DOUBT
        self._lock = threading.Lock()  # Of two groups with one key, the second knows it.

    @property
    def in_doubt(self) -> bool:
        """Whether it vouches for nothing now."""
        return self._in_doubt > 0

    def take(self, hashes: Hashes) -> Flags:
        """Tell which keys may have come before; from now on all have."""
        places = [(hashes & MASK).view(np.int64), (hashes >> HALF & MASK).view(np.int64)]
        with self._lock:
            known = _hold(self._now, places) | _hold(self._before, places)
            self._note(places)
            if self._in_doubt:
                self._in_doubt -= 1
                known[:] = True
        return known

    def doubt(self) -> None:
        """Learn that a key was stored that it did not know."""
        self._in_doubt = GROUPS_IN_DOUBT

    def _note(self, places: list[Ints]) -> None:
        self._noted += len(places[0])
        if self._noted > GENERATION_KEYS:
            self._now, self._before = _no_bits(), self._now
            self._noted = len(places[0])
        for place in places:
            np.bitwise_or.at(self._now, place >> 3, np.uint8(1) << (place & 7).astype(np.uint8))


def _no_bits() -> NDArray[np.uint8]:
    return np.zeros(1 << BITS - 3, np.uint8)


def _hold(bits: NDArray[np.uint8], places: list[Ints]) -> Flags:
    found = np.ones(len(places[0]), np.bool_)
    for place in places:
        found &= bits[place >> 3] >> (place & 7).astype(np.uint8) & 1 == 1
    return found
