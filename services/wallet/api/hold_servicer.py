"""The gRPC face of holds: parse, do, answer."""

from __future__ import annotations

from collections.abc import Callable
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
from services.wallet.operations import holds
from services.wallet.operations.desk import Desk
from services.wallet.operations.messages import hold_message
from tally.wallet.v1 import hold_service_pb2 as pb
from tally.wallet.v1 import hold_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class HoldServicer(hold_service_pb2_grpc.HoldServiceServicer):
    """Answers the methods about holds."""

    engine: AsyncEngine
    clock: Clock
    committed: Callable[[], None]  # Called after each commit that may have announced facts.

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
        answer = await holds.authorize(
            self._desk(),
            identity,
            wallet_id=parse_uuid(request.wallet_id, "wallet_id"),
            amount=parse_amount(request, at_least=1),
            ttl=parse_ttl(request),
            subscription_id=parse_purpose(request),
        )
        self.committed()
        return answer

    async def Capture(self, request: pb.CaptureRequest, context: Context) -> pb.CaptureResponse:
        """Take all or part of a hold."""
        identity = parse_request(request, request.request_id)
        check_each(
            lambda: parse_hold_id(request.hold_id), lambda: parse_amount(request, at_least=0)
        )
        answer = await holds.capture(
            self._desk(),
            identity,
            hold_id=parse_hold_id(request.hold_id),
            amount=parse_amount(request, at_least=0),
            final=request.final,
        )
        self.committed()
        return answer

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.ReleaseResponse:
        """Give back what is left of a hold."""
        identity = parse_request(request, request.request_id)
        hold_id = parse_hold_id(request.hold_id)
        answer = await holds.release(self._desk(), identity, hold_id)
        self.committed()
        return answer

    async def GetHold(self, request: pb.GetHoldRequest, context: Context) -> pb.GetHoldResponse:
        """Return a hold."""
        hold = await holds.get_hold(self._desk(), parse_hold_id(request.hold_id))
        return pb.GetHoldResponse(hold=hold_message(hold))

    def _desk(self) -> Desk:
        return Desk(self.engine, self.clock, auth.tenant())
