"""UUIDs of version 7: they begin with the time, which keeps an index of them compact."""

from __future__ import annotations

from itertools import count
from secrets import randbits
from time import time_ns

NANOS_PER_MILLI = 1_000_000
TAIL_BITS = 48


class Uuid7:
    """Makes UUIDs, for any number of threads; not across a fork."""

    __slots__ = ("_milli",)

    def __init__(self) -> None:
        self._milli = (-1, "", count())

    def make(self) -> str:
        """Return a new one, as text.

        The first of a millisecond is random, the others count on from it: RFC 9562, 6.2, method 2.
        """
        now = time_ns() // NANOS_PER_MILLI
        milli, prefix, tails = self._milli
        if milli != now:
            self._milli = _, prefix, tails = _begin(now)
        return f"{prefix}{next(tails):012x}"


def _begin(milli: int) -> tuple[int, str, count[int]]:
    time, rand_a, rand_b = f"{milli:012x}", randbits(12), 0x8000 | randbits(14)
    prefix = f"{time[:8]}-{time[8:]}-7{rand_a:03x}-{rand_b:04x}-"
    # A bit less than there are, so that counting on stays within them.
    return milli, prefix, count(randbits(TAIL_BITS - 1))
