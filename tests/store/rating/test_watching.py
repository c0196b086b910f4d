"""Following usage: each change is told, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy import text

from libs import db
from libs.clock import TestClock
from libs.errors import Exhausted, FieldInvalid, Unavailable
from services.rating.domain.meter import Aggregation
from services.rating.domain.period import PeriodNotFound
from services.rating.operations import watching
from services.rating.operations.acks import Positions
from services.rating.operations.watching import Watched, Watches, parse_resume_token
from services.rating.store.applied import Lane
from tally.rating.v1 import usage_service_pb2 as pb
from tests.store.rating.conftest import JANUARY, TENANT, World, a_charge, an_event, instant
from tests.wait import until

SECONDS = 10


class Looking(Positions):
    """Counts how often a watch has looked for changes."""

    looks = 0

    async def look(self) -> Mapping[Lane, int]:
        self.looks += 1
        return await super().look()


@dataclass
class Suite:
    """Watches of a world at 2 January, made by one process."""

    world: World
    positions: Looking
    clock: TestClock = field(default_factory=TestClock)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def watches(self) -> Watches:
        return Watches(
            self.world.app,
            self.world,
            self.clock,
            positions=self.positions,
            stopping=self.stopping,
        )

    @asynccontextmanager
    async def follow(
        self, token: str = "", watches: Watches | None = None, of: str = "acme"
    ) -> AsyncIterator[Answers]:
        watched = Watched(TENANT, of, parse_resume_token(token))
        async with aclosing((watches or self.watches()).follow(watched)) as answers:
            yield Answers(answers)


@dataclass
class Answers:
    stream: AsyncIterator[pb.WatchUsageResponse]

    async def next(self) -> pb.WatchUsageResponse:
        return await asyncio.wait_for(anext(self.stream), SECONDS)


def units(answer: pb.WatchUsageResponse) -> list[str]:
    return [fee.units for fee in answer.fees]


@pytest.fixture
async def suite(world: World, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setattr(watching, "WATCH_SECONDS", 0.02)
    monkeypatch.setattr(watching, "MARK_SECONDS", 0.1)
    made = Suite(world, Looking(world.worker))
    await made.clock.set(world.worker, instant("2024-01-02"))
    await world.subscribe("acme", end=instant("2024-02-20"))
    return made


async def test_each_change_is_told_and_the_token_stands_for_it(suite: Suite) -> None:
    async with suite.follow() as answers:
        first = await answers.next()
        assert units(first) == []
        await suite.world.fold(an_event("other", JANUARY))  # No change of this one.
        await suite.world.fold(an_event("acme", JANUARY), an_event("acme", JANUARY))
        second = await answers.next()
        assert units(second) == ["2"]
    async with suite.follow(first.resume_token) as answers:
        assert await answers.next() == second
    async with suite.follow(second.resume_token) as answers:
        waiting = asyncio.create_task(answers.next())
        looks = suite.positions.looks
        await until(lambda: suite.positions.looks > looks + 1)
        assert not waiting.done()
        await suite.world.fold(an_event("acme", JANUARY))
        assert units(await waiting) == ["3"]


async def test_a_change_that_no_mark_shows_is_found_when_usage_is_read_anyway(
    world: World, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "READ_SECONDS", 0.2)
    await world.create_meter("users", Aggregation.UNIQUE_COUNT, value="user")
    await world.create_plan("users", [a_charge("users", "1")])
    await world.subscribe("acme-users", customer="acme", plan="users")
    await world.fold(an_event("acme", JANUARY, type_="users", user="ann"))
    async with suite.follow(of="acme-users") as answers:
        assert units(await answers.next()) == ["1"]
        async with db.begin_worker(world.worker) as conn:
            await conn.execute(text("UPDATE cell_values SET present = false"))
        assert units(await answers.next()) == ["0"]


async def test_the_next_period_follows_until_the_subscription_has_ended(suite: Suite) -> None:
    await suite.world.fold(an_event("acme", JANUARY), an_event("acme", instant("2024-02-01")))
    async with suite.follow() as answers:
        january = await answers.next()
        await suite.clock.set(suite.world.worker, instant("2024-02-02"))
        february = await answers.next()
        assert february.period.start == january.period.end
        assert units(february) == ["1"]
        await suite.clock.set(suite.world.worker, instant("2024-02-20"))
        with pytest.raises(StopAsyncIteration):
            await answers.next()
    with pytest.raises(PeriodNotFound):
        async with suite.follow() as answers:
            await answers.next()


async def test_a_process_that_stops_says_so_to_all_who_watch(suite: Suite) -> None:
    async with suite.follow() as answers:
        await answers.next()
        waiting = asyncio.create_task(answers.next())
        suite.stopping.set()
        with pytest.raises(Unavailable, match="the process stops"):
            await waiting


async def test_who_leaves_makes_room_for_others(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "WATCHES_MAX", 1)
    watches = suite.watches()
    async with suite.follow(watches=watches) as answers:
        await answers.next()
        leaving = asyncio.create_task(answers.next())
        async with suite.follow(watches=watches) as more:
            with pytest.raises(Exhausted, match="1 streams of usage are open"):
                await more.next()
        leaving.cancel()
        await asyncio.wait([leaving])
    async with suite.follow(watches=watches) as answers:
        assert await answers.next()


@pytest.mark.parametrize("made_up", ["%%%", "abc", "A" * 100])
def test_a_made_up_resume_token_is_refused(made_up: str) -> None:
    with pytest.raises(FieldInvalid, match="resume_token: was not made by WatchUsage"):
        parse_resume_token(made_up)
