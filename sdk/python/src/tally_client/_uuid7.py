"""UUIDs of version 7: they begin with the time, which keeps an index of them compact."""

from __future__ import annotations

from secrets import randbits
from time import time_ns

NANOS_PER_MILLI = 1_000_000
TAIL_BITS = 48


class Uuid7:
    """Makes UUIDs; not for several threads at once, nor across a fork."""

    __slots__ = ("_milli", "_prefix", "_tail")

    def __init__(self) -> None:
        self._milli = -1
        self._prefix = ""
        self._tail = 0

    def make(self) -> str:
        """Return a new one, as text.

        The first of a millisecond is random, the others count on from it: RFC 9562, 6.2, method 2.
        """
        milli = time_ns() // NANOS_PER_MILLI
        if milli != self._milli:
            self._begin(milli)
        self._tail += 1
        return f"{self._prefix}{self._tail:012x}"

    def _begin(self, milli: int) -> None:
        # A bit less than there are, so that counting on stays within them.
        self._milli, self._tail = milli, randbits(TAIL_BITS - 1)
        time, rand_a, rand_b = f"{milli:012x}", randbits(12), 0x8000 | randbits(14)
        self._prefix = f"{time[:8]}-{time[8:]}-7{rand_a:03x}-{rand_b:04x}-"
