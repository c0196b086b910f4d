"""Usage of followed customers is announced when it changes, and that of others is not."""

from __future__ import annotations

from services.rating.operations.following import announce_usage, follow_usage
from tally.rating.v1.events_pb2 import UsageChanged
from tests.store.rating.conftest import TENANT, World, a_charge, an_event, instant

NOON = instant("2024-01-10 12:00")


async def told(world: World) -> list[tuple[str, int]]:
    """Announce what waits; return each subscription that was told of so far, with its periods."""
    await announce_usage(world.worker, now=NOON)
    rows = await world.fetch(
        "SELECT payload FROM outbox WHERE subject LIKE '%.UsageChanged' ORDER BY id"
    )
    facts = [UsageChanged.FromString(payload) for (payload,) in rows]
    assert {fact.currency_code for fact in facts} <= {"USD"}
    return [(fact.subscription_id, len(fact.period_ids)) for fact in facts]


async def test_usage_of_followed_customers_is_told_once_for_many_changes(world: World) -> None:
    await world.create_plan("pro", [a_charge("calls", "1")])
    await world.subscribe("acme", plan="pro")
    await world.fold(an_event("acme", NOON))
    assert await told(world) == []
    await follow_usage(world.app, TENANT, "acme")
    await follow_usage(world.app, TENANT, "acme")
    assert await told(world) == [("acme", 1)]
    for _ in range(3):
        await world.fold(an_event("acme", NOON))
    assert await told(world) == [("acme", 1)] * 2
    assert await told(world) == [("acme", 1)] * 2


async def test_subscriptions_that_come_later_are_followed_too(world: World) -> None:
    await world.create_plan("pro", [a_charge("calls", "1")])
    await follow_usage(world.app, TENANT, "acme")
    await world.subscribe("acme", plan="pro")
    assert await told(world) == [("acme", 1)]
    await world.fold(an_event("acme", NOON))
    assert await told(world) == [("acme", 1)] * 2
