"""Prices of one subscription: what they are stored as, and which periods they count for."""

from __future__ import annotations

from decimal import Decimal

import pytest

from libs.db import begin
from libs.errors import FieldsInvalid
from libs.requests import Request, RequestIdReused
from libs.wire import Page
from services.rating.domain.overrides import ChargeOverride, Overrides
from services.rating.domain.plan import Timing
from services.rating.domain.price import StandardPrice
from services.rating.domain.subscription import SubscriptionTerminated
from services.rating.operations.overriding import update_overrides
from services.rating.operations.plans import get_plan, list_plans
from services.rating.operations.rating import rate_period
from services.rating.operations.subscriptions import get_subscription, terminate_subscription
from services.rating.store.plans import load_newest_version
from tests.store.rating.conftest import (
    JANUARY,
    TENANT,
    World,
    a_charge,
    a_request,
    an_event,
    instant,
)

NOON = instant("2024-01-10 12:00")
FEBRUARY, MARCH = instant("2024-02-01 00:10"), instant("2024-03-01 00:10")
DEARER = Overrides(charges=(ChargeOverride("calls", StandardPrice(Decimal(5))),))


async def change(
    world: World, overrides: Overrides, *, request: Request | None = None, now: str = "2024-02-10"
) -> None:
    asked = request or a_request()
    await update_overrides(world.app, TENANT, asked, "acme", overrides, now=instant(now))


async def rated(world: World, n: int, kind: str = "usage") -> int:
    period = await world.period_id("acme", kind=kind, n=n)
    answer = await rate_period(world.app, world, TENANT, period)
    return int(answer.rated.amount.amount_minor)


async def test_the_open_period_is_priced_whole_and_closed_ones_stay(world: World) -> None:
    await world.create_plan("pro", [a_charge("calls", "1")], base="10", timing=Timing.IN_ADVANCE)
    await world.subscribe("acme", plan="pro", end=None)
    await world.fold(an_event("acme", NOON), an_event("acme", instant("2024-02-05 12:00")))
    for now in (JANUARY, FEBRUARY):
        await world.announce(now)
    january = await world.period_id("acme")
    assert (await world.close(january, FEBRUARY)).amount.amount_minor == 1_00
    await change(world, Overrides(base_amount=Decimal(7), charges=DEARER.charges))
    assert [await rated(world, n) for n in (0, 1)] == [1_00, 5_00]
    # Those of January and February were announced.
    assert [await rated(world, n, "base") for n in (0, 1)] == [10_00, 10_00]
    await change(world, Overrides())
    assert await rated(world, 1) == 1_00
    assert not (await get_subscription(world.app, TENANT, "acme")).HasField("own_prices")


async def test_prices_of_one_subscription_are_no_version_of_the_plan(world: World) -> None:
    await world.subscribe("acme")
    await world.subscribe("zeta")
    await change(world, DEARER)
    await change(world, Overrides(charges=(ChargeOverride("calls", StandardPrice(Decimal(6))),)))
    own = (await get_subscription(world.app, TENANT, "acme")).own_prices
    assert (own.version, own.charges[0].price.standard.unit_amount) == (1, "6")
    assert not (await get_subscription(world.app, TENANT, "zeta")).HasField("own_prices")
    public = (await get_plan(world.app, TENANT, "calls", 0)).version
    assert public.charges[0].price.standard.unit_amount == "0.01"
    assert (await get_plan(world.app, TENANT, "calls", 1)).version == public
    [listed] = (await list_plans(world.app, TENANT, Page(10, ""), archived=False)).plans
    assert listed.version == public
    async with begin(world.app, TENANT) as conn:
        assert await load_newest_version(conn, TENANT, "calls") == 1


async def test_a_longer_trial_and_a_commitment_change_what_the_open_period_has(
    world: World,
) -> None:
    await world.create_plan("pro", [], base="31")
    await world.subscribe("acme", plan="pro")
    kinds = "SELECT kind, fee_first_day FROM billing_periods ORDER BY fee_first_day, kind"
    assert [kind for kind, _ in await world.fetch(kinds)] == ["base", "base"]
    longer = Overrides(trial_days=10, minimum_commitment=Decimal(62))
    await change(world, longer, now="2024-01-05")
    found = await world.fetch(kinds)
    assert [(kind, f"{day:%m-%d}") for kind, day in found] == [
        *(("usage", "01-01"), ("base", "01-11"), ("base", "02-01"), ("usage", "02-01")),
    ]
    assert await rated(world, 0) == 62_00 - 21_00
    await change(world, Overrides(), now="2024-01-06")
    found = await world.fetch(kinds)
    assert [(kind, f"{day:%m-%d}") for kind, day in found] == [("base", "01-01"), ("base", "02-01")]


async def test_overrides_that_do_not_fit_change_nothing(world: World) -> None:
    await world.subscribe("acme")
    strange = Overrides(
        base_amount=Decimal(1), charges=(ChargeOverride("other", StandardPrice(Decimal(5))),)
    )
    with pytest.raises(FieldsInvalid, match="no base fee.*no charge 'other'"):
        await change(world, strange)
    assert await world.fetch("SELECT 1 FROM plan_versions WHERE subscription_uid IS NOT NULL") == []


async def test_a_repeated_change_is_made_once_and_an_ended_subscription_has_none(
    world: World,
) -> None:
    await world.subscribe("acme")
    request = a_request()
    for _ in range(2):
        await change(world, DEARER, request=request)
    own = "SELECT count(*) FROM plan_versions WHERE subscription_uid IS NOT NULL"
    assert await world.fetch(own) == [(1,)]
    with pytest.raises(RequestIdReused):
        await change(world, DEARER, request=Request("test", request.request_id, b"other"))
    await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id="acme", end=None, now=MARCH
    )
    with pytest.raises(SubscriptionTerminated):
        await change(world, DEARER, now="2024-03-02")
