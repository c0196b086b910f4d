"""Streams on the recorder: read ahead within bounds, answered in order, over in good order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from libs import db
from libs.errors import FieldInvalid, Unavailable
from services.ingest.domain.candidates import Submission
from services.ingest.operations.recording import Recorded, Recorder
from services.ingest.operations.streaming import STREAM_EVENTS_MAX, Streams
from tests.store.ingest.conftest import Log
from tests.unit.ingest.events import OTHER_TENANT, event, ids, submission
from tests.wait import until

LONG_SECONDS = 60.0


class Producer:
    """Gives batches to a stream, and takes its answers."""

    def __init__(self, *batches: Submission, last: Exception | None = None) -> None:
        self._batches = list(batches)
        self._last = last
        self.read_count = 0
        self.acked = 0
        self.more = asyncio.Event()  # Until then the batches given are not the last ones.

    async def read(self) -> Submission | None:
        if self.read_count == len(self._batches):
            if self._last is not None:
                raise self._last
            await self.more.wait()
            return None
        self.read_count += 1
        return self._batches[self.read_count - 1]

    async def answer(self, batches: Sequence[Recorded]) -> None:
        self.acked += len(batches)


def streams_of(log: Log, *, seconds_max: float = LONG_SECONDS) -> tuple[Streams, asyncio.Event]:
    stopping = asyncio.Event()
    recorder = Recorder(log.worker, log.clock, lambda: None)
    return Streams(recorder, stopping, seconds_max=seconds_max), stopping


@asynccontextmanager
async def held(log: Log) -> AsyncIterator[None]:
    """Let nothing be committed meanwhile."""
    async with db.begin_worker(log.worker) as conn:
        await conn.exec_driver_sql("SELECT 1 FROM shard FOR UPDATE")
        yield


def batches(count: int, *, events: int = 1) -> list[Submission]:
    return [submission(*map(event, ids(events, prefix=f"{n}-"))) for n in range(count)]


async def test_a_stream_of_some_age_ends_when_what_was_read_is_answered(log: Log) -> None:
    streams, _ = streams_of(log, seconds_max=0.05)
    producer = Producer(*batches(3))
    async with held(log):
        recording = asyncio.create_task(streams.record(producer.read, producer.answer))
        await until(lambda: producer.read_count == 3)
        await asyncio.wait([recording], timeout=0.2)
        assert not recording.done()
    with pytest.raises(Unavailable, match="the stream is over"):
        await recording
    assert producer.acked == 3


async def test_a_process_that_stops_ends_its_streams(log: Log) -> None:
    streams, stopping = streams_of(log)
    producer = Producer(*batches(2))
    recording = asyncio.create_task(streams.record(producer.read, producer.answer))
    await until(lambda: producer.acked == 2)
    stopping.set()
    with pytest.raises(Unavailable, match="the stream is over"):
        await recording


async def test_a_fault_is_told_after_all_before_it_is_answered(log: Log) -> None:
    streams, _ = streams_of(log)
    producer = Producer(*batches(3), last=FieldInvalid("batch_number", "is 9, must be 4"))
    async with held(log):
        recording = asyncio.create_task(streams.record(producer.read, producer.answer))
        await until(lambda: producer.read_count == 3)
    with pytest.raises(FieldInvalid):
        await recording
    assert producer.acked == 3


async def test_no_more_is_read_while_too_many_events_are_in_flight(log: Log) -> None:
    streams, _ = streams_of(log)
    producer = Producer(*batches(1, events=STREAM_EVENTS_MAX // 4) * 5)
    producer.more.set()
    async with held(log):
        recording = asyncio.create_task(streams.record(producer.read, producer.answer))
        await until(lambda: producer.read_count == 4)
        await asyncio.wait([recording], timeout=0.1)
        assert producer.read_count == 4
    await recording
    assert producer.acked == 5


async def test_the_group_after_a_flood_has_the_request_of_another_tenant(log: Log) -> None:
    """Ten of the flood make a group: two are on their way, the third has the other one too."""
    recorder = Recorder(log.worker, log.clock, lambda: None)
    sent = batches(50, events=1_000)
    async with held(log):
        flood = [asyncio.create_task(recorder.record(one)) for one in sent]
        await until(lambda: recorder.in_flight == len(flood))
        await until(lambda: seals_wait(log))
        other = submission(event("other"), tenant=OTHER_TENANT)
        answer = asyncio.create_task(recorder.record(other))
        await until(lambda: recorder.in_flight == len(flood) + 1)
    await answer
    assert sum(request.done() for request in flood) <= 39  # The fourth group may have been faster.
    await asyncio.gather(*flood)


async def seals_wait(log: Log) -> bool:
    """Tell whether both sealers wait for the shard."""
    rows = await log.fetch(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'"
    )
    return len(rows) == 2
