"""The gRPC face of usage."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.wire import Faults, parse_text, parse_timestamp
from services.rating.operations import rating as operations
from tally.rating.v1 import usage_service_pb2 as pb
from tally.rating.v1 import usage_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class UsageServicer(usage_service_pb2_grpc.UsageServiceServicer):
    """Answers for usage."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    async def GetUsage(self, request: pb.GetUsageRequest, context: Context) -> pb.GetUsageResponse:
        faults = Faults()
        with faults.gathered():
            subscription_id = parse_text(request.subscription_id, "subscription_id")
        at = self._clock.now()
        with faults.gathered():
            if request.HasField("at"):
                at = parse_timestamp(request.at, "at")
        faults.check()
        return await operations.get_usage(self._engine, tenant(), subscription_id, at)
