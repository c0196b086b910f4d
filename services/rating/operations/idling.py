"""Whether rating has done all that is due."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import outbox
from libs.db import begin_worker
from libs.idle import Idle
from services.rating.operations.log import Log, head_numbers
from services.rating.store.alerts import count_to_look
from services.rating.store.applied import load_applied
from services.rating.store.due import count_waiting, find_next_due
from services.rating.store.instant_slices import count_unpriced
from services.rating.store.reattributions import count_jobs
from services.rating.store.renewals import count_to_renew
from services.rating.store.watched import count_noted


async def check_idle(worker: AsyncEngine, log: Log, now: datetime) -> Idle:
    """Return what is left to do at `now`, the log's newest slices included.

    Raises:
        Unavailable: ingest cannot be asked.
    """
    heads = head_numbers(await log.heads())
    async with begin_worker(worker) as conn:
        applied = await load_applied(conn)
        waiting = await count_waiting(conn, now)
        head = await outbox.load_head(conn)
        jobs = await count_jobs(conn)
        unpriced = await count_unpriced(conn)
        renewals = await count_to_renew(conn, now)
        noted = await count_noted(conn)
        started = await count_to_look(conn, now)
        next_due_at = await find_next_due(conn)
    behind = [lane for lane, number in heads.items() if applied.get(lane, 0) < number]
    busy = {
        f"{len(behind)} lanes of the log are not folded to their heads": behind,
        f"{waiting.periods} billing periods are due": waiting.periods,
        f"{waiting.subscriptions} subscriptions are to start, end or go on": waiting.subscriptions,
        f"{jobs} customers' usage is to be attributed again": jobs,
        f"{unpriced} slices of the log are to be priced event by event": unpriced,
        f"{renewals} billing periods are to renew what they carry": renewals,
        f"{noted} changes of watched usage are to be looked at": noted,
        f"{started} alerts are to look at a period that has started": started,
        f"{head.waiting} facts are not published": head.waiting,
    }
    marks = {f"applied {lane.shard}/{lane.partition}": number for lane, number in applied.items()}
    return Idle(
        busy=[reason for reason, found in busy.items() if found],
        marks=marks | {"outbox": head.seq},
        next_due_at=next_due_at,
    )
