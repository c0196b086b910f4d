"""Subscriptions, usage and closes over gRPC, with events that really come from ingest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest

from cli.client import SuiteClient, refusal
from libs.wire import timestamp
from tally.rating.v1.billing_period_pb2 import BillingPeriod, PeriodKind, PeriodStatus
from tally.rating.v1.plan_service_pb2 import Timing
from tally.rating.v1.rating_service_pb2 import (
    CloseAdjustmentRequest,
    ClosePeriodRequest,
    RatePeriodRequest,
)
from tally.rating.v1.subscription_service_pb2 import (
    CreateSubscriptionRequest,
    ListBillingPeriodsRequest,
    ListSubscriptionsRequest,
    Subscription,
    SubscriptionStatus,
    TerminateSubscriptionRequest,
)
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.scenario.builders import record, sell, subscribe, usage
from tests.suite import Suite

START = datetime(2026, 1, 1, tzinfo=UTC)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
BILLED = timedelta(minutes=11)


async def refused(call: object) -> str:
    """Return the reason for which a call is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await call  # type: ignore[misc]
    return refusal(error.value).reason


async def periods(client: SuiteClient, subscription_id: str) -> list[BillingPeriod]:
    asked = ListBillingPeriodsRequest(subscription_id=subscription_id)
    return list((await client.subscriptions.ListBillingPeriods(asked)).periods)


async def test_a_month_from_subscribing_to_its_adjustment(suite: Suite) -> None:
    await suite.advance(START)
    tenant = suite.new_tenant()
    async with suite.client(tenant) as client, suite.internal(tenant) as service:
        await sell(client)
        await subscribe(client, "acme", START)
        await record(client, [usage("acme", START, "150")])
        await suite.settle()
        now = await client.usage.GetUsage(GetUsageRequest(subscription_id="acme-pro"))
        assert [(fee.units, fee.exact_amount) for fee in now.fees] == [("150", "1.5")]
        [january, february] = await periods(client, "acme-pro")
        close = ClosePeriodRequest(period_id=january.period_id)
        assert await refused(service.rating.ClosePeriod(close)) == "PERIOD_NOT_DUE"

        await suite.advance(datetime(2026, 2, 1, tzinfo=UTC) + BILLED)
        closed = (await service.rating.ClosePeriod(close)).rated
        assert closed.period.status == PeriodStatus.PERIOD_STATUS_CLOSED
        assert closed.amount.amount_minor == 150
        assert closed.usage_traceparents
        await record(client, [usage("acme", START, "50")])
        await suite.settle()
        rated = await client.rating.RatePeriod(RatePeriodRequest(period_id=january.period_id))
        assert (rated.rated.amount.amount_minor, rated.rated.period.late_version) == (200, 1)
        assert (await service.rating.ClosePeriod(close)).rated == closed

        for sequence, reason in ((0, "FIELD_INVALID"), (2, "ADJUSTMENT_OUT_OF_ORDER")):
            request = CloseAdjustmentRequest(period_id=january.period_id, sequence=sequence)
            assert await refused(service.rating.CloseAdjustment(request)) == reason
        request = CloseAdjustmentRequest(period_id=january.period_id, sequence=1)
        first = await service.rating.CloseAdjustment(request)
        assert [(fee.units, fee.amount.amount_minor) for fee in first.adjustment.fees] == [
            ("50", 50)
        ]
        assert await service.rating.CloseAdjustment(request) == first
        request = CloseAdjustmentRequest(period_id=february.period_id, sequence=1)
        assert await refused(service.rating.CloseAdjustment(request)) == "PERIOD_NOT_CLOSED"


async def test_only_a_service_closes_periods(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        request = ClosePeriodRequest(period_id=str(uuid4()))
        assert await refused(client.rating.ClosePeriod(request)) == "SCOPE_MISSING"


async def test_an_id_is_taken_until_its_subscription_has_ended(suite: Suite) -> None:
    await suite.advance(MARCH)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, base_amount="31", base_timing=Timing.TIMING_IN_ADVANCE)
        await subscribe(client, "acme", MARCH)
        assert await refused(subscribe(client, "acme", MARCH)) == "SUBSCRIPTION_ID_TAKEN"
        end = TerminateSubscriptionRequest(
            request_id=str(uuid4()),
            subscription_id="acme-pro",
            end=timestamp(MARCH + timedelta(days=5)),
        )
        ended = await client.subscriptions.TerminateSubscription(end)
        assert ended.subscription.status == SubscriptionStatus.SUBSCRIPTION_STATUS_ACTIVE
        assert await client.subscriptions.TerminateSubscription(end) == ended
        end.request_id = str(uuid4())
        terminating = client.subscriptions.TerminateSubscription(end)
        assert await refused(terminating) == "SUBSCRIPTION_TERMINATED"
        await suite.advance(MARCH + timedelta(days=6))
        await subscribe(client, "acme", MARCH + timedelta(days=6))
        found = await client.subscriptions.ListSubscriptions(
            ListSubscriptionsRequest(customer_id="acme")
        )
        assert [one.status for one in found.subscriptions] == [
            SubscriptionStatus.SUBSCRIPTION_STATUS_TERMINATED,
            SubscriptionStatus.SUBSCRIPTION_STATUS_ACTIVE,
        ]


async def test_lists_page_through_lives_and_periods(suite: Suite) -> None:
    await suite.advance(MARCH + timedelta(days=10))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, base_amount="1")
        for name in ("a", "b", "c"):
            await subscribe(client, name, MARCH)
        seen: list[str] = []
        token = ""
        while token or not seen:
            page = await client.subscriptions.ListSubscriptions(
                ListSubscriptionsRequest(page_size=2, page_token=token)
            )
            seen += [one.subscription_id for one in page.subscriptions]
            token = page.next_page_token
        assert seen == ["a-pro", "b-pro", "c-pro"]
        kinds: list[int] = []
        while token or not kinds:
            request = ListBillingPeriodsRequest(
                subscription_id="a-pro", page_size=1, page_token=token
            )
            answer = await client.subscriptions.ListBillingPeriods(request)
            kinds += [one.kind for one in answer.periods]
            token = answer.next_page_token
        assert kinds == [PeriodKind.PERIOD_KIND_BASE, PeriodKind.PERIOD_KIND_USAGE] * 2


async def test_a_subscription_can_be_checked_without_storing(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        subscription = Subscription(subscription_id="s", customer_id="acme", plan_code="pro")
        request = CreateSubscriptionRequest(
            request_id=str(uuid4()), subscription=subscription, validate_only=True
        )
        answer = await client.subscriptions.CreateSubscription(request)
        assert answer.subscription.currency_code == "USD"
        asked = ListBillingPeriodsRequest(subscription_id="s")
        listing = client.subscriptions.ListBillingPeriods(asked)
        assert await refused(listing) == "SUBSCRIPTION_NOT_FOUND"


async def test_events_before_a_backdated_subscription_are_billed_by_it(suite: Suite) -> None:
    start = MARCH + timedelta(days=20)
    await suite.advance(start + timedelta(hours=2))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        early = [usage("acme", start + timedelta(minutes=n), f"{n}.5") for n in range(-1, 3)]
        await record(client, [*early, usage("blue", start, "1000")])
        await suite.settle()
        await subscribe(client, "acme", start)
        await record(client, [usage("acme", start, "0.001")])
        await suite.settle()
        found = await client.usage.GetUsage(GetUsageRequest(subscription_id="acme-pro"))
        assert [(fee.units, fee.event_count) for fee in found.fees] == [("4.501", 4)]
