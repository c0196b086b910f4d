"""The driver of the suite's time, against four small services in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import grpc
import pytest

from libs import peer
from libs.auth import Authenticator, InternalToken
from libs.clock import ClockBackward
from libs.rpc import ServerInterceptor
from libs.testclock import ORDER, NotIdle, advance, settle
from tally.internal.v1 import test_clock_service_pb2 as pb
from tally.internal.v1 import test_clock_service_pb2_grpc as pb_grpc
from tests.unit.libs.keys import Keys

START = datetime(2024, 1, 1, tzinfo=UTC)


def hours(count: float) -> datetime:
    return START + timedelta(hours=count)


@dataclass
class Suite:
    """What four services share: work due at instants, and what was done when, by whom."""

    due: list[tuple[datetime, str]] = field(default_factory=list)
    done: list[tuple[datetime, str]] = field(default_factory=list)
    now: dict[str, datetime] = field(default_factory=dict)
    forever_busy: str = ""


class Service(pb_grpc.TestClockServiceServicer):
    """Does what is due one piece at a time, at each GetIdle, and is busy until all is done."""

    def __init__(self, name: str, suite: Suite) -> None:
        self._name = name
        self._suite = suite
        self._steps = 0

    async def GetTime(self, request: pb.GetTimeRequest, context: Any) -> pb.GetTimeResponse:
        answer = pb.GetTimeResponse(moved=self._name in self._suite.now)
        answer.now.FromDatetime(self._suite.now.get(self._name, datetime.now(UTC)))
        return answer

    async def SetTime(self, request: pb.SetTimeRequest, context: Any) -> pb.SetTimeResponse:
        self._suite.now[self._name] = request.now.ToDatetime(tzinfo=UTC)
        return pb.SetTimeResponse()

    async def GetIdle(self, request: pb.GetIdleRequest, context: Any) -> pb.GetIdleResponse:
        now = self._suite.now.get(self._name, START)
        mine = sorted(at for at, name in self._suite.due if name == self._name)
        answer = pb.GetIdleResponse(idle=True)
        if self._suite.forever_busy:
            return pb.GetIdleResponse(idle=False, busy=[self._suite.forever_busy])
        if mine and mine[0] <= now:
            self._suite.due.remove((mine[0], self._name))
            self._suite.done.append((now, self._name))
            self._steps += 1
            answer = pb.GetIdleResponse(idle=False, busy=["a piece of work was due"])
        elif mine:
            answer.next_due_at.FromDatetime(mine[0])
        answer.marks["steps"] = self._steps
        return answer


@asynccontextmanager
async def clients_of(suite: Suite, tmp_path: Path) -> AsyncIterator[dict[str, Any]]:
    keys = Keys(tmp_path)
    token = InternalToken(keys.internal_token_file())
    servers, channels, clients = [], [], {}
    for name in ORDER:
        server = grpc.aio.server(interceptors=[ServerInterceptor(Authenticator(keys.file))])
        pb_grpc.add_TestClockServiceServicer_to_server(Service(name, suite), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        channel = peer.channel(f"127.0.0.1:{port}", token)
        clients[name] = pb_grpc.TestClockServiceStub(channel)
        servers.append(server)
        channels.append(channel)
    try:
        yield clients
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))
        await asyncio.gather(*(server.stop(0) for server in servers))


async def test_time_stops_at_every_due_instant_until_its_work_is_done(tmp_path: Path) -> None:
    suite = Suite(
        due=[(hours(2), "wallet"), (hours(1), "rating"), (hours(2), "ingest"), (hours(9), "rating")]
    )
    reached: list[datetime] = []
    async with clients_of(suite, tmp_path) as clients:
        await advance(clients, START)
        await advance(clients, hours(5), progress=reached.append)
    assert sorted(suite.done) == [(hours(1), "rating"), (hours(2), "ingest"), (hours(2), "wallet")]
    assert reached == [START, hours(1), hours(2), hours(5)]
    assert set(suite.now.values()) == {hours(5)}
    assert suite.due == [(hours(9), "rating")]


async def test_clocks_that_were_never_set_jump_to_the_instant(tmp_path: Path) -> None:
    suite = Suite(due=[(hours(-1), "invoicing"), (hours(0), "wallet")])
    async with clients_of(suite, tmp_path) as clients:
        await advance(clients, START)
    assert sorted(suite.done) == [(START, "invoicing"), (START, "wallet")]


async def test_a_move_that_was_cut_off_is_finished_first(tmp_path: Path) -> None:
    suite = Suite(due=[(hours(1), "wallet")])
    suite.now = {"ingest": hours(1), "rating": START}
    async with clients_of(suite, tmp_path) as clients:
        await advance(clients, hours(3))
    assert suite.done == [(hours(1), "wallet")]
    assert suite.now == {name: hours(3) for name in ORDER}


async def test_time_does_not_go_back(tmp_path: Path) -> None:
    suite = Suite(now=dict.fromkeys(ORDER, hours(2)))
    async with clients_of(suite, tmp_path) as clients:
        with pytest.raises(ClockBackward):
            await advance(clients, hours(1))
    assert set(suite.now.values()) == {hours(2)}


async def test_services_learn_the_time_in_any_order(tmp_path: Path) -> None:
    suite = Suite()
    async with clients_of(suite, tmp_path) as clients:
        for step, order in enumerate(permutations(ORDER)):
            suite.due = [(hours(step), name) for name in ORDER]
            await advance(clients, hours(step), order=order)
    assert len(suite.done) == 24 * 4


async def test_a_suite_that_does_not_come_to_rest_says_why(tmp_path: Path) -> None:
    suite = Suite(forever_busy="2 invoices are finalizing")
    async with clients_of(suite, tmp_path) as clients:
        with pytest.raises(NotIdle, match="wallet: 2 invoices are finalizing"):
            await settle(clients, deadline_seconds=0.1)


async def test_a_service_that_is_away_is_named(tmp_path: Path) -> None:
    async with clients_of(Suite(), tmp_path) as clients:
        token = InternalToken(str(tmp_path / "internal.token"))
        async with peer.channel("127.0.0.1:1", token) as nowhere:
            clients["rating"] = pb_grpc.TestClockServiceStub(nowhere)
            with pytest.raises(NotIdle, match="rating: .*GetIdle"):
                await settle(clients, deadline_seconds=0.1)
