"""Subscriptions start, renew and end; each of their periods is billed once and in whole days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from libs.wire import timestamp
from tally.common.v1.period_pb2 import DayPeriod
from tally.rating.v1.plan_service_pb2 import IntervalUnit, Price, Tier, TieredPrice, Timing
from tally.rating.v1.subscription_service_pb2 import (
    CreateSubscriptionRequest,
    GetSubscriptionRequest,
    ListSubscriptionsRequest,
    Subscription,
    SubscriptionStatus,
    TerminateSubscriptionRequest,
)
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.scenario.builders import Line, invoices, lines, record, sell, subscribe, usage
from tests.suite import Suite

BILLED = timedelta(minutes=11)


def month_of(days: DayPeriod) -> int:
    return days.first_day.month


def day(month: int, number: int, year: int = 2026) -> datetime:
    return datetime(year, month, number, tzinfo=UTC)


async def test_a_base_fee_in_advance_meets_the_usage_of_the_month_before(suite: Suite) -> None:
    await suite.advance(day(1, 1))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, base_amount="31", base_timing=Timing.TIMING_IN_ADVANCE)
        await subscribe(client, "acme", day(1, 1))
        await suite.settle()
        [first] = await invoices(client)
        assert lines(first) == [Line("", "1", 3100)]
        await suite.advance(day(1, 31))
        await record(client, [usage("acme", day(1, 15), "7")])
        await suite.advance(day(2, 1) + BILLED)
        [_, second] = await invoices(client)
        assert sorted(lines(second), key=lambda line: line.code) == [
            Line("", "1", 3100),
            Line("calls", "7", 7),
        ]


async def test_a_base_fee_is_prorated_by_days_at_both_ends(suite: Suite) -> None:
    await suite.advance(day(3, 17))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, base_amount="31")
        await subscribe(client, "acme", day(3, 17) + timedelta(hours=9))
        await suite.advance(day(4, 1) + BILLED)
        [march] = await invoices(client)
        [base] = march.lines
        assert base.amount_minor == 1500  # 15 of 31 days, the first one whole.

        await suite.advance(day(4, 10) + timedelta(hours=12))
        await record(client, [usage("acme", day(4, 10) + timedelta(hours=11), "2")])
        ended = await client.subscriptions.TerminateSubscription(
            TerminateSubscriptionRequest(request_id=str(uuid4()), subscription_id="acme-pro")
        )
        assert ended.subscription.status == SubscriptionStatus.SUBSCRIPTION_STATUS_TERMINATED
        await record(client, [usage("acme", day(4, 10) + timedelta(hours=12), "100")])
        await suite.advance(day(4, 12))
        [_, april] = await invoices(client)
        # 10 of 30 days, the last one whole; what came after the end counts nowhere.
        amounts = sorted((line.charge_code, line.amount_minor) for line in april.lines)
        assert amounts == [("", 1033), ("calls", 2)]
        await suite.advance(day(6, 1))
        assert len(await invoices(client)) == 2


async def test_a_future_subscription_starts_at_its_instant(suite: Suite) -> None:
    await suite.advance(day(6, 1))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        pending = await subscribe(client, "acme", day(6, 10))
        assert pending.status == SubscriptionStatus.SUBSCRIPTION_STATUS_PENDING
        early = usage("acme", day(6, 1), "1")
        assert await record(client, [early]) == ["ACCEPTED"]  # Kept, and counted nowhere.
        await suite.advance(day(6, 20))
        asked = GetSubscriptionRequest(subscription_id="acme-pro")
        found = (await client.subscriptions.GetSubscription(asked)).subscription
        assert found.status == SubscriptionStatus.SUBSCRIPTION_STATUS_ACTIVE
        await record(client, [usage("acme", day(6, 15), "4")])
        await suite.advance(day(7, 1) + BILLED)
        [june] = await invoices(client)
        assert lines(june) == [Line("calls", "4", 4)]


async def test_weeks_start_on_monday_in_the_zone_of_the_subscription(suite: Suite) -> None:
    # Monday 26 October 2026 in Berlin starts at 23:00 UTC: the clock went back on the 25th.
    await suite.advance(day(10, 19))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, interval=IntervalUnit.INTERVAL_UNIT_WEEK)
        await subscribe(client, "acme", day(10, 19), time_zone="Europe/Berlin")
        fence = datetime(2026, 10, 25, 23, tzinfo=UTC)
        await suite.advance(fence)
        inside = [usage("acme", fence - timedelta(microseconds=1), "1"), usage("acme", fence, "10")]
        await record(client, inside)
        await suite.advance(fence + BILLED)
        [week] = await invoices(client)
        assert lines(week) == [Line("calls", "1", 1)]
        assert week.lines[0].period.end == timestamp(fence)
        await suite.advance(fence + timedelta(days=7) + BILLED)
        assert lines((await invoices(client))[-1]) == [Line("calls", "10", 10)]


async def test_usage_can_be_asked_for_before_it_is_billed(suite: Suite) -> None:
    await suite.advance(day(11, 3))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        await subscribe(client, "acme", day(11, 1))
        await record(client, [usage("acme", day(11, 2), "2.5"), usage("acme", day(11, 3), "1")])
        await suite.settle()
        found = await client.usage.GetUsage(GetUsageRequest(subscription_id="acme-pro"))
        [fee] = found.fees
        assert (fee.units, fee.event_count, fee.exact_amount) == ("3.5", 2, "0.035")
        assert found.amount.amount_minor == 4  # Rounded half away from zero, once.


async def test_an_id_may_be_used_again_after_its_end(suite: Suite) -> None:
    await suite.advance(day(12, 1))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        first = await subscribe(client, "acme", day(12, 1))
        await client.subscriptions.TerminateSubscription(
            TerminateSubscriptionRequest(request_id=str(uuid4()), subscription_id="acme-pro")
        )
        second = await subscribe(client, "acme", day(12, 1) + timedelta(hours=1))
        assert second.subscription_id == first.subscription_id
        assert second.subscription_uid != first.subscription_uid


async def test_the_preview_of_a_backdated_start_is_what_it_bills(suite: Suite) -> None:
    await suite.advance(day(12, 20))
    async with suite.client(suite.new_tenant()) as client:
        tiers = [Tier(up_to="100", unit_amount="0.02"), Tier(unit_amount="0.01")]
        price = Price(graduated=TieredPrice(tiers=tiers))
        await sell(client, base_amount="31", base_timing=Timing.TIMING_IN_ADVANCE, price=price)
        await record(client, [usage("acme", day(10, 9), "1000"), usage("blue", day(10, 11), "9")])
        await record(client, [usage("acme", day(10, 10), "80"), usage("acme", day(10, 31), "30")])
        await record(client, [usage("acme", day(12, 1), "5")])  # Not due before January.
        await suite.settle()
        wish = Subscription(
            subscription_id="acme-pro",
            customer_id="acme",
            plan_code="pro",
            start=timestamp(day(10, 10)),
        )
        asked = CreateSubscriptionRequest(
            request_id=str(uuid4()), subscription=wish, validate_only=True
        )
        preview = await client.subscriptions.CreateSubscription(asked)
        told = sorted(
            (month_of(one.period.fee_days), fee.charge_code, fee.units, fee.amount.amount_minor)
            for one in preview.due_periods
            for fee in one.fees
        )
        # 22 of 31 days; 100 at 2 cents and 10 at 1; December begins, and is paid in advance.
        assert told == [
            (10, "", "1", 2200),
            (10, "calls", "110", 210),
            (11, "", "1", 3100),
            (12, "", "1", 3100),
        ]
        listing = await client.subscriptions.ListSubscriptions(ListSubscriptionsRequest())
        assert not listing.subscriptions

        asked.validate_only = False
        await client.subscriptions.CreateSubscription(asked)
        await suite.settle()
        billed = [
            (month_of(line.days), line.charge_code, line.units, line.amount_minor)
            for invoice in await invoices(client)
            for line in invoice.lines
        ]
        assert sorted(billed) == told
