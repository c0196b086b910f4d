"""Pruning against sealing: an event whose key is gone is never stored again."""

from __future__ import annotations

import asyncio
from functools import partial

from libs import db
from services.ingest.operations.sealing import SHARD
from services.ingest.store import segments
from tests.store.ingest.conftest import Log
from tests.store.ingest.retaining import DAY, drained, keys, micros, seal
from tests.store.ingest.test_sealing import someone_waits
from tests.wait import until


async def test_a_group_that_began_before_the_floor_rose_stores_nothing_below_it(log: Log) -> None:
    """It waits in its opening statement, with the old floor, until the key is pruned."""
    then = micros(log.clock.instant)
    await seal(log, "old")
    log.clock.instant += 402 * DAY
    async with db.begin_worker(log.worker) as alone:
        await segments.open_segment(alone, SHARD, alone=True)
        resent = asyncio.create_task(seal(log, "old", "new", time=then))
        await until(partial(someone_waits, log), describe="the group to wait for its turn")
        await drained(log.keeper())
        assert await keys(log) == 0
    assert await resent == ["REJECTED", "REJECTED"]
    assert await keys(log) == 0
