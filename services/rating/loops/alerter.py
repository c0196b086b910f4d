"""The alerter: looks at the usage of subscriptions with alerts when it has changed."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.clock import Clock
from libs.worker import Loop
from services.rating.operations import alerting
from services.rating.operations.log import Log

POLL_SECONDS = 1.0  # Another process may have folded what is to be looked at.

TOLD = Counter("tally_rating_alerts_total", "Times that an alert told of something.")


class Alerter:
    """Tells what watched usage has crossed."""

    def __init__(
        self, worker: AsyncEngine, log: Log, clock: Clock, *, told: Callable[[], None]
    ) -> None:
        self.loop = Loop("alerter", self.step, poll_seconds=POLL_SECONDS)
        clock.on_change(self.loop.kick)
        self._worker = worker
        self._log = log
        self._clock = clock
        self._told = told  # Facts wait.

    async def step(self) -> bool:
        """Look at what was noted; True if anything could be."""
        now = self._clock.now()
        noted = await alerting.find_to_look(self._worker, now)
        done, told = await alerting.look(self._worker, self._log, noted, now=now)
        if told:
            TOLD.inc(told)
            self._told()
        return done > 0
