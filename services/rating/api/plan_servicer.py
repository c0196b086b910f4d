"""The gRPC face of plans."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.errors import FieldInvalid
from libs.wire import Faults, parse_code, parse_currency, parse_page, parse_request, parse_text
from services.rating.api.plan_parsing import parse_version
from services.rating.api.preview_parsing import parse_preview
from services.rating.domain.plan import Plan, PlanVersion
from services.rating.operations import plans as operations
from services.rating.operations.previewing import load_meter_of, preview_events, preview_units
from tally.rating.v1 import plan_service_pb2 as pb
from tally.rating.v1 import plan_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class PlanServicer(plan_service_pb2_grpc.PlanServiceServicer):
    """Answers for plans."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def CreatePlan(
        self, request: pb.CreatePlanRequest, context: Context
    ) -> pb.CreatePlanResponse:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            plan = self._parse_plan(request)
        with faults.gathered():
            version = self._parse_version(request)
        faults.check()
        return await operations.create_plan(
            self._engine,
            tenant(),
            wanted,
            plan=plan,
            version=version,
            validate_only=request.validate_only,
        )

    async def CreatePlanVersion(
        self, request: pb.CreatePlanVersionRequest, context: Context
    ) -> pb.CreatePlanVersionResponse:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            plan_code = parse_code(request.plan_code, "plan_code")
        with faults.gathered():
            version = self._parse_version(request)
        faults.check()
        return await operations.create_version(
            self._engine,
            tenant(),
            wanted,
            plan_code=plan_code,
            version=version,
            validate_only=request.validate_only,
        )

    async def ArchivePlan(
        self, request: pb.ArchivePlanRequest, context: Context
    ) -> pb.ArchivePlanResponse:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            code = parse_code(request.code, "code")
        faults.check()
        return await operations.archive_plan(
            self._engine, tenant(), wanted, code, now=self._clock.now()
        )

    async def GetPlan(self, request: pb.GetPlanRequest, context: Context) -> pb.GetPlanResponse:
        faults = Faults()
        with faults.gathered():
            code = parse_code(request.code, "code")
        if request.version < 0:
            faults.add("version", f"is {request.version}, must not be negative")
        faults.check()
        return await operations.get_plan(self._engine, tenant(), code, request.version)

    async def ListPlans(
        self, request: pb.ListPlansRequest, context: Context
    ) -> pb.ListPlansResponse:
        page = parse_page(request.page_size, request.page_token)
        return await operations.list_plans(
            self._engine, tenant(), page, archived=request.include_archived
        )

    async def PreviewPrice(
        self, request: pb.PreviewPriceRequest, context: Context
    ) -> pb.PreviewPriceResponse:
        wanted = parse_preview(request, tenant(), self._clock.now())
        if wanted.units is not None:
            return preview_units(wanted.charge, wanted.currency, wanted.units)
        meter = wanted.meter or await load_meter_of(self._engine, tenant(), wanted.charge)
        return await asyncio.to_thread(
            preview_events, wanted.charge, wanted.currency, meter, wanted.events
        )

    def _parse_plan(self, request: pb.CreatePlanRequest) -> Plan:
        if not request.HasField("plan"):
            raise FieldInvalid("plan", "is missing")
        message = request.plan
        faults = Faults()
        with faults.gathered():
            code = parse_code(message.code, "plan.code")
        with faults.gathered():
            name = parse_text(message.name, "plan.name", required=False)
        with faults.gathered():
            currency = parse_currency(message.currency_code, "plan.currency_code")
        faults.check()
        return Plan(uuid4(), code, name or code, currency, self._clock.now())

    def _parse_version(
        self, request: pb.CreatePlanRequest | pb.CreatePlanVersionRequest
    ) -> PlanVersion:
        if not request.HasField("version"):
            raise FieldInvalid("version", "is missing")
        return parse_version(request.version, self._clock.now())
