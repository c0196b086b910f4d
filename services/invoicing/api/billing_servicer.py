"""The gRPC face of billing by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.wire import parse_request
from services.invoicing.api.add_ons import parse_one_off
from services.invoicing.operations.one_off import create_one_off
from tally.invoicing.v1 import billing_service_pb2 as pb
from tally.invoicing.v1.billing_service_pb2_grpc import BillingServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]


class BillingServicer(BillingServiceServicer):
    """Serves who makes and changes invoices by hand."""

    def __init__(self, engine: AsyncEngine, clock: Clock, committed: Callable[[], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._committed = committed  # Called after each commit that may have announced facts.

    async def CreateOneOffInvoice(
        self, request: pb.CreateOneOffInvoiceRequest, context: Context
    ) -> pb.CreateOneOffInvoiceResponse:
        command = parse_request(request, request.request_id)
        order = parse_one_off(request)
        now = self._clock.now()
        answer = await create_one_off(self._engine, tenant(), command, order, now=now)
        self._committed()
        return answer
