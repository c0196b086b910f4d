"""The renewer: charges seats as periods start, once all usage before is folded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.clock import Clock
from libs.worker import Loop
from services.rating.operations import renewing
from services.rating.operations.log import Log, Watermark

POLL_SECONDS = 1.0  # The time on the wall kicks no one.
BLOCKED_SECONDS = 0.05

RENEWED = Counter("tally_rating_renewed_total", "Billing periods whose seats were renewed.")
BLOCKED = Gauge(
    "tally_rating_renewals_blocked", "Periods to renew, of which usage before is not all in."
)


class Renewer:
    """Charges what billing periods carry of seats."""

    def __init__(
        self,
        worker: AsyncEngine,
        log_of_events: Log,
        clock: Clock,
        *,
        ask_folder: Callable[[], None],
        renewed: Callable[[], None],
    ) -> None:
        self.loop = Loop("renewer", self.step, poll_seconds=POLL_SECONDS)
        self._worker = worker
        self._log = log_of_events
        self._watermark = Watermark(worker, log_of_events)
        self._clock = clock
        self._ask_folder = ask_folder
        self._renewed = renewed  # Facts wait, and periods may be due.

    async def step(self) -> bool:
        """Renew what is due; True if there was anything, or something waits for its usage."""
        now = self._clock.now()
        owned = await renewing.load_to_renew(self._worker, now)
        if not owned:
            BLOCKED.set(0)
            return False
        watermark = await self._watermark.load(max(one.usage.start for _, one in owned))
        done = await renewing.renew(self._worker, self._log, owned, watermark, now=now)
        BLOCKED.set(len(owned) - done)
        RENEWED.inc(done)
        if done:
            self._renewed()
        else:
            self._ask_folder()
            await asyncio.sleep(BLOCKED_SECONDS)
        return True
