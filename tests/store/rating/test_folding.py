"""Folding slices into the cells of a real database: all of them, once, by today's catalog."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from services.rating.domain.meter import Aggregation, DayBucket, ValueInput
from services.rating.domain.rounding import Rounding, RoundingMode
from services.rating.operations.folding import Catalogs, Fenced, fold_slices
from services.rating.operations.usage import get_usage
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
    await world.subscribe("acme", end=instant("2024-01-11 12:00"))  # As that day begins.
    await world.fold(
        an_event("acme", instant("2024-01-10 23:59")), an_event("acme", instant("2024-01-11"))
    )
    assert await counts(world) == [("2024-01-10", 1)]


async def test_an_event_of_an_unknown_tenant_is_counted_as_unattributed(world: World) -> None:
    await world.fold(an_event("acme", NOON, tenant=type(TENANT)(99)))
    rows = await world.fetch("SELECT tenant, customer_id, event_count FROM unattributed")
    assert rows == [(99, "acme", 1)]


EVERY: dict[str, tuple[Aggregation, dict[str, Any]]] = {
    "volume": (Aggregation.SUM, {}),
    "peak": (Aggregation.MAX, {}),
    "trough": (Aggregation.MIN, {}),
    "mean": (Aggregation.AVG, {}),
    "level": (Aggregation.LATEST, {}),
    "users": (Aggregation.UNIQUE_COUNT, {}),
    "stored": (Aggregation.WEIGHTED_SUM, {"value_input": ValueInput.DELTA}),
    "held": (Aggregation.WEIGHTED_SUM, {"value_input": ValueInput.LEVEL}),
    "typical": (Aggregation.PERCENTILE, {"percentile": 50}),
}


async def test_every_aggregate_merges_with_what_is_stored(world: World) -> None:
    for code, (aggregation, options) in EVERY.items():
        await world.create_meter(code, aggregation, value="v", **options)
    await world.create_plan("all", [a_charge(code, "1") for code in EVERY])
    await world.subscribe("acme", plan="all")
    # Of the 31 days of January 15.5 and 15.5 are left, to the hour.
    later, earlier = instant("2024-01-16 12:00"), instant("2024-01-16 00:00")
    for code in EVERY:
        await world.fold(an_event("acme", later, type_=code, v=Decimal("1.10")))
        await world.fold(an_event("acme", earlier, type_=code, v=Decimal("2.30")))
        await world.fold(an_event("acme", earlier, type_=code, v=Decimal("2.3")))
    assert await rate(world) == {
        "volume": "5.7",
        "peak": "2.3",
        "trough": "1.1",
        "mean": "1.9",
        "level": "1.1",
        "users": "2",
        # 4.6 x 16 days and 1.1 x 15.5 days; 2.3 x half a day and 1.1 x 15.5 days; of 31 days.
        "stored": "2.924193548387096774193548387097",
        "held": "0.587096774193548387096774193548",
        "typical": "2.3",
    }


async def test_a_level_set_twice_at_an_instant_is_the_last_one_in_the_log(world: World) -> None:
    await world.create_meter(
        "held", Aggregation.WEIGHTED_SUM, value="v", value_input=ValueInput.LEVEL
    )
    await world.create_plan("all", [a_charge("held", "1")])
    await world.subscribe("acme", plan="all")
    first, second = (an_event("acme", JANUARY, type_="held", v=Decimal(v)) for v in (7, 3))
    await world.fold(first, second)
    assert await rate(world) == {"held": "3"}
    await world.fold(an_event("acme", JANUARY, type_="held", v=Decimal(4)))
    assert await rate(world) == {"held": "4"}


async def test_the_amounts_of_events_add_up_where_there_are_any(world: World) -> None:
    await world.subscribe("acme")
    for amounts in ([None, None], ["0.10", None], ["-0.035", "1"]):
        events = [
            replace(an_event("acme", NOON), amount=None if amount is None else Decimal(amount))
            for amount in amounts
        ]
        await world.fold(*events)
        before = await world.fetch("SELECT event_count, amount FROM cells")
    assert before == [(6, Decimal("1.065"))]
    await world.fold(an_event("acme", NOON + timedelta(days=1)))
    assert await world.fetch("SELECT amount FROM cells ORDER BY day") == [
        (Decimal("1.065"),),
        (None,),
    ]


async def test_a_value_may_be_computed_and_usage_rounded(world: World) -> None:
    rounding = Rounding(RoundingMode.CEIL, 1)
    text = "if(event.properties.kind = 'in', event.properties.v / 8, 0.01)"
    await world.create_meter("gb", Aggregation.SUM, expression=text, rounding=rounding)
    await world.create_plan("all", [a_charge("gb", "1")])
    await world.subscribe("acme", plan="all")
    await world.fold(an_event("acme", NOON, type_="gb", v="4", kind="in"))
    await world.fold(an_event("acme", NOON, type_="gb", kind="out"))
    await world.fold(an_event("acme", NOON, type_="gb", v="x", kind="in"))
    assert await rate(world) == {"gb": "0.6"}
    assert (await world.fetch("SELECT event_count, total FROM cells")) == [(2, Decimal("0.51"))]


async def test_days_may_count_each_for_itself(world: World) -> None:
    buckets = {"busiest": DayBucket.MAX, "daily": DayBucket.SUM}
    for code, bucket in buckets.items():
        await world.create_meter(
            code, Aggregation.UNIQUE_COUNT, value="v", day_bucket=bucket, dimensions=["region"]
        )
    await world.create_plan("all", [a_charge(code, "1") for code in buckets])
    await world.subscribe("acme", plan="all")
    users = [("eu", "a"), ("eu", "b"), ("us", "b")], [("eu", "a")], [("us", "a"), ("us", "a")]
    for code in buckets:
        for day, seen in enumerate(users):
            at = NOON + timedelta(days=day)
            await world.fold(
                *(an_event("acme", at, type_=code, region=region, v=v) for region, v in seen)
            )
    # Of the first day two users, b in two regions; one a day later, and the same on the third.
    assert await rate(world) == {"busiest": "2", "daily": "4"}


async def rate(world: World) -> dict[str, str]:
    usage = await get_usage(world.reader, "acme", NOON)
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


ODD_TEXTS = ("a\tb", "a\\tb", "\\N", "NULL", "", '"', "{a,b}", "a\r\nb", "\\", "Zürich 東京", " a ")


@pytest.mark.parametrize("value", ODD_TEXTS)
async def test_whatever_text_a_dimension_has_is_stored_as_it_is(world: World, value: str) -> None:
    await world.create_meter(
        "places", Aggregation.COUNT, dimensions=["city", "street"], event_type="visits"
    )
    await world.create_plan("visits", [a_charge("places", "1")])
    await world.subscribe("acme", plan="visits")
    for street in ("x", value, value):
        await world.fold(an_event("acme", NOON, type_="visits", city=value, street=street))
    found = await world.fetch("SELECT dimensions, event_count FROM cells")
    counted = {tuple(dimensions): count for dimensions, count in found}
    assert counted == {(value, "x"): 1, (value, value): 2}


async def test_numbers_are_stored_with_every_digit(world: World) -> None:
    await world.create_meter("sum", Aggregation.SUM, value="n", event_type="visits")
    await world.create_plan("visits", [a_charge("sum", "1")])
    await world.subscribe("acme", plan="visits")
    small, large = Decimal("1E-30"), Decimal("-999999999999999999999999999999")
    await world.fold(an_event("acme", NOON, type_="visits", n=small))
    await world.fold(an_event("acme", NOON, type_="visits", n=large))
    [(total,)] = await world.fetch("SELECT total FROM cells")
    assert total == Decimal("-999999999999999999999999999998." + "9" * 30)
