"""The gRPC face of holds: parse, do, answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import auth
from libs.clock import Clock
from libs.wire import parse_request, parse_uuid
from services.wallet.api.parsing import (
    check_each,
    parse_amount,
    parse_hold_id,
    parse_purpose,
    parse_ttl,
)
from services.wallet.operations.clerk import Clerk
from services.wallet.operations.desk import Desk
from services.wallet.operations.holds import get_hold
from services.wallet.operations.messages import hold_message
from services.wallet.operations.orders import Authorize, Capture, Release
from tally.wallet.v1 import hold_service_pb2 as pb
from tally.wallet.v1 import hold_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class HoldServicer(hold_service_pb2_grpc.HoldServiceServicer):
    """Answers the methods about holds."""

    engine: AsyncEngine
    clock: Clock
    clerk: Clerk

    async def Authorize(
        self, request: pb.AuthorizeRequest, context: Context
    ) -> pb.AuthorizeResponse:
        """Reserve part of a wallet."""
        identity = parse_request(request, request.request_id)
        check_each(
            lambda: parse_uuid(request.wallet_id, "wallet_id"),
            lambda: parse_amount(request, at_least=1),
            lambda: parse_ttl(request),
            lambda: parse_purpose(request),
        )
        order = Authorize(
            wallet_id=parse_uuid(request.wallet_id, "wallet_id"),
            amount=parse_amount(request, at_least=1),
            ttl=parse_ttl(request),
            subscription_id=parse_purpose(request),
        )
        return await self.clerk.do(auth.tenant(), identity, order)

    async def Capture(self, request: pb.CaptureRequest, context: Context) -> pb.CaptureResponse:
        """Take all or part of a hold."""
        identity = parse_request(request, request.request_id)
        check_each(
            lambda: parse_hold_id(request.hold_id), lambda: parse_amount(request, at_least=0)
        )
        order = Capture(
            hold_id=parse_hold_id(request.hold_id),
            amount=parse_amount(request, at_least=0),
            final=request.final,
        )
        return await self.clerk.do(auth.tenant(), identity, order)

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        """Give back what is left of a hold."""
        identity = parse_request(request, request.request_id)
        order = Release(hold_id=parse_hold_id(request.hold_id))
        return await self.clerk.do(auth.tenant(), identity, order)

    async def GetHold(self, request: pb.GetHoldRequest, context: Context) -> pb.GetHoldResponse:
        """Return a hold."""
        desk = Desk(self.engine, self.clock, auth.tenant())
        hold = await get_hold(desk, parse_hold_id(request.hold_id))
        return pb.GetHoldResponse(hold=hold_message(hold))
