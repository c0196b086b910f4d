"""Usage that is rebuilt from the log is the usage that was folded, to the byte."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from libs.db import Snapshots, begin_worker
from libs.difference import Finding
from libs.errors import Unavailable
from libs.requests import Request, RequestIdReused
from services.rating.domain.columns import Slice
from services.rating.domain.event import LogPlace, UsageEvent
from services.rating.domain.meter import Aggregation, ValueInput
from services.rating.operations import rebuilding
from services.rating.operations.folding import Catalogs, fold_slices
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.rebuilding import Rebuilder, rebuild_usage
from services.rating.operations.verifying_cells import verify_cells
from services.rating.store.cell_parts import PARTS
from services.rating.store.usage_schema import ambiguous, cells, unattributed
from tally.rating.v1.rebuild_pb2 import RebuiltUsage
from tests.store.rating.conftest import (
    JANUARY,
    LANE,
    TENANT,
    World,
    a_charge,
    a_request,
    an_event,
    instant,
    place_of,
)
from tests.store.rating.test_verifying import Log

NOON = instant("2024-01-10 12:00")
FEBRUARY = instant("2024-02-01 00:10")
METERS: dict[str, tuple[Aggregation, dict[str, Any]]] = {
    "calls": (Aggregation.COUNT, {}),
    "sum": (Aggregation.SUM, {}),
    "latest": (Aggregation.LATEST, {}),
    "users": (Aggregation.UNIQUE_COUNT, {}),
    "level": (Aggregation.WEIGHTED_SUM, {"value_input": ValueInput.LEVEL}),
    "middle": (Aggregation.PERCENTILE, {"percentile": 50}),
}
REGIONS = ("eu", "us", "in", "")
STEPS = 60
TABLES = (cells, *PARTS, unattributed, ambiguous)


class WholeLog(Log):
    """The log by lane, and by customer."""

    def events(self, *args: object, **options: object) -> AsyncGenerator[Sequence[UsageEvent]]:
        return self.world.events(*args, **options)  # type: ignore[arg-type]


async def rebuild(
    log: WholeLog, customer_id: str = "", *, request: Request | None = None
) -> RebuiltUsage:
    rebuilder = Rebuilder(log.world.reader, log, log.world.catalogs.cells_per_day_max)
    answers = rebuild_usage(rebuilder, request or a_request(), customer_id)
    async with aclosing(answers):
        given = [answer async for answer in answers]
    return given[-1].rebuilt


async def stored(world: World) -> dict[str, list[str]]:
    """Return every row of usage as text."""
    found = {}
    for table in TABLES:
        rows = await world.fetch(f"SELECT {table.name}::text FROM {table.name} ORDER BY 1")
        found[table.name] = [row for (row,) in rows]
    return found


async def verified(log: Log, cells_max: int) -> list[Finding]:
    snapshots = Snapshots(log.world.app, log.world.worker, None)
    found = verify_cells(snapshots, log, Counter(), cells_per_day_max=cells_max)
    return [one async for one in found]


async def execute(world: World, *statements: str) -> None:
    async with begin_worker(world.worker) as conn:
        for statement in statements:
            await conn.execute(text(statement))


class Story:
    """Random events, late and early ones, repeats and corrections, in random portions."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.log = WholeLog(world)
        self.random = random.Random(seed)
        self.waiting: list[Slice] = []
        self.sealed: list[Slice] = []

    def event(self) -> UsageEvent:
        type_ = self.random.choice(list(METERS))
        value = Decimal(self.random.randrange(0, 40)) / 4
        return an_event(
            self.random.choice(("acme", "bolt", "nobody")),
            JANUARY + timedelta(hours=self.random.randrange(240)),
            type_=type_,
            value=str(value) if type_ == "users" else value,
            region=self.random.choice(REGIONS),
        )

    async def step(self) -> None:
        standing = self.world.standing()
        match self.random.randrange(8):
            case 0 | 1 | 2:
                self.seal(self.world.slice(*(self.event() for _ in range(4))))
            case 3 if standing:
                self.seal(self.world.correct(place_of(self.random.choice(standing)), self.event()))
            case 4 if standing:
                self.seal(self.world.correct(place_of(self.random.choice(standing)), None))
            case 5:
                await reattribute_next(
                    self.world.worker,
                    self.world,
                    cells_per_day_max=self.world.catalogs.cells_per_day_max,
                )
            case 6 if self.random.random() < 0.3:
                await rebuild(self.log)
            case _:
                await self.fold()

    def seal(self, piece: Slice) -> None:
        self.waiting.append(piece)
        self.log.pieces.append(piece)

    async def fold(self) -> None:
        if self.waiting:
            positions = {LANE: self.waiting[0].previous_number}
            await fold_slices(self.world.worker, self.world.catalogs, self.waiting, positions)
            self.waiting = []


