"""The gRPC face of usage."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import caller, tenant
from libs.clock import Clock
from libs.db import Snapshots
from libs.difference import Finding
from libs.verification import Counts, answers
from libs.wire import Faults, parse_text, parse_timestamp
from services.rating.operations import rating as operations
from services.rating.operations.log import LogPages
from services.rating.operations.verifying_cells import verify_cells
from services.rating.operations.verifying_fees import verify_fees
from tally.rating.v1 import usage_service_pb2 as pb
from tally.rating.v1 import usage_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class UsageServicer(usage_service_pb2_grpc.UsageServiceServicer):
    """Answers for usage."""

    def __init__(
        self, engine: AsyncEngine, worker: AsyncEngine, log: LogPages, clock: Clock
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._log = log
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

    def VerifyUsage(
        self, request: pb.VerifyUsageRequest, context: Context
    ) -> AsyncGenerator[pb.VerifyUsageResponse, None]:
        counts = Counts()
        snapshots = Snapshots(self._engine, self._worker, caller().tenant)
        return answers(pb.VerifyUsageResponse, self._verify(snapshots, counts), counts)

    async def _verify(
        self, snapshots: Snapshots, counts: Counter[str]
    ) -> AsyncGenerator[Finding, None]:
        for level in (verify_cells(snapshots, self._log, counts), verify_fees(snapshots, counts)):
            async with aclosing(level):
                async for finding in level:
                    yield finding
