"""The gRPC face of meters."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.wire import (
    Faults,
    check_size,
    parse_code,
    parse_enum,
    parse_page,
    parse_request,
    parse_text,
)
from services.rating.domain.meter import Aggregation, Dimension, Meter, meter_faults
from services.rating.operations import meters as operations
from tally.rating.v1 import meter_service_pb2 as pb
from tally.rating.v1 import meter_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]

KEY_BYTES_MAX = 64  # As of the properties of an event.
VALUE_BYTES_MAX = 1_024
METER_BYTES_MAX = 256 * 1024


class MeterServicer(meter_service_pb2_grpc.MeterServiceServicer):
    """Answers for meters."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def CreateMeter(
        self, request: pb.CreateMeterRequest, context: Context
    ) -> pb.CreateMeterResponse:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            meter = self._parse_meter(request)
        faults.check()
        return await operations.create_meter(
            self._engine, tenant(), wanted, meter, validate_only=request.validate_only
        )

    async def GetMeter(self, request: pb.GetMeterRequest, context: Context) -> pb.GetMeterResponse:
        code = parse_code(request.code, "code")
        return await operations.get_meter(self._engine, tenant(), code)

    async def ListMeters(
        self, request: pb.ListMetersRequest, context: Context
    ) -> pb.ListMetersResponse:
        page = parse_page(request.page_size, request.page_token)
        return await operations.list_meters(self._engine, tenant(), page)

    def _parse_meter(self, request: pb.CreateMeterRequest) -> Meter:
        faults = Faults()
        if not request.HasField("meter"):
            faults.add("meter", "is missing")
            faults.check()
        message = request.meter
        check_size(message, "meter", bytes_max=METER_BYTES_MAX)
        with faults.gathered():
            code = parse_code(message.code, "meter.code")
        with faults.gathered():
            name = parse_text(message.name, "meter.name", required=False)
        with faults.gathered():
            event_type = parse_text(message.event_type, "meter.event_type", required=False)
        with faults.gathered():
            aggregation = Aggregation(
                parse_enum(
                    message.aggregation,
                    pb.Aggregation,
                    "meter.aggregation",
                    prefix="AGGREGATION_",
                )
            )
        with faults.gathered():
            value_property = parse_text(
                message.value_property,
                "meter.value_property",
                bytes_max=KEY_BYTES_MAX,
                required=False,
            )
        dimensions: list[Dimension] = []
        for place, each in enumerate(message.dimensions):
            with faults.gathered():
                dimensions.append(_parse_dimension(each, f"meter.dimensions[{place}]"))
        faults.check()
        meter = Meter(
            meter_id=uuid4(),
            code=code,
            name=name or code,
            event_type=event_type or code,
            aggregation=aggregation,
            value_property=value_property,
            dimensions=tuple(dimensions),
            created_at=self._clock.now(),
        )
        for fault in meter_faults(meter, "meter"):
            faults.add(fault.field, fault.problem)
        faults.check()
        return meter


def _parse_dimension(message: pb.Dimension, path: str) -> Dimension:
    faults = Faults()
    with faults.gathered():
        key = parse_text(message.key, f"{path}.key", bytes_max=KEY_BYTES_MAX)
    for place, value in enumerate(message.values):
        with faults.gathered():
            parse_text(value, f"{path}.values[{place}]", bytes_max=VALUE_BYTES_MAX)
    faults.check()
    return Dimension(key, tuple(message.values))
