"""The gRPC face of holds: parse, do, answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import auth
from libs.clock import Clock
from libs.wire import (
    page_token,
    parse_enum,
    parse_page,
    parse_page_token,
    parse_request,
    parse_text,
    parse_uuid,
)
from services.wallet.api.parsing import (
    check_each,
    parse_amount,
    parse_extension,
    parse_hold_id,
    parse_purpose,
    parse_ttl,
)
from services.wallet.api.session_stream import SessionStreams
from services.wallet.domain.hold import HoldStatus
from services.wallet.operations.clerk import Clerk
from services.wallet.operations.desk import Desk
from services.wallet.operations.holds import get_hold, list_holds
from services.wallet.operations.messages import hold_message
from services.wallet.operations.orders import Authorize, Capture, ExtendHold, Release
from tally.wallet.v1 import hold_service_pb2 as pb
from tally.wallet.v1 import hold_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class HoldServicer(hold_service_pb2_grpc.HoldServiceServicer):
    """Answers the methods about holds."""

    engine: AsyncEngine
    clock: Clock
    clerk: Clerk
    streams: SessionStreams

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

    async def ExtendHold(
        self, request: pb.ExtendHoldRequest, context: Context
    ) -> pb.ExtendHoldResponse:
        """Reserve more for a hold, or for longer."""
        identity = parse_request(request, request.request_id)
        check_each(lambda: parse_hold_id(request.hold_id), lambda: parse_extension(request))
        more, ttl = parse_extension(request)
        order = ExtendHold(hold_id=parse_hold_id(request.hold_id), more=more, ttl=ttl)
        return await self.clerk.do(auth.tenant(), identity, order)

    async def ListHolds(
        self, request: pb.ListHoldsRequest, context: Context
    ) -> pb.ListHoldsResponse:
        """List the holds of a wallet, newest first."""
        wallet_id = parse_uuid(request.wallet_id, "wallet_id")
        status = (
            parse_enum(request.status, pb.HoldStatus, "status", prefix="HOLD_STATUS_")
            if request.status
            else ""
        )
        of = parse_text(request.subscription_id, "subscription_id", required=False)
        page = parse_page(request.page_size, request.page_token)
        before: Any = parse_page_token(page.token, datetime, str)
        found = await list_holds(
            Desk(self.engine, self.clock, auth.tenant()),
            wallet_id,
            status=HoldStatus(status) if status else None,
            subscription_id=of or None,
            before=before or None,
            limit=page.size + 1,
        )
        shown = found[: page.size]
        last = shown[-1] if len(found) > len(shown) else None
        return pb.ListHoldsResponse(
            holds=[hold_message(hold) for hold in shown],
            next_page_token=page_token(last.created_at, last.hold_id) if last else "",
        )

    async def MeterSession(  # type: ignore[override]  # It writes to the context.
        self, requests: AsyncIterator[pb.MeterSessionRequest], context: Context
    ) -> None:
        """Meter usage against a wallet while it happens."""
        await self.streams.serve(auth.tenant(), requests, context.write)

    async def GetHold(self, request: pb.GetHoldRequest, context: Context) -> pb.GetHoldResponse:
        """Return a hold."""
        desk = Desk(self.engine, self.clock, auth.tenant())
        hold = await get_hold(desk, parse_hold_id(request.hold_id))
        return pb.GetHoldResponse(hold=hold_message(hold))
