"""The gRPC face of subscriptions and their billing periods."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import grpc
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.errors import FieldInvalid
from libs.wire import (
    Faults,
    parse_code,
    parse_page,
    parse_request,
    parse_text,
    parse_timestamp,
    parse_zone,
)
from services.rating.api.fixed_parsing import parse_wanted_units
from services.rating.domain.subscription import COLLECTION_DELAY_S, COLLECTION_DELAY_S_MAX
from services.rating.operations import subscriptions as operations
from services.rating.operations.fixed_units import update_fixed_units
from services.rating.operations.subscriptions import Wish
from tally.rating.v1 import subscription_service_pb2 as pb
from tally.rating.v1 import subscription_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class SubscriptionServicer(subscription_service_pb2_grpc.SubscriptionServiceServicer):
    """Answers for subscriptions."""

    def __init__(self, engine: AsyncEngine, clock: Clock, committed: Callable[[], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._committed = committed  # Called after each commit: facts wait, something may be due.

    async def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, context: Context
    ) -> pb.CreateSubscriptionResponse:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            wish = _parse_wish(request)
        faults.check()
        answer = await operations.create_subscription(
            self._engine,
            tenant(),
            wanted,
            wish,
            now=self._clock.now(),
            validate_only=request.validate_only,
        )
        self._committed()
        return answer

    async def GetSubscription(
        self, request: pb.GetSubscriptionRequest, context: Context
    ) -> pb.GetSubscriptionResponse:
        subscription_id = parse_text(request.subscription_id, "subscription_id")
        return await operations.get_subscription(self._engine, tenant(), subscription_id)

    async def ListSubscriptions(
        self, request: pb.ListSubscriptionsRequest, context: Context
    ) -> pb.ListSubscriptionsResponse:
        faults = Faults()
        with faults.gathered():
            customer_id = parse_text(request.customer_id, "customer_id", required=False)
        with faults.gathered():
            page = parse_page(request.page_size, request.page_token)
        faults.check()
        return await operations.list_subscriptions(
            self._engine, tenant(), customer_id=customer_id, page=page
        )

    async def TerminateSubscription(
        self, request: pb.TerminateSubscriptionRequest, context: Context
    ) -> pb.TerminateSubscriptionResponse:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            subscription_id = parse_text(request.subscription_id, "subscription_id")
        with faults.gathered():
            end = _optional_instant(request, "end", "end")
        faults.check()
        answer = await operations.terminate_subscription(
            self._engine,
            tenant(),
            wanted,
            subscription_id=subscription_id,
            end=end,
            now=self._clock.now(),
        )
        self._committed()
        return answer

    async def UpdateFixedUnits(
        self, request: pb.UpdateFixedUnitsRequest, context: Context
    ) -> pb.UpdateFixedUnitsResponse:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            units = parse_wanted_units(request)
        faults.check()
        now = self._clock.now()
        answer = await update_fixed_units(self._engine, tenant(), wanted, units, now=now)
        self._committed()
        return answer

    async def ListBillingPeriods(
        self, request: pb.ListBillingPeriodsRequest, context: Context
    ) -> pb.ListBillingPeriodsResponse:
        faults = Faults()
        with faults.gathered():
            subscription_id = parse_text(request.subscription_id, "subscription_id")
        with faults.gathered():
            page = parse_page(request.page_size, request.page_token)
        faults.check()
        return await operations.list_billing_periods(
            self._engine, tenant(), subscription_id=subscription_id, page=page
        )


def _parse_wish(request: pb.CreateSubscriptionRequest) -> Wish:
    if not request.HasField("subscription"):
        raise FieldInvalid("subscription", "is missing")
    message, path = request.subscription, "subscription"
    faults = Faults()
    with faults.gathered():
        subscription_id = parse_text(message.subscription_id, f"{path}.subscription_id")
    with faults.gathered():
        customer_id = parse_text(message.customer_id, f"{path}.customer_id")
    with faults.gathered():
        plan_code = parse_code(message.plan_code, f"{path}.plan_code")
    if message.plan_version < 0:
        problem = f"is {message.plan_version}, must not be negative"
        faults.add(f"{path}.plan_version", problem)
    with faults.gathered():
        start = _optional_instant(message, "start", f"{path}.start")
    with faults.gathered():
        end = _optional_instant(message, "end", f"{path}.end")
    with faults.gathered():
        time_zone = parse_zone(message.time_zone, f"{path}.time_zone", default="UTC")
    delay_s = COLLECTION_DELAY_S
    if message.HasField("collection_delay_s"):
        delay_s = message.collection_delay_s
    if not 0 <= delay_s <= COLLECTION_DELAY_S_MAX:
        problem = f"is {delay_s}, must be 0 to {COLLECTION_DELAY_S_MAX}"
        faults.add(f"{path}.collection_delay_s", problem)
    faults.check()
    return Wish(
        subscription_id=subscription_id,
        customer_id=customer_id,
        plan_code=plan_code,
        plan_version=message.plan_version,
        start=start,
        end=end,
        time_zone=time_zone,
        default_for_usage=message.default_for_usage,
        collection_delay_s=delay_s,
    )


def _optional_instant(message: Message, name: str, path: str) -> datetime | None:
    return parse_timestamp(getattr(message, name), path) if message.HasField(name) else None
