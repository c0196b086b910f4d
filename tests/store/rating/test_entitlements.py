"""Entitlements in a real database: what is given, and what checks find of it in the cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from libs.errors import FieldInvalid
from services.rating.domain.entitlement import (
    Entitlement,
    Feature,
    FeatureArchived,
    FeatureCodeTaken,
    FeatureNotFound,
    MeterNotCounted,
    Override,
    Privilege,
    PrivilegeType,
    Value,
)
from services.rating.domain.meter import Aggregation
from services.rating.domain.metered_limit import Limit, LimitKind, LimitReset, Rollover
from services.rating.operations import entitling, features
from services.rating.operations.checking import Question, Subject, check_entitlements
from services.rating.operations.subscriptions import terminate_subscription
from tally.rating.v1 import entitlement_service_pb2 as pb
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
SUPPORT = Privilege("support", "support", PrivilegeType.SELECT, ("mail", "phone"))
RATE = Privilege("rate", "rate", PrivilegeType.DECIMAL)


def limit(
    units: int, reset: LimitReset = LimitReset.USAGE_PERIOD, *, most: int | None = None
) -> Limit:
    rollover = None if most is None else Rollover(Decimal(0), Decimal(most))
    return Limit(Decimal(units), LimitKind.HARD, reset, rollover)


async def create(
    world: World, code: str, *, meter: str = "", privileges: Sequence[Privilege] = ()
) -> None:
    feature = Feature(code, code, tuple(privileges), meter, JANUARY)
    await features.create_feature(world.app, TENANT, a_request(), feature)


async def give(world: World, *given: Entitlement, plan: str = "calls") -> None:
    await entitling.set_plan_entitlements(world.app, TENANT, a_request(), plan, given)


async def override(
    world: World, *overrides: Override, subscription: str = "acme", now: datetime = NOON
) -> None:
    await entitling.set_subscription_entitlements(
        world.app,
        TENANT,
        a_request(),
        subscription_id=subscription,
        overrides=overrides,
        now=now,
    )


async def ask(
    world: World,
    *codes: str,
    customer: str = "acme",
    subscription: str = "",
    now: datetime = NOON,
    wanted: int = 1,
) -> list[pb.EntitlementCheck]:
    subject = Subject("" if subscription else customer, subscription)
    question = Question([subject], codes or ["api"], Decimal(wanted))
    [checks] = await check_entitlements(world.app, TENANT, question, now=now)
    return checks


def shown(check: pb.EntitlementCheck) -> tuple[bool, str, str, str]:
    reason = pb.CheckReason.Name(check.reason).removeprefix("CHECK_REASON_")
    return check.allowed, reason, check.used, check.left


def values(check: pb.EntitlementCheck) -> Mapping[str, Value]:
    found: dict[str, Any] = {}
    for one in check.privileges:
        which = one.WhichOneof("value")
        assert which
        found[one.privilege_code] = getattr(one, which)
    return found


async def test_a_limit_counts_the_calls_of_the_usage_period(world: World) -> None:
    await create(world, "api", meter="calls")
    await give(world, Entitlement("api", limit=limit(3)))
    await world.subscribe("acme")
    await world.fold(*[an_event("acme", NOON)] * 2)
    assert shown((await ask(world))[0]) == (True, "ENTITLED", "2", "1")
    await world.fold(an_event("acme", NOON))
    [check] = await ask(world)
    assert shown(check) == (False, "ABOVE_HARD_LIMIT", "3", "0")
    assert check.subscription_id == "acme"
    assert check.resets_at.ToDatetime() == datetime(2024, 2, 1)
    assert shown((await ask(world, now=instant("2024-02-01 00:00")))[0])[2:] == ("0", "3")


async def test_days_and_months_reset_in_the_subscription_s_zone(world: World) -> None:
    for code in ("daily", "monthly"):
        await create(world, code, meter="calls")
    await give(
        world,
        Entitlement("daily", limit=limit(9, LimitReset.DAY)),
        Entitlement("monthly", limit=limit(9, LimitReset.MONTH)),
    )
    await world.subscribe("acme", zone="Asia/Tokyo")
    # 23:30 of the 10th, and 00:30 of the 11th.
    await world.fold(an_event("acme", instant("2024-01-10 14:30")))
    await world.fold(*[an_event("acme", instant("2024-01-10 15:30"))] * 2)
    daily, monthly = await ask(world, "daily", "monthly", now=instant("2024-01-10 16:00"))
    assert (daily.used, monthly.used) == ("2", "3")
    assert daily.resets_at.ToDatetime() == datetime(2024, 1, 11, 15)
    assert monthly.resets_at.ToDatetime() == datetime(2024, 1, 31, 15)


async def test_what_was_left_is_carried_over(world: World) -> None:
    await create(world, "api", meter="calls")
    await give(world, Entitlement("api", limit=limit(4, most=2)))
    await world.subscribe("acme")
    await world.fold(*[an_event("acme", NOON)] * 3)
    [check] = await ask(world, now=instant("2024-02-05 00:00"))
    assert (check.limit, check.rolled_over, check.left) == ("5", "1", "5")
    # January left 1, February 5, of which 2 go on.
    await world.announce(instant("2024-02-02 00:00"))
    await give(world, Entitlement("api", limit=limit(4, LimitReset.MONTH, most=2)))
    [check] = await ask(world, now=instant("2024-03-05 00:00"))
    assert (check.limit, check.rolled_over) == ("6", "2")


async def test_distinct_values_and_recurring_meters_are_counted_as_usage_is(world: World) -> None:
    await world.create_meter("users", Aggregation.UNIQUE_COUNT, value="u")
    await world.create_meter("seats", Aggregation.SUM, value="n", recurring=True)
    await world.create_plan("team", [a_charge("users", "0"), a_charge("seats", "0")])
    for code in ("users", "seats"):
        await create(world, code, meter=code)
    await give(
        world,
        Entitlement("users", limit=limit(5, LimitReset.MONTH)),
        Entitlement("seats", limit=limit(5)),
        plan="team",
    )
    await world.subscribe("acme", plan="team")
    for user in ("a", "b", "a"):
        await world.fold(an_event("acme", NOON, type_="users", u=user))
    await world.fold(an_event("acme", NOON, type_="seats", n=Decimal(3)))
    users, seats = await ask(world, "users", "seats")
    assert (users.used, seats.used) == ("2", "3")
    users, seats = await ask(world, "users", "seats", now=instant("2024-02-05 00:00"))
    assert (users.used, seats.used) == ("0", "3"), "seats stay until they are taken away"


async def test_of_several_subscriptions_the_most_generous_counts(world: World) -> None:
    await world.create_plan("more", [a_charge("calls", "0")])
    await create(world, "api", meter="calls", privileges=[SUPPORT, RATE])
    small = Entitlement("api", {"support": "phone", "rate": Decimal("0.5")}, limit(1))
    large = Entitlement("api", {"support": "mail", "rate": Decimal("2.5")}, limit(10))
    await give(world, small)
    await give(world, large, plan="more")
    await world.subscribe("one", customer="acme")
    await world.subscribe("two", customer="acme", plan="more")
    await world.fold(an_event("acme", NOON, subscription="one"))
    [check] = await ask(world)
    assert (check.allowed, check.subscription_id, check.left) == (True, "two", "10")
    assert values(check) == {"support": "phone", "rate": "2.5"}
    [check] = await ask(world, subscription="one")
    assert (check.allowed, check.subscription_id) == (False, "one")


async def test_overrides_change_what_the_plan_gives(world: World) -> None:
    await create(world, "api", meter="calls", privileges=[SUPPORT, RATE])
    await create(world, "extra")
    await give(world, Entitlement("api", {"support": "mail"}, limit(1)))
    await world.subscribe("acme")
    await override(world, Override("api", values={"support": "phone"}, unlimited=True))
    [check] = await ask(world, wanted=1_000)
    assert check.allowed and not check.limited
    assert values(check) == {"support": "phone"}
    await override(world, Override("api", removed=True), Override("extra"))
    api, extra = await ask(world, "api", "extra")
    assert (shown(api)[1], shown(extra)[1]) == ("NOT_ENTITLED", "ENTITLED")
    answer = await entitling.get_subscription_entitlements(world.app, TENANT, "acme")
    assert [one.feature_code for one in answer.entitlements] == ["extra"]
    assert [one.removed for one in answer.overrides] == [True, False]


async def test_who_is_not_subscribed_now_has_nothing(world: World) -> None:
    await create(world, "api")
    await give(world, Entitlement("api"))
    await world.subscribe("acme", start=NOON, now=JANUARY)
    assert shown((await ask(world, now=JANUARY))[0])[1] == "NO_SUBSCRIPTION"
    assert (await ask(world))[0].allowed, "also before a loop has seen that it started"
    await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id="acme", end=None, now=NOON
    )
    assert shown((await ask(world))[0])[1] == "NO_SUBSCRIPTION"
    assert shown((await ask(world, customer="blue"))[0])[1] == "NO_SUBSCRIPTION"


async def test_use_that_lies_in_the_log_is_not_known(world: World) -> None:
    await world.create_meter("bytes", Aggregation.SUM, value="n", dimensions=["key"])
    await world.create_plan("raw", [a_charge("bytes", "0")])
    await create(world, "api", meter="bytes")
    await give(world, Entitlement("api", limit=limit(5)), plan="raw")
    await world.subscribe("acme", plan="raw")
    world.catalogs.cells_per_day_max = 2
    for key in ("a", "b", "c"):
        event = an_event("acme", NOON, type_="bytes", n=Decimal(1), key=key)
        await world.fold(event)
    assert shown((await ask(world))[0])[:2] == (False, "USAGE_NOT_KNOWN")


async def test_a_plan_that_does_not_count_the_meter_cannot_limit_it(world: World) -> None:
    await world.create_meter("other", Aggregation.COUNT)
    await create(world, "api", meter="other")
    with pytest.raises(MeterNotCounted):
        await give(world, Entitlement("api", limit=limit(5)))
    await give(world, Entitlement("api"))
    await world.subscribe("acme")
    with pytest.raises(MeterNotCounted):
        await override(world, Override("api", limit=limit(5)))


async def test_limits_and_values_must_fit_the_feature(world: World) -> None:
    await create(world, "api", privileges=[SUPPORT])
    for given, field in (
        (Entitlement("api", limit=limit(5)), "entitlements[0].limit"),
        (Entitlement("api", {"support": "fax"}), "entitlements[0].privileges[0]"),
    ):
        with pytest.raises(FieldInvalid) as refused:
            await give(world, given)
        assert refused.value.faults[0].field == field
    with pytest.raises(FieldInvalid):
        await world.create_meter("mean", Aggregation.AVG, value="v")
        await create(world, "mean", meter="mean")


async def test_an_archived_feature_is_kept_and_given_to_nobody_else(world: World) -> None:
    await create(world, "api")
    await give(world, Entitlement("api"))
    await features.archive_feature(world.app, TENANT, a_request(), "api", now=NOON)
    await give(world, Entitlement("api"))
    await world.create_plan("more", [a_charge("calls", "0")])
    with pytest.raises(FeatureArchived):
        await give(world, Entitlement("api"), plan="more")
    await world.subscribe("acme")
    assert (await ask(world))[0].allowed
    with pytest.raises(FeatureCodeTaken):
        await create(world, "api")
    with pytest.raises(FeatureNotFound):
        await ask(world, "unknown")
