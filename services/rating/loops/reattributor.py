"""The reattributor: computes usage again where a command changed what past events count for."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.worker import Loop
from services.rating.domain.high_cardinality import CELLS_PER_DAY_MAX
from services.rating.operations.log import Log
from services.rating.operations.reattributing import reattribute_next

POLL_SECONDS = 1.0


class Reattributor:
    """Works off the jobs that commands have written."""

    def __init__(
        self,
        worker: AsyncEngine,
        log: Log,
        *,
        finished: Callable[[], None],
        cells_per_day_max: int = CELLS_PER_DAY_MAX,
    ) -> None:
        self.loop = Loop("reattributor", self.step, poll_seconds=POLL_SECONDS)
        self._worker = worker
        self._log = log
        self._cells_per_day_max = cells_per_day_max
        self._finished = finished  # Facts wait, and what was due may be announced.

    async def step(self) -> bool:
        """Do one job; True if there was one."""
        cells_max = self._cells_per_day_max
        worked = await reattribute_next(self._worker, self._log, cells_per_day_max=cells_max)
        if worked:
            self._finished()
        return worked
