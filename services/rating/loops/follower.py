"""The follower: announces that usage of followed customers changed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.clock import Clock
from libs.worker import Loop
from services.rating.operations.following import announce_usage

POLL_SECONDS = 1.0  # Another process may have folded what is to be told.
BETWEEN_SECONDS = 0.25  # All that changes meanwhile is told at once.


class Follower:
    """Tells of changed usage, at most four times a second."""

    def __init__(self, worker: AsyncEngine, clock: Clock, *, told: Callable[[], None]) -> None:
        self.loop = Loop("follower", self.step, poll_seconds=POLL_SECONDS)
        self._worker = worker
        self._clock = clock
        self._told = told  # Facts wait.
        self._told_at = -BETWEEN_SECONDS

    async def step(self) -> bool:
        """Tell what was noted; True if there was anything."""
        await asyncio.sleep(max(0.0, self._told_at + BETWEEN_SECONDS - time.monotonic()))
        done = await announce_usage(self._worker, now=self._clock.now())
        if done:
            self._told_at = time.monotonic()
            self._told()
        return done > 0
