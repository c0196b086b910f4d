"""The calendar: does what the time demands of subscriptions and their billing periods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from prometheus_client import Counter, Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.clock import Clock
from libs.worker import Loop, wait
from services.rating.operations import announcing, transitions
from services.rating.operations.log import Log, Watermark
from services.rating.store.due import DueGroup

POLL_SECONDS = 1.0  # The time on the wall kicks no one.
BLOCKED_SECONDS = 0.05

ANNOUNCED = Counter("tally_rating_due_announced_total", "Groups of billing periods announced.")
BLOCKED = Gauge(
    "tally_rating_due_blocked", "Groups of periods that are due and whose usage is not all in."
)


class Calendar:
    """Starts, extends and ends subscriptions, and announces periods once their usage is in."""

    def __init__(
        self,
        worker: AsyncEngine,
        log_of_events: Log,
        clock: Clock,
        *,
        folded: asyncio.Event,
        ask_folder: Callable[[], None],
        committed: Callable[[], None],
    ) -> None:
        self.loop = Loop("calendar", self.step, poll_seconds=POLL_SECONDS)
        self._worker = worker
        self._watermark = Watermark(worker, log_of_events)
        self._clock = clock
        self._folded = folded
        self._ask_folder = ask_folder
        self._committed = committed

    async def step(self) -> bool:
        """Do what is due now; True if there was anything, or something waits for its usage."""
        now = self._clock.now()
        if await transitions.apply_due(self._worker, now):
            self._committed()
            return True  # There may be more; announcing waits until all periods are written.
        groups = await announcing.load_due_groups(self._worker, now)
        announced = await self._announce(groups)
        blocked = len(groups) - announced
        BLOCKED.set(blocked)
        if blocked and not announced:
            self._folded.clear()
            self._ask_folder()
            await wait(self._folded, BLOCKED_SECONDS)
        return bool(groups)

    async def _announce(self, groups: Sequence[DueGroup]) -> int:
        """Announce those of `groups` that may be; return how many. Base fees need no watermark."""
        base = [group for group in groups if group.usage_end is None]
        usage = [group for group in groups if group.usage_end is not None]
        announced = 0
        if base:
            announced += await announcing.announce_many(self._worker, base, None)
        if usage:
            ends = (group.usage_end for group in usage if group.usage_end is not None)
            watermark = await self._watermark.load(max(ends))
            announced += await announcing.announce_many(self._worker, usage, watermark)
        if announced:
            ANNOUNCED.inc(announced)
            self._committed()
        return announced
