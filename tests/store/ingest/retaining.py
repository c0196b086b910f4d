"""Logs whose old end goes: short ways for their tests."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from services.ingest.domain.limits import Limits
from services.ingest.operations.retention import Keeper
from tests.store.ingest.conftest import EPOCH, Log
from tests.store.ingest.test_sealing import verdicts
from tests.unit.ingest.events import TENANT, event, submission

DAY = timedelta(days=1)
LOG_DAYS = 500
ANY_AGE = Limits(max_age_seconds=10_000 * 86_400)  # So that only the floor refuses.


def micros(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


async def seal(log: Log, *names: str, tenant: Any = TENANT, **changes: Any) -> list[str]:
    """Seal events that happen now, unless `changes` say otherwise; return their verdicts."""
    now = micros(log.clock.instant)
    sent = [event(name, **({"time": now} | changes)) for name in names]
    sealed = await log.seal(submission(*sent, tenant=tenant, received=now, limits=ANY_AGE))
    return verdicts(sealed)[0]


async def drained(keeper: Keeper) -> None:
    while await keeper.step():
        pass


async def keys(log: Log) -> int:
    [(count,)] = await log.fetch("SELECT count(*)::int FROM event_key")
    return int(count)


async def published(log: Log) -> None:
    """Say that all segments were published."""
    await log.execute("UPDATE relay_position SET number = (SELECT number FROM shard)")
