"""The threshold watcher: looks at lifetime usage of subscriptions when it has changed."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.clock import Clock
from libs.worker import Loop
from services.rating.operations import crossing
from services.rating.operations.log import Log

POLL_SECONDS = 1.0  # Another process may have folded what is to be looked at.

CROSSED = Counter("tally_rating_thresholds_crossed_total", "Times that usage crossed thresholds.")


class ThresholdWatcher:
    """Announces when lifetime usage crosses thresholds of its plan."""

    def __init__(
        self, worker: AsyncEngine, log: Log, clock: Clock, *, told: Callable[[], None]
    ) -> None:
        self.loop = Loop("threshold watcher", self.step, poll_seconds=POLL_SECONDS)
        self._worker = worker
        self._log = log
        self._clock = clock
        self._told = told  # Facts wait.

    async def step(self) -> bool:
        """Look at what was noted; True if anything could be."""
        noted = await crossing.find_changed(self._worker)
        done, told = await crossing.look(self._worker, self._log, noted, now=self._clock.now())
        if told:
            CROSSED.inc(told)
            self._told()
        return done > 0
