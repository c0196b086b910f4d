"""Lives of subscriptions through the API, with the clock moved: what their periods cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cli.client import SuiteClient
from libs.wire import timestamp
from tally.rating.v1.billing_period_pb2 import PeriodKind, PeriodStatus
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    CreatePlanVersionRequest,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
    Timing,
)
from tally.rating.v1.rating_service_pb2 import RatePeriodRequest
from tally.rating.v1.subscription_service_pb2 import (
    ChangePlanRequest,
    CreateSubscriptionRequest,
    FinalInvoice,
    GetSubscriptionRequest,
    ListBillingPeriodsRequest,
    MigrateSubscriptionsRequest,
    PauseSubscriptionRequest,
    ResumeSubscriptionRequest,
    Subscription,
    SubscriptionPhase,
    SubscriptionStatus,
    TerminateSubscriptionRequest,
    UnusedFee,
    UpdateSubscriptionRequest,
)
from tests.scenario.builders import record, sell, subscribe, usage
from tests.suite import Suite

BILLED = timedelta(minutes=11)
ADVANCE = Timing.TIMING_IN_ADVANCE


def day(month: int, number: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, month, number, hour, minute, tzinfo=UTC)


async def offer(client: SuiteClient, code: str, base: str, price: str = "0.01") -> None:
    """Create a plan of a base fee by the month in advance, and "calls" at a price each."""
    version = a_version(base, price)
    plan = Plan(code=code, name=code, currency_code="USD")
    asked = CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    await client.plans.CreatePlan(asked)


def a_version(base: str, price: str) -> PlanVersion:
    unit = Price(standard=StandardPrice(unit_amount=price))
    return PlanVersion(
        interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH,
        base_amount=base,
        base_timing=ADVANCE,
        charges=[Charge(meter_code="calls", price=unit)],
    )


async def put_on(client: SuiteClient, plan: str, start: datetime, who: str = "acme") -> None:
    wanted = Subscription(
        subscription_id=who,
        customer_id=who,
        plan_code=plan,
        start=timestamp(start),
        collection_delay_s=0,
    )
    await client.subscriptions.CreateSubscription(
        CreateSubscriptionRequest(request_id=str(uuid4()), subscription=wanted)
    )


async def change(client: SuiteClient, plan: str) -> Subscription:
    asked = ChangePlanRequest(request_id=str(uuid4()), subscription_id="acme", plan_code=plan)
    return (await client.subscriptions.ChangePlan(asked)).subscription


async def found(client: SuiteClient, who: str = "acme") -> Subscription:
    asked = GetSubscriptionRequest(subscription_id=who)
    return (await client.subscriptions.GetSubscription(asked)).subscription


async def prices(client: SuiteClient, who: str = "acme") -> list[tuple[str, str, int]]:
    """Return of all periods with a price the plan, kind and minor units."""
    asked = ListBillingPeriodsRequest(subscription_id=who)
    periods = (await client.subscriptions.ListBillingPeriods(asked)).periods
    rows = []
    for period in sorted(
        periods, key=lambda one: (one.usage_period.start.ToJsonString(), one.kind)
    ):
        if period.status in (PeriodStatus.PERIOD_STATUS_OPEN, PeriodStatus.PERIOD_STATUS_SKIPPED):
            continue
        rated = await client.rating.RatePeriod(RatePeriodRequest(period_id=period.period_id))
        kind = PeriodKind.Name(period.kind).removeprefix("PERIOD_KIND_")
        amount = rated.rated.amount.amount_minor
        if amount:
            rows.append((period.plan_code, kind, amount))
    return rows


async def test_a_termination_with_each_option(suite: Suite) -> None:
    await suite.advance(day(2, 8))
    options = {
        "credit": {},
        "skip": {"unused_fee": UnusedFee.UNUSED_FEE_SKIP},
        "refund": {"unused_fee": UnusedFee.UNUSED_FEE_REFUND},
        "silent": {"final_invoice": FinalInvoice.FINAL_INVOICE_SKIP},
    }
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        await offer(client, "one", "28")
        for who in options:
            await put_on(client, "one", day(2, 8), who)
        await suite.settle()
        await suite.advance(day(2, 21))
        await record(client, [usage(who, day(2, 10), "50") for who in options])
        for who, how in options.items():
            ending = TerminateSubscriptionRequest(
                request_id=str(uuid4()), subscription_id=who, **how
            )
            ended = (await client.subscriptions.TerminateSubscription(ending)).subscription
            assert ended.status == SubscriptionStatus.SUBSCRIPTION_STATUS_TERMINATED
        await suite.advance(day(2, 21) + BILLED)
        # 14 of the 21 days that were paid are used.
        assert {who: await prices(client, who) for who in options} == {
            "credit": [("one", "BASE", 1400), ("one", "USAGE", 50)],
            "skip": [("one", "BASE", 2100), ("one", "USAGE", 50)],
            "refund": [("one", "BASE", 1400), ("one", "USAGE", 50)],
            "silent": [("one", "BASE", 1400)],
        }


async def test_two_upgrades_in_one_day_and_a_downgrade(suite: Suite) -> None:
    await suite.advance(day(3, 1))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        for code, base in (("one", "31"), ("two", "62"), ("three", "93")):
            await offer(client, code, base)
        await put_on(client, "one", day(3, 1))
        await suite.settle()
        assert await prices(client) == [("one", "BASE", 3100)]

        await suite.advance(day(3, 12, 12))
        await record(
            client, [usage("acme", day(3, 12, 10), "5"), usage("acme", day(3, 12, 11), "7")]
        )
        await change(client, "two")
        await record(client, [usage("acme", day(3, 12, 12), "20")])
        await suite.advance(day(3, 12, 13))
        assert (await change(client, "three")).plan_code == "three"
        await record(client, [usage("acme", day(3, 12, 13), "300")])
        await suite.settle()
        assert await prices(client) == [
            ("one", "BASE", 1100),  # 11 of 31 days.
            ("one", "USAGE", 12),
            ("two", "USAGE", 20),  # And no day.
            ("three", "BASE", 6000),  # 20 of 31 days.
        ]

        assert (await change(client, "one")).plan_code == "three"  # Cheaper: with the next month.
        await suite.advance(day(4, 1) + BILLED)
        assert (await found(client)).plan_code == "one"
        assert (await prices(client))[3:] == [
            ("three", "BASE", 6000),
            ("three", "USAGE", 300),
            ("one", "BASE", 3100),
        ]


async def test_a_pause_neither_counts_nor_costs(suite: Suite) -> None:
    await suite.advance(day(6, 1))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        await offer(client, "one", "30")
        await put_on(client, "one", day(6, 1))
        await suite.advance(day(6, 10, 14))
        pausing = PauseSubscriptionRequest(request_id=str(uuid4()), subscription_id="acme")
        paused = (await client.subscriptions.PauseSubscription(pausing)).subscription
        assert paused.status == SubscriptionStatus.SUBSCRIPTION_STATUS_PAUSED
        await record(
            client, [usage("acme", day(6, 10, 13), "1"), usage("acme", day(6, 10, 14), "9")]
        )
        await suite.advance(day(6, 20, 9))
        resuming = ResumeSubscriptionRequest(request_id=str(uuid4()), subscription_id="acme")
        resumed = (await client.subscriptions.ResumeSubscription(resuming)).subscription
        assert resumed.status == SubscriptionStatus.SUBSCRIPTION_STATUS_ACTIVE
        await record(client, [usage("acme", day(6, 20, 9), "3")])
        await suite.advance(day(7, 1) + BILLED)
        # The 11th to the 19th are given back.
        assert (await prices(client))[:2] == [("one", "BASE", 2100), ("one", "USAGE", 4)]


async def test_a_move_from_tokyo_to_los_angeles(suite: Suite) -> None:
    await suite.advance(day(7, 31, 15))  # August begins in Tokyo.
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, base_amount="31")
        await subscribe(client, "acme", day(7, 31, 15), time_zone="Asia/Tokyo")
        await suite.advance(day(8, 31, 20))  # 1 September 05:00 there, 31 August in Los Angeles.
        moving = UpdateSubscriptionRequest(
            request_id=str(uuid4()), subscription_id="acme-pro", time_zone="America/Los_Angeles"
        )
        await client.subscriptions.UpdateSubscription(moving)
        at = (day(8, 31, 14, 59), day(8, 31, 15), day(8, 31, 20))
        await record(client, [usage("acme", when, "1") for when in at])
        await suite.advance(day(9, 30, 15) + BILLED)
        assert await prices(client, "acme-pro") == [("pro", "BASE", 3100), ("pro", "USAGE", 1)]
        await suite.advance(day(10, 1, 7) + BILLED)  # September ends in Los Angeles.
        assert (await prices(client, "acme-pro"))[2:] == [
            ("pro", "BASE", 3100),
            ("pro", "USAGE", 2),
        ]


async def test_phases_and_a_plan_repriced_mid_period(suite: Suite) -> None:
    await suite.advance(day(11, 1))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        await offer(client, "trial", "15")
        await offer(client, "full", "30")
        wanted = Subscription(
            subscription_id="acme",
            customer_id="acme",
            plan_code="trial",
            start=timestamp(day(11, 1)),
            collection_delay_s=0,
        )
        phases = [SubscriptionPhase(plan_code="full", start=timestamp(day(11, 11)))]
        await client.subscriptions.CreateSubscription(
            CreateSubscriptionRequest(request_id=str(uuid4()), subscription=wanted, phases=phases)
        )
        await suite.advance(day(11, 11))
        assert (await found(client)).plan_code == "full"
        await record(client, [usage("acme", day(11, 10), "1"), usage("acme", day(11, 11), "2")])
        await client.plans.CreatePlanVersion(
            CreatePlanVersionRequest(
                request_id=str(uuid4()), plan_code="full", version=a_version("60", "1")
            )
        )
        await suite.advance(day(11, 20))
        told = client.subscriptions.MigrateSubscriptions(
            MigrateSubscriptionsRequest(plan_code="full")
        )
        assert [(one.subscription_id, one.from_version) async for one in told] == [("acme", 1)]
        assert (await found(client)).plan_version == 2
        await suite.advance(day(12, 1) + BILLED)
        assert await prices(client) == [
            ("trial", "BASE", 500),  # 10 of 30 days, known ahead.
            ("trial", "USAGE", 1),
            ("full", "BASE", 2000),  # Billed before.
            ("full", "USAGE", 200),  # All of it at the new price.
            ("full", "BASE", 6000),
        ]