@pytest.fixture
async def rich(world: World) -> World:
    """A world with a plan that charges meters of many kinds, and two customers on it, one twice."""
    for code, (aggregation, options) in METERS.items():
        if code != "calls":
            await world.create_meter(
                code, aggregation, value="value", dimensions=["region"], **options
            )
    await world.create_plan("all", [a_charge(code, "1") for code in METERS])
    for customer in ("acme", "bolt"):
        await world.subscribe(customer, plan="all", zone="America/New_York")
    await world.subscribe("rival", plan="all", customer="bolt")
    return world


@pytest.mark.parametrize(("seed", "cells_max"), [(0, 10_000), (1, 1)])
async def test_a_rebuild_gives_the_same_bytes_whatever_happened(
    seed: int, cells_max: int, rich: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where days come and go that have too many combinations of values."""
    monkeypatch.setattr(rebuilding, "ROWS_MAX", 20)  # So that days come in several stretches.
    rich.catalogs = Catalogs(cells_per_day_max=cells_max)
    story = Story(rich, seed)
    for _ in range(STEPS):
        await story.step()
    await story.fold()
    while await reattribute_next(rich.worker, rich, cells_per_day_max=cells_max):
        pass
    in_log = await rich.fetch("SELECT count(*) FROM cells WHERE in_log")
    assert (in_log[0][0] > 0) == (cells_max == 1)
    assert await verified(story.log, cells_max) == []
    live = await stored(rich)
    assert all(live.values()), "there is usage of every kind"
    done = await rebuild(story.log)
    assert await stored(rich) == live
    assert (done.customer_count, done.changed_cell_count) == (3, 0)
    assert done.event_count == len(rich.standing())
    assert done.cell_count == len(live["cells"])
    await execute(
        rich,
        "UPDATE cells SET event_count = event_count + 1, total = total + 1 WHERE day > '2024-1-4'",
        "DELETE FROM cell_values WHERE present",
        "UPDATE cell_levels SET value = value + 1",
        "INSERT INTO cell_counts SELECT tenant, term_id, meter_id, day, dimensions_key, 77, 1"
        " FROM cell_counts ON CONFLICT DO NOTHING",
        "UPDATE unattributed SET event_count = event_count + 5",
        "DELETE FROM ambiguous WHERE day > '2024-1-4'",
    )
    assert await stored(rich) != live
    assert (await rebuild(story.log)).changed_cell_count > 0
    assert await stored(rich) == live


async def test_a_lost_cell_comes_back_and_a_strange_one_goes(world: World) -> None:
    await world.subscribe("acme")
    await world.subscribe("blue")
    log = WholeLog(world)
    await log.fold(an_event("acme", NOON), an_event("blue", NOON))
    live = await stored(world)
    await execute(world, "UPDATE cells SET day = day + 1")
    done = await rebuild(log, "acme")
    assert (done.customer_count, done.event_count, done.cell_count) == (1, 1, 1)
    assert done.changed_cell_count == 2, "one came, one went"
    days = "SELECT subscription_id, day::text FROM cells JOIN terms USING (tenant, term_id)"
    days += " JOIN subscriptions USING (tenant, subscription_uid) ORDER BY 1"
    assert await world.fetch(days) == [("acme", "2024-01-10"), ("blue", "2024-01-11")]
    await rebuild(log)
    assert len((await stored(world))["cells"]) == len(live["cells"])
    assert await world.fetch(days) == [("acme", "2024-01-10"), ("blue", "2024-01-10")]


async def test_usage_that_is_folded_meanwhile_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.subscribe("acme")
    log = WholeLog(world)
    await log.fold(an_event("acme", NOON), an_event("acme", NOON))
    await execute(world, "UPDATE cells SET event_count = 7")
    reading = world.events

    async def overtaken(*args: object, **options: object) -> AsyncIterator[Sequence[UsageEvent]]:
        async for page in reading(*args, **options):  # type: ignore[arg-type]
            yield page
        monkeypatch.setattr(world, "events", reading)
        await log.fold(an_event("acme", NOON), an_event("blue", NOON))

    monkeypatch.setattr(world, "events", overtaken)
    done = await rebuild(log, "acme")
    assert await world.fetch("SELECT event_count FROM cells") == [(3,)]
    assert done.event_count == 3, "what came meanwhile was read behind it, not all of it again"
    assert await world.fetch("SELECT customer_id FROM unattributed") == [("blue",)]


async def test_a_correction_meanwhile_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.subscribe("acme")
    log = WholeLog(world)
    await log.fold(an_event("acme", NOON), an_event("acme", NOON))
    reading = world.events

    async def overtaken(*args: object, **options: object) -> AsyncIterator[Sequence[UsageEvent]]:
        async for page in reading(*args, **options):  # type: ignore[arg-type]
            yield page
        monkeypatch.setattr(world, "events", reading)
        log.pieces.append(world.correct(LogPlace(0, 1, 0), None))
        await world.fold_slice(log.pieces[-1])

    monkeypatch.setattr(world, "events", overtaken)
    await rebuild(log, "acme")
    assert await world.fetch("SELECT event_count FROM cells") == [(1,)]
    assert not await reattribute_next(world.worker, world), "the job was done on the way"


async def test_usage_that_keeps_changing_is_left_as_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.subscribe("acme")
    log = WholeLog(world)
    await log.fold(an_event("acme", NOON))
    monkeypatch.setattr(rebuilding, "TRIES", 3)
    catching_up = rebuilding._catch_up

    async def overtaken(*args: object) -> bool:
        done = await catching_up(*args)  # type: ignore[arg-type]
        await log.fold(an_event("acme", NOON))
        return done

    folding = rebuilding._fold_days

    async def folded(*args: object) -> object:
        stretch = await folding(*args)  # type: ignore[arg-type]
        await log.fold(an_event("acme", NOON))
        return stretch

    monkeypatch.setattr(rebuilding, "_catch_up", overtaken)
    monkeypatch.setattr(rebuilding, "_fold_days", folded)
    with pytest.raises(Unavailable):
        await rebuild(log, "acme")
    assert await world.fetch("SELECT event_count FROM cells") == [(4,)]


async def test_a_rebuild_that_dies_leaves_whole_days_and_is_finished_by_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.subscribe("acme")
    log = WholeLog(world)
    for day in range(4):
        await log.fold(*[an_event("acme", NOON + timedelta(days=day))] * 2)
    live = await stored(world)
    await execute(world, "UPDATE cells SET event_count = 9")
    monkeypatch.setattr(rebuilding, "ROWS_MAX", 1)
    request = a_request()
    answers = rebuild_usage(Rebuilder(world.reader, log), request, "acme")
    await anext(answers)
    await anext(answers)
    await answers.aclose()
    counts = "SELECT event_count FROM cells ORDER BY day"
    assert await world.fetch(counts) == [(2,), (2,), (9,), (9,)]
    done = await rebuild(log, "acme", request=request)
    assert done.changed_cell_count == 2
    assert await stored(world) == live


async def test_a_repeated_request_gets_its_answer_and_does_nothing(world: World) -> None:
    await world.subscribe("acme")
    log = WholeLog(world)
    await log.fold(an_event("acme", NOON))
    await execute(world, "UPDATE cells SET event_count = 9")
    request = a_request()
    first = await rebuild(log, "acme", request=request)
    await execute(world, "UPDATE cells SET event_count = 9")
    assert await rebuild(log, "acme", request=request) == first
    assert await world.fetch("SELECT event_count FROM cells") == [(9,)]
    with pytest.raises(RequestIdReused):
        await rebuild(log, request=Request(request.method, request.request_id, b"other"))


async def test_a_closed_period_is_told_of_only_where_its_usage_changed(world: World) -> None:
    await world.subscribe("acme")
    log = WholeLog(world)
    await log.fold(*[an_event("acme", NOON)] * 3)
    await world.announce(FEBRUARY)
    period_id = await world.period_id("acme")
    assert (await world.close(period_id, FEBRUARY)).amount.amount_minor == 3
    assert (await rebuild(log)).late_period_count == 0
    assert "PeriodUsageChanged" not in await world.subjects()
    await execute(world, "UPDATE cells SET event_count = 5")
    assert (await rebuild(log)).late_period_count == 1
    assert (await world.subjects()).count("PeriodUsageChanged") == 1
    assert (await world.adjust(period_id, 1)).amount.amount_minor == 0
    assert await world.fetch("SELECT tenant FROM cells") == [(TENANT,)]
