"""Background work: a step that is called again and again until the service stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from libs.errors import DeadlineExceeded, Exhausted, Unavailable

log = logging.getLogger(__name__)

RETRY_FIRST_SECONDS = 0.05
RETRY_MAX_SECONDS = 2.0
PASSING = (Unavailable, Exhausted, DeadlineExceeded)  # They mend without us.

Step = Callable[[], Awaitable[bool]]


class Background(Protocol):
    """What a service runs beside its RPCs: a `Loop`, a relay, a consumer of facts."""

    name: str

    def kick(self) -> None:
        """Look for work now. Never blocks, never raises."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping`."""


class Loop:
    """Calls `step` until told to stop, and outlives whatever the step raises.

    `step` returns True when it did work and wants to be called again at once. After False it
    rests until it is kicked, or for `poll_seconds`: polling is only the fallback for work that
    another process left behind. An error is logged and tried again, at first after 50 ms, then
    ever later up to 2 s; kicks do not shorten that wait, or each request would hammer on what
    is broken.
    """

    def __init__(self, name: str, step: Step, *, poll_seconds: float = 1.0) -> None:
        self.name = name
        self.worked = 0  # Steps that did work: a mark for GetIdle.
        self.failures = 0  # In a row; 0 while all is well.
        self._step = step
        self._poll_seconds = poll_seconds
        self._kicked = asyncio.Event()

    @property
    def pending(self) -> bool:
        """Whether a kick waits for the next step."""
        return self._kicked.is_set()

    def kick(self) -> None:
        """Call the step as soon as the one that runs has ended. Never blocks, never raises."""
        self._kicked.set()

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until `stopping`; a step that has begun ends first."""
        waker = asyncio.create_task(self._wake_on(stopping), name=f"{self.name} waker")
        try:
            while not stopping.is_set():
                self._kicked.clear()  # Before the step: a kick during it calls for another.
                if stopping.is_set():
                    break
                if await self._step_once():
                    await asyncio.sleep(0)  # Others get their turn.
                elif self.failures:
                    await wait(stopping, retry_seconds(self.failures))
                else:
                    await wait(self._kicked, self._poll_seconds)
        finally:
            waker.cancel()

    async def _step_once(self) -> bool:
        try:
            worked = await self._step()
        except Exception as error:
            self.failures += 1
            self._log(error)
            return False
        self.failures = 0
        self.worked += worked
        return worked

    def _log(self, error: Exception) -> None:
        fields = {"loop": self.name, "failures": self.failures}
        if isinstance(error, PASSING):
            log.warning("loop waits for a peer", extra=fields | {"error": str(error)})
        else:
            log.error("loop step failed", extra=fields, exc_info=error)

    async def _wake_on(self, stopping: asyncio.Event) -> None:
        await stopping.wait()
        self._kicked.set()


def retry_seconds(failures: int) -> float:
    """Return how long to wait after so many failures in a row: 50 ms, doubled up to 2 s."""
    return min(RETRY_MAX_SECONDS, RETRY_FIRST_SECONDS * 2.0 ** min(failures - 1, 10))


async def wait(event: asyncio.Event, seconds: float) -> bool:
    """Wait for `event`, but no longer than `seconds`; return whether it is set."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)
    return event.is_set()
