"""The gRPC face of subscriptions and their billing periods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.requests import Request
from libs.wire import (
    Faults,
    parse_page,
    parse_request,
    parse_text,
)
from services.rating.api.change_parsing import (
    parse_migration,
    parse_named,
    parse_settings,
    parse_termination,
    parse_wanted_plan,
)
from services.rating.api.fixed_parsing import parse_wanted_units
from services.rating.api.override_parsing import parse_overrides
from services.rating.api.subscription_parsing import parse_optional_instant, parse_wish
from services.rating.operations import subscriptions as operations
from services.rating.operations.fixed_units import update_fixed_units
from services.rating.operations.log import Log
from services.rating.operations.migrating import migrate_subscriptions
from services.rating.operations.overriding import update_overrides
from services.rating.operations.plan_changes import Named, cancel_plan_change, change_plan
from services.rating.operations.settings_changes import (
    pause_subscription,
    resume_subscription,
    update_subscription,
)
from services.rating.operations.subscription_preview import preview_subscription
from tally.rating.v1 import subscription_changes_pb2 as changes_pb
from tally.rating.v1 import subscription_service_pb2 as pb
from tally.rating.v1 import subscription_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class SubscriptionServicer(subscription_service_pb2_grpc.SubscriptionServiceServicer):
    """Answers for subscriptions."""

    def __init__(
        self, engine: AsyncEngine, log: Log, clock: Clock, committed: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._log = log
        self._clock = clock
        self._committed = committed  # Called after each commit: facts wait, something may be due.

    async def CreateSubscription(
        self, request: pb.CreateSubscriptionRequest, context: Context
    ) -> pb.CreateSubscriptionResponse:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            wish = parse_wish(request)
        faults.check()
        now = self._clock.now()
        if request.validate_only:
            return await preview_subscription(self._engine, self._log, tenant(), wish, now=now)
        answer = await operations.create_subscription(self._engine, tenant(), wanted, wish, now=now)
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
            subscription_id, end, how = parse_termination(request)
        faults.check()
        answer = await operations.terminate_subscription(
            self._engine,
            tenant(),
            wanted,
            subscription_id=subscription_id,
            end=end,
            now=self._clock.now(),
            how=how,
        )
        self._committed()
        return answer

    async def ChangePlan(
        self, request: changes_pb.ChangePlanRequest, context: Context
    ) -> pb.ChangePlanResponse:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            plan = parse_wanted_plan(request)
        faults.check()
        answer = await change_plan(
            self._engine,
            tenant(),
            wanted,
            plan,
            now=self._clock.now(),
            validate_only=request.validate_only,
        )
        self._committed()
        return answer

    async def CancelPlanChange(
        self, request: changes_pb.CancelPlanChangeRequest, context: Context
    ) -> pb.CancelPlanChangeResponse:
        wanted, named = _parse_change(request)
        now = self._clock.now()
        answer = await cancel_plan_change(self._engine, tenant(), wanted, named, now=now)
        self._committed()
        return answer

    async def PauseSubscription(
        self, request: changes_pb.PauseSubscriptionRequest, context: Context
    ) -> pb.PauseSubscriptionResponse:
        faults = Faults()
        with faults.gathered():
            wanted, named = _parse_change(request)
        with faults.gathered():
            resume_at = parse_optional_instant(request, "resume_at", "resume_at")
        faults.check()
        answer = await pause_subscription(
            self._engine, tenant(), wanted, named, resume_at=resume_at, now=self._clock.now()
        )
        self._committed()
        return answer

    async def ResumeSubscription(
        self, request: changes_pb.ResumeSubscriptionRequest, context: Context
    ) -> pb.ResumeSubscriptionResponse:
        wanted, named = _parse_change(request)
        now = self._clock.now()
        answer = await resume_subscription(self._engine, tenant(), wanted, named, now=now)
        self._committed()
        return answer

    async def UpdateSubscription(
        self, request: changes_pb.UpdateSubscriptionRequest, context: Context
    ) -> pb.UpdateSubscriptionResponse:
        faults = Faults()
        with faults.gathered():
            wanted, named = _parse_change(request)
        with faults.gathered():
            settings = parse_settings(request)
        faults.check()
        now = self._clock.now()
        answer = await update_subscription(self._engine, tenant(), wanted, named, settings, now=now)
        self._committed()
        return answer

    async def MigrateSubscriptions(
        self, request: changes_pb.MigrateSubscriptionsRequest, context: Context
    ) -> AsyncIterator[changes_pb.MigrateSubscriptionsResponse]:
        migration = parse_migration(request)
        told = migrate_subscriptions(
            self._engine,
            tenant(),
            migration,
            now=self._clock.now(),
            validate_only=request.validate_only,
        )
        async with aclosing(told):
            async for one in told:
                self._committed()
                yield one

    async def UpdateFixedUnits(
        self, request: changes_pb.UpdateFixedUnitsRequest, context: Context
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

    async def UpdateOverrides(
        self, request: pb.UpdateOverridesRequest, context: Context
    ) -> pb.UpdateOverridesResponse:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            subscription_id = parse_text(request.subscription_id, "subscription_id")
        with faults.gathered():
            overrides = parse_overrides(request.overrides)
        with faults.gathered():
            etag = parse_text(request.etag, "etag", required=False)
        faults.check()
        answer = await update_overrides(
            self._engine,
            tenant(),
            wanted,
            subscription_id,
            overrides,
            etag=etag,
            now=self._clock.now(),
        )
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


def _parse_change(
    request: changes_pb.CancelPlanChangeRequest
    | changes_pb.PauseSubscriptionRequest
    | changes_pb.ResumeSubscriptionRequest
    | changes_pb.UpdateSubscriptionRequest,
) -> tuple[Request, Named]:
    """Read the request of a command, and which subscription it is about."""
    faults = Faults()
    with faults.gathered():
        wanted = parse_request(request, request.request_id)
    with faults.gathered():
        named = parse_named(request)
    faults.check()
    return wanted, named
