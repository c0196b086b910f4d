"""Changes of the usage of watched subscriptions are noted by whoever makes them."""

from __future__ import annotations

from libs.clock import SystemClock
from libs.db import begin, begin_worker
from services.rating.operations.folding import Catalogs
from services.rating.operations.idling import check_idle
from services.rating.operations.reattributing import reattribute_next
from services.rating.store.catalog import change_catalog
from services.rating.store.watched import (
    Noted,
    Purpose,
    find_noted,
    strike_off,
    unwatch,
    watch,
)
from tests.store.rating.conftest import TENANT, World, an_event, instant, place_of
from tests.store.rating.test_rebuilding import WholeLog, execute, rebuild

NOON = instant("2024-01-10 12:00")


async def watch_id(world: World, subscription_id: str, purpose: Purpose = Purpose.ALERTS) -> None:
    async with begin(world.app, TENANT) as conn:
        await change_catalog(conn, TENANT)
        await watch(conn, TENANT, [subscription_id], purpose)


async def noted(world: World, purpose: Purpose = Purpose.ALERTS) -> list[Noted]:
    async with begin_worker(world.worker) as conn:
        return [*await find_noted(conn, purpose, limit=10)]


async def counts(world: World, purpose: Purpose = Purpose.ALERTS) -> dict[str, int]:
    """Return how many notes wait, by subscription id."""
    return {one.subscription_id: len(one.note_ids) for one in await noted(world, purpose)}


async def strike_all(world: World) -> None:
    found = await noted(world)
    async with begin_worker(world.worker) as conn:
        await strike_off(conn, found)


async def test_watching_leaves_the_first_note(world: World) -> None:
    await watch_id(world, "acme")
    assert await counts(world) == {"acme": 1}


async def test_a_fold_notes_those_that_are_watched_once_for_each_purpose(world: World) -> None:
    for customer in ("acme", "blue"):
        await world.subscribe(customer)
    await watch_id(world, "acme")
    await watch_id(world, "acme", Purpose.THRESHOLDS)
    await world.fold(*[an_event("acme", NOON)] * 3, an_event("blue", NOON))
    assert await counts(world) == await counts(world, Purpose.THRESHOLDS) == {"acme": 2}


async def test_a_fold_knows_of_what_is_watched_since_its_terms_were_read(world: World) -> None:
    await world.subscribe("acme")
    known = Catalogs()
    await world.fold(an_event("acme", NOON), catalogs=known)
    assert not known.has_watched
    await watch_id(world, "acme")
    await world.fold(an_event("acme", NOON), catalogs=known)
    assert await counts(world) == {"acme": 2}


async def test_a_note_that_comes_after_the_look_is_not_struck_off(world: World) -> None:
    await world.subscribe("acme")
    await watch_id(world, "acme")
    seen = await noted(world)
    await world.fold(an_event("acme", NOON))
    async with begin_worker(world.worker) as conn:
        await strike_off(conn, seen)
    [left] = await noted(world)
    assert not {*left.note_ids} & {*seen[0].note_ids}


async def test_what_is_not_watched_any_more_has_no_notes(world: World) -> None:
    await world.subscribe("acme")
    await watch_id(world, "acme")
    await world.fold(an_event("acme", NOON))
    async with begin(world.app, TENANT) as conn:
        await unwatch(conn, TENANT, ["acme"], Purpose.ALERTS)
    await world.fold(an_event("acme", NOON))
    assert await counts(world) == {}


async def test_usage_of_an_earlier_life_of_the_id_is_noted(world: World) -> None:
    await world.subscribe("acme", end=NOON, now=NOON)
    await world.subscribe("acme", start=NOON, now=NOON)
    await watch_id(world, "acme")
    await world.fold(an_event("acme", instant("2024-01-05 00:00")))
    assert await counts(world) == {"acme": 2}


async def test_a_job_notes_what_it_has_counted_again(world: World) -> None:
    await world.subscribe("acme")
    await watch_id(world, "acme")
    await world.fold(an_event("acme", NOON))
    await strike_all(world)
    await world.fold_slice(world.correct(place_of(world.log[0]), None))
    assert await counts(world) == {}, "its usage is not whole before the job is done"
    assert await reattribute_next(world.worker, world)
    assert await counts(world) == {"acme": 1}


async def test_a_rebuild_notes_what_it_has_exchanged(world: World) -> None:
    await world.subscribe("acme")
    await watch_id(world, "acme")
    await world.fold(an_event("acme", NOON))
    await strike_all(world)
    await rebuild(WholeLog(world), "acme")
    assert await counts(world) == {}, "nothing differed"
    await execute(world, "UPDATE cells SET event_count = 5")
    await rebuild(WholeLog(world), "acme")
    assert await counts(world) == {"acme": 1}


async def test_rating_is_not_idle_while_a_note_waits(world: World) -> None:
    await watch_id(world, "acme")
    idle = await check_idle(world.worker, world, SystemClock().now())
    assert idle.busy == ["1 changes of watched usage are to be looked at"]
    await strike_all(world)
    assert not (await check_idle(world.worker, world, SystemClock().now())).busy
