"""Usage up to an instant, and by windows: from cells where they hold it, else from the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import pytest

from libs import db
from libs.errors import FieldInvalid
from services.rating.domain.event import UsageEvent
from services.rating.domain.filters import DimensionFilter
from services.rating.domain.meter import Aggregation
from services.rating.domain.usage_query import UsageQuery, UsageQueryTooLarge
from services.rating.domain.windows import Window
from services.rating.operations import refolding
from services.rating.operations.querying import query_usage
from services.rating.operations.usage import get_usage_before
from services.rating.store.applied import open_lanes
from tests.servers import Database
from tests.store.rating.conftest import (
    LANE,
    World,
    a_charge,
    an_event,
    instant,
    opened_world,
)

MELBOURNE = "Australia/Melbourne"  # 11 hours ahead in January.
METERS = ("calls", "size", "users", "top")
EVENTS = [
    ("2024-01-01 01:40", "1.5", "eu", "ann"),
    ("2024-01-10 12:10", "4", "us", "ann"),
    ("2024-01-10 12:50", "2", "eu", "bob"),
    ("2024-01-10 13:00", "0.25", "", "cid"),  # Midnight in Melbourne: of the 11th.
    ("2024-01-11 14:00", "8", "eu", "bob"),  # Of the 12th.
]


async def ask(
    world: World,
    window: Window,
    start: str,
    end: str,
    *,
    meter: str = "calls",
    by: Sequence[str] = (),
    filters: Sequence[DimensionFilter] = (),
    zone: str = "",
    subscription: str = "acme",
) -> list[tuple[str, tuple[str, ...], str, int]]:
    """Return the rows: the start of the window in UTC, group values, units, events."""
    query = UsageQuery(
        subscription_id=subscription,
        meter_code=meter,
        start=instant(start),
        end=instant(end),
        window=window,
        group_by=tuple(by),
        filters=tuple(filters),
        time_zone=zone,
    )
    answer = await query_usage(world.reader, query)
    return [
        (
            row.window.start.ToDatetime().strftime("%d %H:%M"),
            tuple(row.group_values),
            row.units,
            row.event_count,
        )
        for row in answer.rows
    ]


async def before(world: World, at: str) -> dict[str, str]:
    """Return the units of each charge before an instant of January."""
    answer = await get_usage_before(world.reader, "acme", instant("2024-01-31"), instant(at))
    return {fee.charge_code: fee.units for fee in answer.fees}


@dataclass(frozen=True, slots=True)
class Used:
    """A database with usage, and the log that it comes from."""

    database: Database
    log: tuple[UsageEvent, ...]


@pytest.fixture(scope="module")
def used(database: Callable[[str], Database]) -> Used:
    """A subscription in Melbourne with events on three of its days; no test here changes it."""
    opened = database("rating")
    return Used(opened, tuple(asyncio.run(use(opened))))


@pytest.fixture
async def acme(used: Used) -> AsyncIterator[World]:
    """The same, opened for one test."""
    async with opened_world(used.database) as world:
        world.log = list(used.log)
        world.number = used.log[-1].moment.number
        yield world


async def use(opened: Database) -> list[UsageEvent]:
    async with opened_world(opened) as world:
        async with db.begin_worker(world.worker) as conn:
            await open_lanes(conn, [LANE])
        await world.create_meter("calls", Aggregation.COUNT)
        await world.create_meter("size", Aggregation.SUM, value="v", dimensions=["region"])
        await world.create_meter("users", Aggregation.UNIQUE_COUNT, value="user")
        await world.create_meter("top", Aggregation.MAX, value="v")
        await world.create_plan("all", [a_charge(each, "1") for each in METERS])
        start = instant("2024-01-01 01:30")
        await world.subscribe("acme", plan="all", zone=MELBOURNE, start=start)
        for subscription in ("first", "second"):
            await world.subscribe(subscription, customer="both", plan="all", start=start)
        at = instant("2024-01-22 01:00")
        await world.fold(*(an_event("both", at, subscription=s) for s in ("first", "second")))
        for used_at, value, region, user in EVENTS:
            await world.fold(*(an_used(each, used_at, value, region, user) for each in METERS))
        return world.log


def an_used(meter: str, at: str, value: str, region: str, user: str) -> UsageEvent:
    number, tag = Decimal(value), user[0]
    return an_event("acme", instant(at), type_=meter, v=number, region=region, user=user, tag=tag)


async def test_usage_as_of_an_instant_leaves_out_what_is_dated_at_or_after_it(acme: World) -> None:
    assert await before(acme, "2024-01-10 12:50") == {
        "calls": "2",
        "size": "5.5",
        "users": "1",
        "top": "4",
    }
    just_after = "2024-01-10 12:50:00.000001"
    assert (await before(acme, just_after))["size"] == "7.5"
    midnight = {"calls": "3", "size": "7.5", "users": "2", "top": "4"}
    assert await before(acme, "2024-01-10 13:00") == midnight
    assert (await before(acme, "2024-01-31 13:00"))["size"] == "15.75"


async def test_nothing_is_used_before_the_period_begins(acme: World) -> None:
    answer = await get_usage_before(
        acme.reader, "acme", instant("2024-01-31"), instant("2024-01-01 01:30")
    )
    assert [fee.event_count for fee in answer.fees] == []


@pytest.mark.parametrize("at", ["2024-01-01 01:29", "2024-01-31 13:01"])
async def test_as_of_must_lie_within_the_period(acme: World, at: str) -> None:
    with pytest.raises(FieldInvalid, match="as_of: is not within the period"):
        await before(acme, at)


async def test_events_that_are_not_applied_do_not_count_before_an_instant(acme: World) -> None:
    acme.slice(an_event("acme", instant("2024-01-10 12:20"), v=Decimal(1)))
    assert (await before(acme, "2024-01-10 12:50"))["calls"] == "2"


async def test_days_are_those_of_the_subscription(acme: World) -> None:
    found = await ask(acme, Window.DAY, "2024-01-01", "2024-01-31", meter="size")
    assert found == [
        ("01 00:00", (), "1.5", 1),  # The window begins where the question does.
        ("09 13:00", (), "6", 2),
        ("10 13:00", (), "0.25", 1),
        ("11 13:00", (), "8", 1),
    ]


async def test_days_of_another_zone_are_read_from_the_log(acme: World) -> None:
    found = await ask(acme, Window.DAY, "2024-01-10", "2024-01-31", meter="size", zone="UTC")
    assert found == [("10 00:00", (), "6.25", 3), ("11 00:00", (), "8", 1)]


async def test_days_cut_at_both_ends_take_their_rest_from_the_log(acme: World) -> None:
    """The 10th and the 12th of Melbourne are cut; the 11th is whole."""
    found = await ask(acme, Window.DAY, "2024-01-10 12:30", "2024-01-11 14:00", meter="size")
    assert found == [("10 12:30", (), "2", 1), ("10 13:00", (), "0.25", 1)]
    found = await ask(acme, Window.DAY, "2024-01-10 12:30", "2024-01-11 14:01", meter="size")
    assert found[-1] == ("11 13:00", (), "8", 1)


async def test_hours_are_those_of_the_wall_clock(acme: World) -> None:
    kathmandu = "Asia/Kathmandu"  # 5:45 ahead: its hours begin at a quarter past.
    found = await ask(acme, Window.HOUR, "2024-01-10", "2024-01-12", zone=kathmandu)
    assert found == [
        ("10 11:15", (), "1", 1),
        ("10 12:15", (), "2", 2),
        ("11 13:15", (), "1", 1),
    ]


async def test_a_period_counts_what_its_days_do(acme: World) -> None:
    found = await ask(acme, Window.PERIOD, "2023-12-01", "2024-03-01", meter="users")
    assert found == [("01 01:30", (), "3", 5)]
    cut = await ask(acme, Window.PERIOD, "2024-01-10 12:20", "2024-01-11", meter="users")
    assert cut == [("10 12:20", (), "2", 2)]


async def test_groups_are_rows_of_their_own_and_filters_choose_events(acme: World) -> None:
    dates = ("2024-01-01", "2024-01-31 13:00")
    eu = DimensionFilter("region", frozenset({"eu"}))
    grouped = await ask(acme, Window.PERIOD, *dates, meter="size", by=["region"])
    assert [row[1:] for row in grouped] == [
        (("",), "0.25", 1),
        (("eu",), "11.5", 3),
        (("us",), "4", 1),
    ]
    chosen = await ask(acme, Window.PERIOD, *dates, meter="size", filters=[eu])
    assert [row[1:] for row in chosen] == [((), "11.5", 3)]


async def test_keys_without_a_dimension_are_read_from_the_log(acme: World) -> None:
    dates = ("2024-01-01", "2024-01-31 13:00")
    bob = DimensionFilter("tag", frozenset({"b"}))
    found = await ask(
        acme, Window.PERIOD, *dates, meter="size", by=["tag", "region"], filters=[bob]
    )
    assert [row[1:] for row in found] == [(("b", "eu"), "10", 2)]


async def test_more_than_35_days_of_the_log_are_refused(acme: World) -> None:
    assert await ask(acme, Window.HOUR, "2024-01-02", "2024-02-06")
    with pytest.raises(FieldInvalid, match="end: is so late that 35 days, 1:00:00 must be read"):
        await ask(acme, Window.HOUR, "2024-01-02", "2024-02-06 01:00")
    assert await ask(acme, Window.DAY, "2020-01-02", "2034-02-06 13:00")


async def test_more_than_10_000_windows_are_refused(acme: World) -> None:
    with pytest.raises(FieldInvalid, match="end: is so late that there are more than 10000"):
        await ask(acme, Window.DAY, "2024-01-02", "2060-01-01")


async def test_more_events_than_the_limit_are_refused(
    acme: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refolding, "EVENTS_MAX", 3)
    assert len(await ask(acme, Window.HOUR, "2024-01-10", "2024-01-11")) == 2
    with pytest.raises(UsageQueryTooLarge, match="more than 3 events of the log") as refused:
        await ask(acme, Window.HOUR, "2024-01-10", "2024-01-12")
    assert refused.value.metadata == {"limit": "3"}


@pytest.mark.parametrize("window", [Window.HOUR, Window.DAY])
async def test_usage_of_other_subscriptions_is_not_shown(acme: World, window: Window) -> None:
    """The log holds all of the customer's events."""
    found = await ask(acme, window, "2024-01-22", "2024-01-23", subscription="first")
    assert [row[2:] for row in found] == [("1", 1)]
