"""After corrections usage is as if every event had always been what it is now."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from decimal import Decimal

import pytest

from libs.db import Snapshots, begin_worker
from libs.difference import Finding
from libs.errors import Unavailable
from services.rating.domain.columns import Slice
from services.rating.domain.event import LogPlace, UsageEvent, instant_of
from services.rating.domain.meter import Aggregation
from services.rating.operations.folding import fold_slices
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.verifying_cells import verify_cells
from services.rating.store.catalog import hold_versions
from tests.store.rating.conftest import (
    JANUARY,
    LANE,
    TENANT,
    World,
    a_charge,
    an_event,
    instant,
    place_of,
)
from tests.store.rating.test_reattributing import cells, unattributed
from tests.store.rating.test_verifying import Log

NOON = instant("2024-01-10 12:00")
FEBRUARY = instant("2024-02-01 00:10")
FIRST = LogPlace(0, 1, 0)
CUSTOMERS = ("acme", "bolt", "nobody")
STEPS = 120


async def finish(world: World) -> None:
    while await reattribute_next(world.worker, world):
        pass


async def verified(log: Log) -> list[Finding]:
    snapshots = Snapshots(log.world.app, log.world.worker, None)
    return [one async for one in verify_cells(snapshots, log, Counter())]


async def correct(world: World, at: LogPlace, added: UsageEvent | None) -> None:
    await world.fold_slice(world.correct(at, added))
    await finish(world)


async def test_an_amended_event_counts_where_it_belongs_now(world: World) -> None:
    await world.subscribe("acme")
    await world.subscribe("blue")
    await world.fold(an_event("acme", NOON), an_event("acme", NOON))
    await correct(world, FIRST, an_event("acme", NOON - timedelta(days=1)))
    assert await cells(world) == [("acme", "2024-01-09", 1), ("acme", "2024-01-10", 1)]
    await correct(world, FIRST, an_event("blue", NOON))
    assert await cells(world) == [("acme", "2024-01-10", 1), ("blue", "2024-01-10", 1)]
    await correct(world, FIRST, an_event("blue", NOON, type_="nothing"))
    assert await cells(world) == [("acme", "2024-01-10", 1)]
    assert await unattributed(world) == 1
    await correct(world, FIRST, an_event("acme", NOON))
    assert await cells(world) == [("acme", "2024-01-10", 2)]
    assert await unattributed(world) == 0


async def test_a_retracted_event_counts_nowhere(world: World) -> None:
    await world.subscribe("acme")
    await world.fold(an_event("acme", NOON), an_event("acme", NOON))
    await correct(world, FIRST, None)
    assert await cells(world) == [("acme", "2024-01-10", 1)]


async def test_an_event_and_its_corrections_may_come_in_one_fold(world: World) -> None:
    await world.subscribe("acme")
    pieces = [world.slice(an_event("acme", NOON), an_event("acme", NOON), an_event("blue", NOON))]
    pieces.append(world.correct(FIRST, an_event("acme", NOON + timedelta(days=1))))
    pieces.append(world.correct(LogPlace(0, 1, 1), None))
    pieces.append(world.correct(LogPlace(0, 1, 2), an_event("acme", NOON)))
    pieces.append(world.slice(an_event("acme", NOON)))
    await fold_slices(world.worker, world.catalogs, pieces, {LANE: 0})
    assert await cells(world) == [], "none of it counts before the job has found it all"
    await finish(world)
    assert await cells(world) == [("acme", "2024-01-10", 2), ("acme", "2024-01-11", 1)]
    assert await unattributed(world) == 0


async def test_a_correction_while_another_is_worked_off_takes_over(world: World) -> None:
    await world.subscribe("acme")
    await world.fold(an_event("acme", NOON), an_event("acme", NOON))
    await world.fold_slice(world.correct(FIRST, an_event("acme", NOON + timedelta(days=1))))
    await world.fold(an_event("acme", NOON))
    earlier = an_event("acme", NOON - timedelta(days=1))
    await world.fold_slice(world.correct(LogPlace(0, 1, 1), earlier))
    await world.fold(an_event("acme", NOON))
    await finish(world)
    assert await cells(world) == [
        ("acme", "2024-01-09", 1),
        ("acme", "2024-01-10", 2),
        ("acme", "2024-01-11", 1),
    ]


async def test_a_job_that_a_correction_overtook_adds_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.subscribe("acme")
    await world.fold(an_event("acme", NOON), an_event("acme", NOON))
    await world.fold_slice(world.correct(FIRST, an_event("acme", NOON + timedelta(days=1))))
    reading = world.events

    async def overtaken(*args: object, **options: object) -> AsyncIterator[Sequence[UsageEvent]]:
        monkeypatch.setattr(world, "events", reading)
        async for page in reading(*args, **options):  # type: ignore[arg-type]
            yield page
        await world.fold_slice(world.correct(FIRST, None))

    monkeypatch.setattr(world, "events", overtaken)
    assert await reattribute_next(world.worker, world)
    assert await cells(world) == []
    await finish(world)
    assert await cells(world) == [("acme", "2024-01-10", 1)]


async def test_a_fold_that_meets_corrections_waits_for_who_writes_usage(world: World) -> None:
    """Else what a job adds at the same time would escape being emptied."""
    await world.subscribe("acme")
    await world.fold(an_event("acme", NOON), an_event("acme", NOON))
    async with begin_worker(world.worker) as conn:
        await hold_versions(conn, [TENANT])
        correcting = asyncio.create_task(world.fold_slice(world.correct(FIRST, None)))
        while not await world.fetch("SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert not correcting.done()
    await correcting
    await finish(world)
    assert await cells(world) == [("acme", "2024-01-10", 1)]


async def test_a_closed_period_is_adjusted_by_what_a_correction_changes(world: World) -> None:
    await world.subscribe("acme")
    await world.fold(*[an_event("acme", NOON)] * 3)
    await world.announce(FEBRUARY)
    period_id = await world.period_id("acme")
    assert (await world.close(period_id, FEBRUARY)).amount.amount_minor == 3
    await world.fold_slice(world.correct(FIRST, None))
    assert (await world.subjects()).count("PeriodUsageChanged") == 0
    with pytest.raises(Unavailable):
        await world.adjust(period_id, 1)
    await finish(world)
    assert (await world.subjects()).count("PeriodUsageChanged") == 1
    assert (await world.adjust(period_id, 1)).amount.amount_minor == -1


async def test_equal_times_stay_in_the_order_of_their_recording(world: World) -> None:
    await world.create_meter("level", Aggregation.LATEST, value="value")
    await world.create_plan("levels", [a_charge("level", "1")])
    await world.subscribe("acme", plan="levels")
    await world.fold(*(an_event("acme", NOON, type_="level", value=Decimal(n)) for n in (1, 2)))
    await correct(world, FIRST, an_event("acme", NOON, type_="level", value=Decimal(7)))
    assert await world.fetch("SELECT latest FROM cells") == [(Decimal(2),)]
    await correct(world, LogPlace(0, 1, 1), None)
    assert await world.fetch("SELECT latest FROM cells") == [(Decimal(7),)]


async def test_what_is_corrected_is_verified_and_a_wrong_cell_is_found(world: World) -> None:
    await world.subscribe("acme")
    log = Log(world)
    await log.fold(an_event("acme", NOON), an_event("acme", NOON), an_event("blue", NOON))
    for at, added in (
        (FIRST, an_event("acme", NOON - timedelta(days=1))),
        (LogPlace(0, 1, 2), an_event("acme", NOON)),
        (FIRST, None),
    ):
        log.pieces.append(world.correct(at, added))
        await world.fold_slice(log.pieces[-1])
    assert [one.names for one in await verified(log)] == [
        {"customer_id": "acme"},
        {"customer_id": "blue"},
    ], "who has a job is left out"
    await finish(world)
    assert await verified(log) == []
    await world.fetch("UPDATE cells SET event_count = event_count + 1 RETURNING 1")
    assert [(one.kind) for one in await verified(log)] == ["cell"]


async def test_a_correction_that_is_not_applied_yet_is_not_missed(world: World) -> None:
    await world.subscribe("acme")
    log = Log(world)
    await log.fold(an_event("acme", NOON), an_event("acme", NOON))
    log.pieces.append(world.correct(FIRST, None))
    await world.fold_slice(log.pieces[-1])
    log.pieces.append(world.correct(LogPlace(0, 1, 1), None))
    await finish(world)
    assert await cells(world) == [("acme", "2024-01-10", 1)], "as it was when the job was written"
    assert await verified(log) == []


class Story:
    """Random events and corrections, folded in random portions."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.log = Log(world)
        self.random = random.Random(seed)
        self.waiting: list[Slice] = []

    def event(self) -> UsageEvent:
        return an_event(
            self.random.choice(CUSTOMERS),
            JANUARY + timedelta(hours=self.random.randrange(240)),
            type_=self.random.choice(("calls", "level", "sum")),
            value=Decimal(self.random.randrange(-5, 20)),
        )

    async def step(self) -> None:
        standing = self.world.standing()
        match self.random.randrange(6):
            case 0 | 1:
                self.seal(self.world.slice(*(self.event() for _ in range(3))))
            case 2 if standing:
                self.seal(self.world.correct(place_of(self.random.choice(standing)), self.event()))
            case 3 if standing:
                self.seal(self.world.correct(place_of(self.random.choice(standing)), None))
            case 4:
                await self.fold()
            case _:
                await reattribute_next(self.world.worker, self.world)

    def seal(self, piece: Slice) -> None:
        self.waiting.append(piece)
        self.log.pieces.append(piece)

    async def fold(self) -> None:
        if self.waiting:
            positions = {LANE: self.waiting[0].previous_number}
            world = self.world
            await fold_slices(world.worker, world.catalogs, self.waiting, positions)
            self.waiting = []

    def expected(self) -> dict[tuple[str, str, str], tuple[int, Decimal | None]]:
        """Return count and sum, or latest value, by customer, meter and day."""
        found: dict[tuple[str, str, str], list[UsageEvent]] = {}
        for event in self.world.standing():
            day = str(instant_of(event.moment.time).date())
            found.setdefault((event.customer_id, event.type, day), []).append(event)
        return {key: (len(events), _value(key[1], events)) for key, events in found.items()}

    async def stored(self) -> dict[tuple[str, str, str], tuple[int, Decimal | None]]:
        rows = await self.world.fetch(
            "SELECT customer_id, code, day::text, event_count, coalesce(total, latest) FROM cells"
            " JOIN terms USING (tenant, term_id) JOIN meters USING (tenant, meter_id)"
            " JOIN subscriptions USING (tenant, subscription_uid)"
        )
        rows += await self.world.fetch(
            "SELECT customer_id, event_type, day::text, event_count, NULL FROM unattributed"
        )
        return {(row[0], row[1], row[2]): (row[3], row[4]) for row in rows}


def _value(meter: str, events: Sequence[UsageEvent]) -> Decimal | None:
    if events[0].customer_id == "nobody" or meter == "calls":
        return None
    values = [Decimal(str(one.properties["value"])) for one in events]
    if meter == "sum":
        return sum(values, Decimal(0))
    return max(zip([one.moment for one in events], values, strict=True))[1]


@pytest.mark.parametrize("seed", range(2))
async def test_usage_is_that_of_the_final_versions(seed: int, world: World) -> None:
    for code, aggregation in (("level", Aggregation.LATEST), ("sum", Aggregation.SUM)):
        await world.create_meter(code, aggregation, value="value")
    await world.create_plan("all", [a_charge(code, "1") for code in ("calls", "level", "sum")])
    for customer in ("acme", "bolt"):
        await world.subscribe(customer, plan="all")
    story = Story(world, seed)
    for _ in range(STEPS):
        await story.step()
    await story.fold()
    await finish(world)
    assert len(world.corrections) > STEPS // 6
    assert await story.stored() == story.expected()
    assert await verified(story.log) == []
