"""Keys of old events go, and nothing is stored twice for it."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from libs import db
from services.ingest.domain.limits import Limits
from services.ingest.operations.sealing import SHARD
from services.ingest.store import segments
from tests.store.ingest.conftest import Log
from tests.store.ingest.retaining import DAY, drained, keys, micros, seal
from tests.store.ingest.test_correcting import Corrections, a_request
from tests.store.ingest.test_sealing import someone_waits, verdicts
from tests.unit.ingest.events import OTHER_TENANT, event, submission
from tests.wait import until


async def test_a_key_is_pruned_when_older_events_are_refused(log: Log) -> None:
    then = log.clock.instant
    await seal(log, "old")
    log.clock.instant += 401 * DAY
    await seal(log, "young")
    keeper = log.keeper()
    await drained(keeper)
    assert await keys(log) == 2, "its segment is not yet a day below the floor"
    log.clock.instant += DAY
    await drained(keeper)
    assert await keys(log) == 1
    assert await seal(log, "old", time=micros(then)) == ["REJECTED"]
    [(reason, detail)] = await log.fetch("SELECT reason, detail FROM rejected_event")
    assert reason == "TIME_TOO_OLD"
    assert "events before 2026-01-03" in detail and "2026-01-01" in detail
    assert await seal(log, "young", time=micros(then + 401 * DAY)) == ["DUPLICATE"]
    assert await keys(log) == 1


async def test_the_floor_refuses_just_what_lies_before_it(log: Log) -> None:
    await seal(log, "old")
    log.clock.instant += 402 * DAY
    await drained(log.keeper())
    [(floor,)] = await log.fetch("SELECT time_floor FROM shard")
    assert floor == log.clock.instant - 400 * DAY
    assert await seal(log, "at", time=micros(floor)) == ["ACCEPTED"]
    assert await seal(log, "before", time=micros(floor) - 1) == ["REJECTED"]
    [(field,)] = await log.fetch("SELECT field FROM rejected_event")
    assert field == "time"


async def test_an_atomic_request_with_an_event_below_the_floor_stores_none(log: Log) -> None:
    await log.execute("UPDATE shard SET time_floor = :at", at=log.clock.instant)
    now = micros(log.clock.instant)
    sent = [event("old", time=now - 1), event("new", time=now)]
    sealed = await log.seal(submission(*sent, atomic=True))
    assert verdicts(sealed) == [["REJECTED", "NOT_STORED"]]
    assert await keys(log) == 0


async def test_events_that_would_be_taken_again_keep_their_keys(log: Log) -> None:
    """Without a time, corrected, or dated ahead: sent again they are not too old."""
    ahead = micros(log.clock.instant + 1000 * DAY)
    await seal(log, "plain", "corrected")
    await seal(log, "untimed", time=None)
    await log.seal(
        submission(event("ahead", time=ahead), limits=Limits(max_ahead_seconds=2000 * 86_400))
    )
    later = micros(log.clock.instant + 300 * DAY)
    log.clock.instant += 300 * DAY
    amended = submission(event("corrected", time=later), received=later)
    await Corrections(log).corrector.amend(a_request(), amended)
    log.clock.instant += 700 * DAY
    await drained(log.keeper())
    assert await keys(log) == 3
    assert await seal(log, "untimed", time=None) == ["DUPLICATE"]
    assert await seal(log, "ahead", time=ahead) == ["DUPLICATE"]


async def test_the_keys_of_a_tenant_go_by_their_tenant(log: Log) -> None:
    await seal(log, "e")
    log.clock.instant += 402 * DAY
    await seal(log, "e", tenant=OTHER_TENANT)
    await drained(log.keeper())
    assert await log.fetch("SELECT tenant FROM event_key") == [(OTHER_TENANT,)]


async def test_keys_are_kept_for_good_if_that_is_set(log: Log) -> None:
    await seal(log, "old")
    log.clock.instant += 5_000 * DAY
    keeper = log.keeper(keys_days=0)
    assert not await keeper.step()
    assert await keys(log) == 1


async def test_a_group_that_was_judged_before_the_floor_rose_is_judged_again(log: Log) -> None:
    """It saw the old floor, and takes its number when the key of its event is gone."""
    then = micros(log.clock.instant)
    await seal(log, "old")
    log.clock.instant += 402 * DAY
    keeper = log.keeper()
    async with db.begin_worker(log.worker) as late:
        opened = await segments.open_segment(late, SHARD, alone=False)
        await drained(keeper)
        assert await keys(log) == 0
        with pytest.raises(segments.FloorRaised):
            await log.append(late, opened, event("old", time=then))
        await late.rollback()
    assert await seal(log, "old", time=then) == ["REJECTED"]


async def test_raising_the_floor_waits_for_whoever_holds_a_number(log: Log) -> None:
    await seal(log, "old")
    log.clock.instant += 402 * DAY
    async with db.begin_worker(log.worker) as sealing:
        opened = await segments.open_segment(sealing, SHARD, alone=False)
        await log.append(sealing, opened, event("new"))
        pruning = asyncio.create_task(drained(log.keeper()))
        await until(partial(someone_waits, log), describe="the floor to wait for the number")
        assert await keys(log) == 1
        await sealing.rollback()
    await pruning
    assert await keys(log) == 0
