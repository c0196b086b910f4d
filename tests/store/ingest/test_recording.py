"""Group commit: requests share transactions, and each gets its own answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from libs import db
from libs.errors import Unavailable
from services.ingest.domain.verdicts import Verdict
from services.ingest.operations import gathering
from services.ingest.operations.recording import Recorder
from services.ingest.store import segments
from tests.store.ingest.conftest import Log
from tests.unit.ingest.events import OTHER_TENANT, event, submission
from tests.wait import until


async def test_requests_that_come_together_share_a_segment(log: Log) -> None:
    kicks: list[None] = []
    recorder = Recorder(log.worker, log.clock, lambda: kicks.append(None))
    answers = await asyncio.gather(
        *(recorder.record(submission(event(f"e{n}"))) for n in range(20)),
        recorder.record(submission(event("e1"), tenant=OTHER_TENANT)),
        recorder.record(submission(event("e1"), event("e2", type="other"))),
    )
    assert {answer.number for answer in answers} == {1}
    assert [judged.verdict for judged in answers[-1].judgements] == [
        Verdict.DUPLICATE,
        Verdict.CONFLICT,
    ]
    assert await log.fetch("SELECT number, event_count FROM segment") == [(1, 21)]
    assert len(kicks) == 1
    assert recorder.in_flight == 0


@asynccontextmanager
async def held_back(log: Log) -> AsyncIterator[None]:
    """Keep groups from being sealed meanwhile: they wait for the shard's row."""
    async with db.begin_worker(log.worker) as conn:
        await segments.lock_heads(conn, [0], through=log.clock.instant)
        yield


async def test_a_cancelled_call_does_not_cancel_its_group(log: Log) -> None:
    recorder = Recorder(log.worker, log.clock, lambda: None)
    async with held_back(log):
        gone = asyncio.create_task(recorder.record(submission(event("gone"))))
        stays = asyncio.create_task(recorder.record(submission(event("stays"))))
        await until(lambda: recorder.in_flight == 2)
        gone.cancel()
    assert (await stays).number == 1
    assert await log.ids() == ["gone", "stays"]
    await until(lambda: recorder.in_flight == 0)


async def test_a_request_of_rejected_events_alone_takes_no_number(log: Log) -> None:
    recorder = Recorder(log.worker, log.clock, lambda: None)
    answer = await recorder.record(submission(event("")))
    assert (answer.judgements[0].verdict, answer.number) == (Verdict.REJECTED, 0)


async def test_all_of_a_group_learn_that_the_outcome_is_not_known(log: Log) -> None:
    """The database goes away under the group; afterwards both requests may be sent again."""
    recorder = Recorder(log.worker, log.clock, lambda: None)
    await recorder.record(submission(event("before")))
    lock = asyncio.create_task(_held_until_killed(log))
    await until(lambda: _is_locked(log))
    waiting = [asyncio.create_task(recorder.record(submission(event(one)))) for one in "ab"]
    await until(lambda: _seals_wait(log))
    await log.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'"
    )
    for one in waiting:
        with pytest.raises(Unavailable):
            await one
    with pytest.raises(Unavailable):
        await lock
    again = await recorder.record(submission(event("a"), event("b")))
    assert [judged.verdict for judged in again.judgements] == [Verdict.ACCEPTED] * 2
    assert await log.fetch("SELECT number FROM shard") == [(2,)]


async def _held_until_killed(log: Log) -> None:
    await log.execute("SELECT pg_sleep(60) FROM (SELECT 1 FROM shard FOR UPDATE) AS locked")


async def _is_locked(log: Log) -> bool:
    rows = await log.fetch("SELECT 1 FROM shard FOR UPDATE SKIP LOCKED")
    return not rows


async def _seals_wait(log: Log) -> bool:
    rows = await log.fetch(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'"
    )
    return bool(rows)


async def test_a_cancelled_call_is_in_flight_until_its_group_is_sealed(log: Log) -> None:
    recorder = Recorder(log.worker, log.clock, lambda: None)
    async with held_back(log):
        gone = asyncio.create_task(recorder.record(submission(event("gone"))))
        await until(lambda: recorder.in_flight == 1)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert recorder.in_flight == 1
    await until(lambda: recorder.in_flight == 0)
    assert await log.ids() == ["gone"]


async def test_a_request_that_comes_just_as_the_sealer_ends_is_sealed(log: Log) -> None:
    recorder = Recorder(log.worker, log.clock, lambda: None)
    async with asyncio.timeout(10):
        numbers = [(await recorder.record(submission(event(one)))).number for one in "abc"]
    assert numbers == [1, 2, 3]


async def test_what_does_not_fit_into_a_group_is_sealed_beside_it(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "QUIET_SECONDS", 60)
    recorder = Recorder(log.worker, log.clock, lambda: None)
    await asyncio.gather(*(recorder.record(submission(event(one))) for one in "abcde"))
    late = asyncio.create_task(recorder.record(submission(event("late"))))
    await until(lambda: recorder._gathering.waits == 1)
    large = [submission(*(event(f"{n}-{one}") for n in range(6_000))) for one in "fg"]
    sealing = [asyncio.create_task(recorder.record(one)) for one in large]
    await until(lambda: len(recorder._sealers) == 2)
    numbers = [(await one).number for one in (late, *sealing)]
    assert sorted(numbers[1:]) == [2, 3]
