"""Folding slices into the cells of a real database: all of them, once, by today's catalog."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.rating.domain.meter import Aggregation
from services.rating.operations.folding import Catalogs, Fenced, fold_slices
from services.rating.operations.rating import get_usage
from tests.store.rating.conftest import (
    JANUARY,
    LANE,
    TENANT,
    TRACEPARENT,
    World,
    a_charge,
    an_event,
    instant,
)

NOON = instant("2024-01-10 12:00")


async def counts(world: World) -> list[tuple[object, ...]]:
    return await world.fetch("SELECT day::text, event_count FROM cells ORDER BY day")


async def test_slices_add_up_in_the_cells(world: World) -> None:
    await world.subscribe("acme")
    await world.fold(an_event("acme", NOON), an_event("acme", NOON))
    await world.fold(an_event("acme", NOON), an_event("acme", instant("2024-01-11 00:00")))
    assert await counts(world) == [("2024-01-10", 3), ("2024-01-11", 1)]
    assert await world.positions() == {LANE: 2}


async def test_a_fold_from_a_position_that_another_moved_changes_nothing(world: World) -> None:
    await world.subscribe("acme")
    piece = world.slice(an_event("acme", NOON))
    await world.fold_slice(piece)
    with pytest.raises(Fenced):
        await world.fold_slice(piece, catalogs=Catalogs())
    assert await counts(world) == [("2024-01-10", 1)]
    assert await world.positions() == {LANE: 1}


async def test_several_slices_are_folded_at_once(world: World) -> None:
    await world.subscribe("acme")
    pieces = [world.slice(an_event("acme", NOON)) for _ in range(3)]
    after = await fold_slices(world.worker, world.catalogs, pieces, {LANE: 0})
    assert after == {LANE: 3}
    assert await counts(world) == [("2024-01-10", 3)]


async def test_a_fold_goes_by_the_catalog_as_it_is_when_it_is_written(world: World) -> None:
    await world.subscribe("acme")
    known = Catalogs()
    await world.fold(an_event("acme", NOON), an_event("blue", NOON), catalogs=known)
    await world.subscribe("blue")
    await world.fold(an_event("blue", NOON), catalogs=known)
    assert await counts(world) == [("2024-01-10", 1), ("2024-01-10", 1)]


async def test_a_terminated_subscription_takes_no_more_events(world: World) -> None:
    await world.subscribe("acme", end=instant("2024-01-10 12:00"))
    await world.fold(an_event("acme", instant("2024-01-10 11:59")), an_event("acme", NOON))
    assert await counts(world) == [("2024-01-10", 1)]


async def test_an_event_of_an_unknown_tenant_is_counted_as_unattributed(world: World) -> None:
    await world.fold(an_event("acme", NOON, tenant=type(TENANT)(99)))
    rows = await world.fetch("SELECT tenant, customer_id, event_count FROM unattributed")
    assert rows == [(99, "acme", 1)]


async def test_every_aggregate_merges_with_what_is_stored(world: World) -> None:
    for code, aggregation in (
        ("volume", Aggregation.SUM),
        ("peak", Aggregation.MAX),
        ("level", Aggregation.LATEST),
        ("users", Aggregation.UNIQUE_COUNT),
    ):
        await world.create_meter(code, aggregation, value="v")
    codes = ("volume", "peak", "level", "users")
    await world.create_plan("all", [a_charge(code, "1") for code in codes])
    await world.subscribe("acme", plan="all")
    later, earlier = instant("2024-01-10 13:00"), NOON
    for code in codes:
        await world.fold(an_event("acme", later, type_=code, v=Decimal("1.10")))
        await world.fold(an_event("acme", earlier, type_=code, v=Decimal("2.30")))
        await world.fold(an_event("acme", earlier, type_=code, v=Decimal("2.3")))
    answer = await rate(world)
    assert answer == {"volume": "5.7", "peak": "2.3", "level": "1.1", "users": "2"}


async def rate(world: World) -> dict[str, str]:
    usage = await get_usage(world.app, world, TENANT, "acme", NOON)
    return {fee.meter_code: fee.units for fee in usage.fees}


async def test_dimension_values_may_hold_any_text(world: World) -> None:
    await world.create_meter("odd", Aggregation.COUNT, dimensions=["a", "b"])
    await world.create_plan("odd", [a_charge("odd", "1")])
    await world.subscribe("acme", plan="odd")
    strange = 'x",{}\\ ä\n'
    await world.fold(an_event("acme", NOON, type_="odd", a=strange, b=True))
    assert await world.fetch("SELECT dimensions FROM cells") == [([strange, "true"],)]


async def test_a_cell_keeps_the_trace_of_the_latest_slice(world: World) -> None:
    await world.subscribe("acme")
    for _ in range(2):
        await world.fold(an_event("acme", NOON))
    rows = await world.fetch("SELECT slice_number, traceparent FROM cells")
    assert rows == [(2, TRACEPARENT.format(2, 2))]


async def test_a_local_day_is_that_of_the_subscription(world: World) -> None:
    await world.subscribe("acme", zone="Australia/Melbourne", start=instant("2023-12-31 13:00"))
    await world.fold(an_event("acme", instant("2023-12-31 13:00")), an_event("acme", JANUARY))
    assert await counts(world) == [("2024-01-01", 2)]
