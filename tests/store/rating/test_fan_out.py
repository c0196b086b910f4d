"""Meters that are fanned out, and events that several subscriptions could have taken."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from libs.tenant import Tenant
from libs.wire import Page
from services.rating.domain.event import UsageEvent
from services.rating.domain.meter import Aggregation
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.plan import Charge
from services.rating.operations.ambiguous import list_ambiguous
from services.rating.operations.estimating import estimate_events
from services.rating.operations.explaining import explain_event
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.subscriptions import terminate_subscription
from services.rating.operations.usage import get_usage
from tally.ingest.v1.event_pb2 import StoredEvent
from tests.store.rating.conftest import (
    JANUARY,
    TENANT,
    World,
    a_charge,
    a_request,
    an_event,
    instant,
    place_of,
)
from tests.store.rating.test_verifying import Log, verified

NOON = instant("2024-01-10 12:00")
FEBRUARY = instant("2024-02-01 00:10")
Counted = tuple[str, str, int]  # Subscription, meter, events.


@pytest.fixture
async def fanned(world: World) -> World:
    """Customer acme: `a` and `b` are charged for calls and seats, `c` for seats alone."""
    await world.create_meter("seats", Aggregation.COUNT, event_type="calls", fan_out=True)
    await world.create_plan("both", [a_charge("calls", "0.01"), a_charge("seats", "1")])
    await world.create_plan("seats", [a_charge("seats", "1")])
    for place, (name, plan) in enumerate((("a", "both"), ("b", "both"), ("c", "seats"))):
        start = JANUARY + timedelta(minutes=place)
        await world.subscribe(name, plan=plan, customer="acme", start=start, now=NOON)
    return world


async def counted(world: World) -> set[Counted]:
    rows = await world.fetch(
        "SELECT subscription_id, code, sum(event_count)::int FROM cells"
        " JOIN terms USING (tenant, term_id) JOIN meters USING (tenant, meter_id)"
        " JOIN subscriptions USING (tenant, subscription_uid) GROUP BY 1, 2"
    )
    return {(str(row[0]), str(row[1]), int(row[2])) for row in rows}


async def listed(world: World, customer: str = "", *, size: int = 100) -> list[tuple[object, ...]]:
    """Return the counts of ambiguous events, read page by page."""
    found: list[tuple[object, ...]] = []
    token = ""
    while True:
        answer = await list_ambiguous(world.app, TENANT, customer, Page(size, token))
        found += [
            (one.customer_id, one.event_type, one.day.day, one.subscription_id, one.event_count)
            for one in answer.counts
        ]
        token = answer.next_page_token
        if not token:
            return found


def called(*, subscription: str = "", customer: str = "acme") -> UsageEvent:
    return an_event(customer, NOON, subscription=subscription)


async def test_an_event_counts_for_every_subscription_and_once_for_other_meters(
    fanned: World,
) -> None:
    await fanned.fold(called(), called(), called(subscription="b"), called(subscription="c"))
    assert await counted(fanned) == {
        ("a", "calls", 2),
        ("a", "seats", 2),
        ("b", "calls", 1),
        ("b", "seats", 3),
        ("c", "calls", 1),  # Its plan charges no calls: this costs nothing.
        ("c", "seats", 3),
    }
    assert await listed(fanned) == [("acme", "calls", 10, "a", 2)]
    assert await fanned.fetch("SELECT * FROM unattributed") == []


async def test_corrections_and_terminations_reach_every_subscription(fanned: World) -> None:
    log = Log(fanned)
    first, second = (log.seal(called()) for _ in range(2))
    for piece in (first, second):
        await fanned.fold_slice(piece)
    retracted = fanned.correct(place_of(fanned.log[0]), None)
    log.pieces.append(retracted)
    await fanned.fold_slice(retracted)
    assert (await counted(fanned), await listed(fanned)) == (set(), [])
    await reattribute_next(fanned.worker, fanned)
    assert await counted(fanned) == {
        ("a", "calls", 1),
        ("a", "seats", 1),
        ("b", "seats", 1),
        ("c", "seats", 1),
    }
    assert await listed(fanned) == [("acme", "calls", 10, "a", 1)]
    assert (await verified(log))[0] == []
    await terminate_subscription(
        fanned.app, TENANT, a_request(), subscription_id="a", end=None, now=NOON
    )
    await reattribute_next(fanned.worker, fanned)
    assert await counted(fanned) == {("b", "calls", 1), ("b", "seats", 1), ("c", "seats", 1)}
    assert await listed(fanned) == [], "only b could have taken it"
    assert (await verified(log))[0] == []


async def test_an_estimate_shows_every_subscription_and_is_what_usage_costs(fanned: World) -> None:
    tried = [called(), called(), called(subscription="b")]
    estimated = (await estimate_events(fanned.reader, tried)).usage
    await fanned.fold(*tried)
    now = [await get_usage(fanned.reader, name, NOON) for name in "abc"]
    assert [one.subscription_id for one in estimated] == ["a", "b", "c"]
    assert [one.event_count for one in estimated] == [2, 3, 2]
    assert [one.after.amount_minor for one in estimated] == [202, 301, 200]
    assert [one.amount.amount_minor for one in now] == [202, 301, 200]


async def test_prices_that_look_at_single_events_see_those_of_every_subscription(
    world: World,
) -> None:
    """Counted and read must agree, or a close is refused."""
    await world.create_meter("sales", Aggregation.SUM, value="value", fan_out=True)
    tenth = PercentagePrice(Decimal(10), free_events=1, event_maximum=Decimal(5))
    await world.create_plan("sales", [Charge("sales", "sales", "", tenth, ())])
    for name in ("a", "b"):
        await world.subscribe(name, plan="sales", customer="acme")
    await world.fold(
        *(an_event("acme", NOON, type_="sales", value=Decimal(value)) for value in (9, 20, 100)),
        an_event("acme", NOON, type_="sales", subscription="b", value=Decimal(30)),
    )
    await world.announce(FEBRUARY)
    closed = [await world.close(await world.period_id(name), FEBRUARY) for name in "ab"]
    assert [[fee.amount.amount_minor for fee in one.fees] for one in closed] == [[700], [1000]]


class OneEvent:
    """A log that knows one event by its identity."""

    def __init__(self, world: World) -> None:
        self.heads, self.events = world.heads, world.events
        self.world = world

    async def event(self, tenant: Tenant, source: str, id_: str) -> tuple[StoredEvent, UsageEvent]:
        return StoredEvent(), self.world.log[0]


async def test_an_explanation_names_all_for_whom_an_event_counts(fanned: World) -> None:
    await fanned.fold(called())
    told = await explain_event(fanned.reader.snapshots, OneEvent(fanned), TENANT, "", "e")
    assert (told.subscription_id, told.ambiguous, told.day.day) == ("a", True, 10)
    assert [(one.subscription_id, one.day.day) for one in told.fanned_out] == [("b", 10), ("c", 10)]


async def test_ambiguous_events_are_listed_by_customer_type_day_and_taker(fanned: World) -> None:
    for name in ("x", "y"):
        await fanned.subscribe(name, customer="blue", start=JANUARY, default=name == "y")
    day = timedelta(days=1)
    await fanned.fold(called(), called(customer="blue"), called(customer="blue"))
    await fanned.fold(replace(called(), moment=an_event("acme", NOON + day).moment))
    await fanned.fold(called(customer="blue"), called(customer="blue", subscription="x"))
    expected = [
        ("acme", "calls", 10, "a", 1),
        ("acme", "calls", 11, "a", 1),
        ("blue", "calls", 10, "y", 3),
    ]
    assert await listed(fanned) == expected
    assert await listed(fanned, size=1) == expected
    assert await listed(fanned, "blue") == expected[2:]


async def test_events_without_a_value_are_counted_again_too(world: World) -> None:
    """They are in no cell, and yet others could take them from some day on, or nobody."""
    await world.create_meter("sizes", Aggregation.SUM, value="size")
    await world.create_plan("sizes", [a_charge("sizes", "1")])
    await world.subscribe("a", plan="sizes", customer="acme")
    log = Log(world)
    await log.fold(an_event("acme", NOON, type_="sizes", size="none"))
    assert await counted(world) == set()
    await world.subscribe("b", plan="sizes", customer="acme", start=JANUARY, now=NOON)
    assert await reattribute_next(world.worker, world)
    [(_, _, _, taker, count)] = await listed(world)
    assert (taker in ("a", "b"), count) == (True, 1)
    for name in ("a", "b"):
        await terminate_subscription(
            world.app, TENANT, a_request(), subscription_id=name, end=None, now=NOON
        )
    assert await reattribute_next(world.worker, world)
    assert await listed(world) == []
    assert await world.fetch("SELECT event_count FROM unattributed") == [(1,)]
    assert (await verified(log))[0] == []
