"""The reattributor: computes usage again where a command changed what past events count for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from uuid import UUID

from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.worker import Loop
from services.rating.domain.high_cardinality import CELLS_PER_DAY_MAX
from services.rating.operations.log import Log
from services.rating.operations.reattributing import LogGone, reattribute_next

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
RETRY_STOPPED_SECONDS = 30.0

STOPPED = Gauge(
    "tally_rating_reattributions_stopped",
    "Customers whose usage cannot be computed again, as the log was trimmed: they are not billed.",
)


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
        self._stopped: dict[UUID, float] = {}

    async def step(self) -> bool:
        """Do one job; True if there was one."""
        now = time.monotonic()
        self._stopped = {job: until for job, until in self._stopped.items() if until > now}
        try:
            worked = await reattribute_next(
                self._worker,
                self._log,
                but=self._stopped.keys(),
                cells_per_day_max=self._cells_per_day_max,
            )
        except LogGone as gone:
            self._stop(gone)
            return True
        STOPPED.set(len(self._stopped))
        if worked:
            self._finished()
        return worked

    def _stop(self, gone: LogGone) -> None:
        """Leave a job as it is for a while, let the others pass it, and raise the alarm."""
        self._stopped[gone.job.job_id] = time.monotonic() + RETRY_STOPPED_SECONDS
        STOPPED.set(len(self._stopped))
        log.critical(
            "a customer's usage cannot be computed again",
            extra={"tenant": gone.job.tenant, "customer_id": gone.job.customer_id},
            exc_info=gone,
        )
