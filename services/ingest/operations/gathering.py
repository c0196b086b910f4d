"""When a group is taken: callers come again, so it pays to wait for those who are on their way."""

from __future__ import annotations

import asyncio
import time

from libs.worker import wait

QUIET_SECONDS = 0.01
GATHER_SECONDS_MAX = 0.03


class Gathering:
    """Counts requests without an answer, and waits for as many as there were of late.

    Most callers wait for one answer before they send more. After a group was answered, as many
    are on their way as were in flight at once; a lone caller has nobody to wait for.
    """

    def __init__(self) -> None:
        self.in_flight = 0
        self.waits = 0  # How many wait in `gather` now.
        self._most = 0  # In flight at once, since a group was taken.
        self._came = 0
        self._complete = asyncio.Event()

    def come(self) -> None:
        """Count a request that came."""
        self.in_flight += 1
        self._came += 1
        if self.in_flight >= self._most:
            self._most = self.in_flight
            self._complete.set()

    def leave(self) -> None:
        """Count a request that has its answer."""
        self.in_flight -= 1

    def fill(self) -> None:
        """End the waiting: the group is full."""
        self._complete.set()

    async def gather(self, *, full: bool) -> None:
        """Wait until all are here or no more came for 10 ms, for 30 ms at most; not if `full`."""
        self.waits += 1
        try:
            if not full:
                await self._wait()
        finally:
            self.waits -= 1
        self._most = self.in_flight

    async def _wait(self) -> None:
        until = time.monotonic() + GATHER_SECONDS_MAX
        came = -1
        while self.in_flight < self._most and came != self._came and time.monotonic() < until:
            came = self._came
            self._complete.clear()
            if await wait(self._complete, QUIET_SECONDS):
                break
