"""The gRPC face of features and entitlements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.errors import FieldInvalid
from libs.wire import PAGE_BYTES_MAX, Faults, parse_code, parse_page, parse_request, parse_text
from services.rating.api.entitlement_parsing import (
    parse_check,
    parse_checks,
    parse_entitlements,
    parse_feature,
    parse_overrides,
)
from services.rating.api.waiting import ack_seconds
from services.rating.operations import entitling, features
from services.rating.operations.acks import Acks, parse_ack
from services.rating.operations.checking import Question, check_entitlements
from services.rating.operations.usage import find_customer
from tally.rating.v1 import entitlement_service_pb2 as pb
from tally.rating.v1 import entitlement_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EntitlementServicer(entitlement_service_pb2_grpc.EntitlementServiceServicer):
    """Answers for entitlements."""

    engine: AsyncEngine
    clock: Clock
    acks: Acks

    async def CreateFeature(
        self, request: pb.CreateFeatureRequest, context: Context
    ) -> pb.CreateFeatureResponse:
        """Create a feature."""
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            feature = parse_feature(request, self.clock.now())
        faults.check()
        return await features.create_feature(self.engine, tenant(), wanted, feature)

    async def GetFeature(
        self, request: pb.GetFeatureRequest, context: Context
    ) -> pb.GetFeatureResponse:
        """Return a feature."""
        code = parse_code(request.code, "code")
        return await features.get_feature(self.engine, tenant(), code)

    async def ListFeatures(
        self, request: pb.ListFeaturesRequest, context: Context
    ) -> pb.ListFeaturesResponse:
        """Return a page of features."""
        page = parse_page(request.page_size, request.page_token)
        return await features.list_features(
            self.engine, tenant(), page, archived=request.include_archived
        )

    async def ArchiveFeature(
        self, request: pb.ArchiveFeatureRequest, context: Context
    ) -> pb.ArchiveFeatureResponse:
        """Archive a feature."""
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            code = parse_code(request.code, "code")
        faults.check()
        return await features.archive_feature(
            self.engine, tenant(), wanted, code, now=self.clock.now()
        )

    async def SetPlanEntitlements(
        self, request: pb.SetPlanEntitlementsRequest, context: Context
    ) -> pb.SetPlanEntitlementsResponse:
        """Give a plan features."""
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            plan_code = parse_code(request.plan_code, "plan_code")
        with faults.gathered():
            given = parse_entitlements(request.entitlements, "entitlements")
        faults.check()
        return await entitling.set_plan_entitlements(
            self.engine, tenant(), wanted, plan_code, given
        )

    async def GetPlanEntitlements(
        self, request: pb.GetPlanEntitlementsRequest, context: Context
    ) -> pb.GetPlanEntitlementsResponse:
        """Return what a plan has."""
        plan_code = parse_code(request.plan_code, "plan_code")
        return await entitling.get_plan_entitlements(self.engine, tenant(), plan_code)

    async def SetSubscriptionEntitlements(
        self, request: pb.SetSubscriptionEntitlementsRequest, context: Context
    ) -> pb.SetSubscriptionEntitlementsResponse:
        """Let a subscription differ from its plan."""
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            subscription_id = parse_text(request.subscription_id, "subscription_id")
        with faults.gathered():
            overrides = parse_overrides(request.overrides, "overrides")
        faults.check()
        return await entitling.set_subscription_entitlements(
            self.engine,
            tenant(),
            wanted,
            subscription_id=subscription_id,
            overrides=overrides,
            now=self.clock.now(),
        )

    async def GetSubscriptionEntitlements(
        self, request: pb.GetSubscriptionEntitlementsRequest, context: Context
    ) -> pb.GetSubscriptionEntitlementsResponse:
        """Return what a subscription has."""
        subscription_id = parse_text(request.subscription_id, "subscription_id")
        return await entitling.get_subscription_entitlements(self.engine, tenant(), subscription_id)

    async def CheckEntitlement(
        self, request: pb.CheckEntitlementRequest, context: Context
    ) -> pb.CheckEntitlementResponse:
        """Tell whether one feature may be used."""
        faults = Faults()
        with faults.gathered():
            question = parse_check(request)
        with faults.gathered():
            ack = parse_ack(request.ack_token)
        faults.check()
        if ack is not None:
            [subject] = question.subjects
            customer_id = subject.customer_id or await find_customer(
                self.engine, tenant(), subject.subscription_id
            )
            await self.acks.wait(tenant(), customer_id, ack, seconds=ack_seconds(context))
        [[check]] = await self._check(question)
        return pb.CheckEntitlementResponse(check=check)

    async def CheckEntitlements(
        self, request: pb.CheckEntitlementsRequest, context: Context
    ) -> pb.CheckEntitlementsResponse:
        """Tell of many features of many subjects whether they may be used."""
        found = await self._check(parse_checks(request))
        answer = pb.CheckEntitlementsResponse(
            subjects=[pb.SubjectChecks(checks=checks) for checks in found]
        )
        if (size := answer.ByteSize()) > PAGE_BYTES_MAX:
            problem = f"the answer has {size} bytes, at most {PAGE_BYTES_MAX}: ask for fewer"
            raise FieldInvalid("subjects", problem)
        return answer

    async def _check(self, question: Question) -> list[list[pb.EntitlementCheck]]:
        return await check_entitlements(self.engine, tenant(), question, now=self.clock.now())
