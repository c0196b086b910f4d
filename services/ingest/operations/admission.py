"""How much may wait for its answer: a flood neither fills the memory nor shuts others out."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from weakref import WeakValueDictionary

from libs.errors import Exhausted
from libs.tenant import Tenant
from services.ingest.operations import metrics

BYTES_MAX = 64 * 1024 * 1024  # Of one process, with what is being sealed.
EVENTS_MAX = 400_000  # Some seconds' work.
REQUEST_BYTES = 2_048  # What a request takes besides its content.
RETRY_SECONDS = 1.0


class IngestBusy(Exhausted):
    """So much of the tenant waits that nothing more is taken."""

    reason = "INGEST_BUSY"


class Shares:
    """Places, of which each tenant may have as many as are still free.

    So one tenant gets a half of them, of two each a third, and whoever comes next finds some.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._of: Counter[Tenant] = Counter()
        self.taken = 0

    def fits(self, tenant: Tenant, count: int, *, leaving: int = 1) -> bool:
        """Tell whether the tenant may have `count` more, and leave free `leaving` times its own.

        Of a tenant that has nothing, anything fits where there is any room: else what is large
        would never get in.
        """
        if not self._of[tenant]:
            return self.taken < self._places
        return (self._of[tenant] + count) * leaving <= self._places - self.taken

    def take(self, tenant: Tenant, count: int) -> None:
        """Take places, whether they fit or not."""
        self._of[tenant] += count
        self.taken += count

    def give_back(self, tenant: Tenant, count: int) -> None:
        """Give places back."""
        self._of[tenant] -= count
        if not self._of[tenant]:
            del self._of[tenant]
        self.taken -= count


@dataclass(frozen=True, slots=True)
class Load:
    """What a request weighs."""

    events: int
    bytes: int


class Admission:
    """Decides what may join those that wait. Calls are refused, streams are read later.

    Streams leave twice as much free as they have: room for the calls of the same tenant.
    """

    def __init__(self, *, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._events = Shares(events_max)
        self._bytes = Shares(bytes_max)
        self._left = asyncio.Event()  # Another one for whoever begins to wait later.
        self._lines: WeakValueDictionary[Tenant, asyncio.Lock] = WeakValueDictionary()

    def enter(self, tenant: Tenant, load: Load) -> None:
        """Let a call's request in.

        Raises:
            IngestBusy: it does not fit.
        """
        if not self._fits(tenant, load, leaving=1):
            raise IngestBusy(
                f"{self._events.taken} events in {self._bytes.taken} bytes wait for their answers, "
                f"too many of them of this tenant; come again in {RETRY_SECONDS:g} s",
                retry_after=RETRY_SECONDS,
            )
        self._take(tenant, load)

    async def enter_later(self, tenant: Tenant, load: Load) -> None:
        """Let a stream's batch in as soon as it fits, behind those of the tenant's other streams.

        In a line, for else small batches would keep a large one out.
        """
        line = self._lines.setdefault(tenant, asyncio.Lock())
        async with line:
            while not self._fits(tenant, load, leaving=2):
                await self._left.wait()
            self._take(tenant, load)

    def leave(self, tenant: Tenant, load: Load) -> None:
        """Forget a request that has its answer."""
        self._events.give_back(tenant, load.events)
        self._bytes.give_back(tenant, load.bytes + REQUEST_BYTES)
        self._left.set()
        self._left = asyncio.Event()
        self._tell()

    def _fits(self, tenant: Tenant, load: Load, *, leaving: int) -> bool:
        fits_bytes = self._bytes.fits(tenant, load.bytes + REQUEST_BYTES, leaving=leaving)
        return fits_bytes and self._events.fits(tenant, load.events, leaving=leaving)

    def _take(self, tenant: Tenant, load: Load) -> None:
        self._events.take(tenant, load.events)
        self._bytes.take(tenant, load.bytes + REQUEST_BYTES)
        self._tell()

    def _tell(self) -> None:
        metrics.WAITING_EVENTS.set(self._events.taken)
        metrics.WAITING_BYTES.set(self._bytes.taken)
