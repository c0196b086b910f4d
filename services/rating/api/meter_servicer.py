"""The gRPC face of meters."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.errors import FieldInvalid
from libs.requests import Request
from libs.wire import Faults, parse_code, parse_page, parse_request
from services.rating.api.meter_parsing import parse_meter
from services.rating.api.trial_parsing import parse_trial
from services.rating.domain.expression import evaluate
from services.rating.domain.meter import Meter
from services.rating.operations import meters as operations
from services.rating.operations.meter_messages import evaluation_message
from tally.rating.v1 import meter_service_pb2 as pb
from tally.rating.v1 import meter_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class MeterServicer(meter_service_pb2_grpc.MeterServiceServicer):
    """Answers for meters."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def CreateMeter(
        self, request: pb.CreateMeterRequest, context: Context
    ) -> pb.CreateMeterResponse:
        wanted, meter = self._parse(request)
        return await operations.create_meter(
            self._engine, tenant(), wanted, meter, validate_only=request.validate_only
        )

    async def UpdateMeter(
        self, request: pb.UpdateMeterRequest, context: Context
    ) -> pb.UpdateMeterResponse:
        wanted, meter = self._parse(request)
        return await operations.update_meter(
            self._engine, tenant(), wanted, meter, validate_only=request.validate_only
        )

    async def ArchiveMeter(
        self, request: pb.ArchiveMeterRequest, context: Context
    ) -> pb.ArchiveMeterResponse:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            code = parse_code(request.code, "code")
        faults.check()
        return await operations.archive_meter(
            self._engine, tenant(), wanted, code, now=self._clock.now()
        )

    async def GetMeter(self, request: pb.GetMeterRequest, context: Context) -> pb.GetMeterResponse:
        code = parse_code(request.code, "code")
        return await operations.get_meter(self._engine, tenant(), code)

    async def ListMeters(
        self, request: pb.ListMetersRequest, context: Context
    ) -> pb.ListMetersResponse:
        page = parse_page(request.page_size, request.page_token)
        return await operations.list_meters(
            self._engine, tenant(), page, archived=request.include_archived
        )

    async def EvaluateExpression(
        self, request: pb.EvaluateExpressionRequest, context: Context
    ) -> pb.EvaluateExpressionResponse:
        expression, event = parse_trial(request, self._clock.now())
        return evaluation_message(evaluate(expression, event))

    def _parse(
        self, request: pb.CreateMeterRequest | pb.UpdateMeterRequest
    ) -> tuple[Request, Meter]:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            if not request.HasField("meter"):
                raise FieldInvalid("meter", "is missing")
            meter = parse_meter(request.meter, "meter", self._clock.now())
        faults.check()
        return wanted, meter
