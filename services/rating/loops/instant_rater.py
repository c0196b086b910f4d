"""The instant rater: prices events of instant charges once their slices are folded."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import groupby

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.clock import Clock
from libs.db import begin_worker
from libs.errors import Unavailable
from libs.worker import Loop
from services.rating.operations.instant_rating import price_slice
from services.rating.operations.log import WholeLog
from services.rating.store.instant_slices import find_unpriced

POLL_SECONDS = 1.0
SLICES_MAX = 100  # Looked for at once.

SLICES = Counter("tally_rating_instant_slices_total", "Slices priced event by event.")


class InstantRater:
    """Prices the slices of `partitions` (None: all) that folds have noted."""

    def __init__(
        self,
        worker: AsyncEngine,
        ingest: WholeLog,
        clock: Clock,
        *,
        partitions: Collection[int] | None,
        rated: Callable[[], None],
    ) -> None:
        self.loop = Loop("instant rater", self.step, poll_seconds=POLL_SECONDS)
        self._worker = worker
        self._ingest = ingest
        self._clock = clock
        self._partitions = partitions
        self._rated = rated  # Facts wait, and fees may be due.

    async def step(self) -> bool:
        """Price what was noted; True if there was anything."""
        async with begin_worker(self._worker) as conn:
            found = await find_unpriced(conn, self._partitions, limit=SLICES_MAX)
        for lane, of_lane in groupby(found, key=lambda one: one.lane):
            noted = list(of_lane)
            page = await self._ingest.page(lane, after=noted[0].number - 1)
            pieces = {piece.number: piece for piece in page}
            if noted[0].number not in pieces:
                raise Unavailable(f"the log does not give the slice {noted[0].number} of {lane}")
            for one in noted:
                if one.number not in pieces:
                    break  # It is beyond the page: the next step reads on from there.
                now = self._clock.now()
                await price_slice(self._worker, self._ingest, one, pieces[one.number], now=now)
                SLICES.inc()
        if found:
            self._rated()
        return bool(found)
