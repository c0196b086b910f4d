"""The test clock in its table, and its RPCs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import peer
from libs.auth import Authenticator, InternalToken
from libs.clock import ClockBackward, SystemClock, TestClock, clock, open_clock
from libs.db import begin_worker
from libs.errors import FieldInvalid, Refused
from libs.idle import Idle, with_loops
from libs.rpc import ServerInterceptor
from libs.testclock import TestClockServicer
from libs.worker import Loop
from tally.internal.v1 import test_clock_service_pb2 as pb
from tally.internal.v1 import test_clock_service_pb2_grpc as pb_grpc
from tests.unit.libs.keys import Keys

START = datetime(2014, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
async def engine(worker: AsyncEngine) -> AsyncEngine:
    """The worker's engine, on a clock that was never set."""
    async with begin_worker(worker) as conn:
        await conn.execute(clock.delete())
    return worker


async def test_until_it_is_set_the_clock_shows_the_time_on_the_wall(engine: AsyncEngine) -> None:
    unset = TestClock()
    await unset.load(engine)
    assert not unset.moved
    assert abs(unset.now() - datetime.now(UTC)) < timedelta(seconds=5)


async def test_the_first_time_may_be_any_and_later_ones_only_move_forward(
    engine: AsyncEngine,
) -> None:
    moving = TestClock()
    kicks: list[datetime] = []
    moving.on_change(lambda: kicks.append(moving.now()))
    await moving.set(engine, START)
    await moving.set(engine, START)
    await moving.set(engine, START + HOUR)
    with pytest.raises(ClockBackward, match="2014-01-01T01:00"):
        await moving.set(engine, START)
    assert moving.now() == START + HOUR
    assert kicks == [START, START, START + HOUR]


async def test_the_time_survives_a_restart(engine: AsyncEngine) -> None:
    instant = START + timedelta(microseconds=1)
    await TestClock().set(engine, instant)
    opened = await open_clock(engine, test=True)
    assert opened.now() == instant
    assert opened.now().tzinfo is UTC
    assert isinstance(await open_clock(engine, test=False), SystemClock)


async def idle_until_noon() -> Idle:
    return Idle(busy=[], marks={"facts": 3}, next_due_at=START + 12 * HOUR)


@pytest.fixture
async def stub(engine: AsyncEngine, tmp_path: Path) -> AsyncIterator[Any]:
    keys = Keys(tmp_path)
    loop = Loop("calendar", _rest)
    moving = TestClock()
    moving.on_change(loop.kick)
    server = grpc.aio.server(interceptors=[ServerInterceptor(Authenticator(keys.file))])
    servicer = TestClockServicer(moving, engine, with_loops(idle_until_noon, [loop]))
    pb_grpc.add_TestClockServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    token = InternalToken(keys.internal_token_file())
    async with peer.channel(f"127.0.0.1:{port}", token) as channel:
        yield pb_grpc.TestClockServiceStub(channel)
    await server.stop(0)


async def _rest() -> bool:
    return False


def stamp(instant: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(instant)
    return made


async def test_time_is_moved_and_read_over_rpc(stub: Any) -> None:
    assert not (await peer.call(stub.GetTime, pb.GetTimeRequest(), tenant=None)).moved
    await peer.call(stub.SetTime, pb.SetTimeRequest(now=stamp(START)), tenant=None)
    time = await peer.call(stub.GetTime, pb.GetTimeRequest(), tenant=None)
    assert (time.moved, time.now.ToDatetime(tzinfo=UTC)) == (True, START)
    with pytest.raises(Refused) as refused:
        await peer.call(stub.SetTime, pb.SetTimeRequest(now=stamp(START - HOUR)), tenant=None)
    assert refused.value.reason == "CLOCK_BACKWARD"


@pytest.mark.parametrize(
    "request_", [pb.SetTimeRequest(), pb.SetTimeRequest(now=Timestamp(seconds=2**60))]
)
async def test_what_is_no_instant_is_refused(stub: Any, request_: pb.SetTimeRequest) -> None:
    with pytest.raises(FieldInvalid) as refused:
        await peer.call(stub.SetTime, request_, tenant=None)
    assert refused.value.field == "now"


async def test_a_kicked_loop_keeps_a_service_from_being_idle(stub: Any) -> None:
    before = await peer.call(stub.GetIdle, pb.GetIdleRequest(), tenant=None)
    assert before.idle
    assert dict(before.marks) == {"facts": 3, "loop calendar": 0}
    assert before.next_due_at.ToDatetime(tzinfo=UTC) == START + 12 * HOUR
    await peer.call(stub.SetTime, pb.SetTimeRequest(now=stamp(START)), tenant=None)
    after = await peer.call(stub.GetIdle, pb.GetIdleRequest(), tenant=None)
    assert (after.idle, list(after.busy)) == (False, ["calendar was kicked"])
