"""The stream of a metering session: message by message, until it is closed or breaks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from decimal import Decimal

from libs.errors import Exhausted, FieldInvalid, Unavailable
from libs.money import Money
from libs.tenant import Tenant
from libs.wire import parse_decimal, parse_money, parse_text, parse_uuid
from services.wallet.api.parsing import check_each, parse_duration, parse_positive
from services.wallet.domain.session import GRACE_DEFAULT, GRACE_MAX, GRACE_MIN, Session
from services.wallet.operations.metering import Meter
from services.wallet.operations.session_orders import OpenSession
from tally.wallet.v1 import hold_service_pb2 as pb

STREAMS_MAX = 500
VALUES_MAX = 32
SEQUENCE_MAX = 2**62
KEPT_WITHIN = 3  # A live stream is heard of this often within its grace.

Requests = AsyncIterator[pb.MeterSessionRequest]
Write = Callable[[pb.MeterSessionResponse], Awaitable[None]]


class TooManyStreams(Exhausted):
    """The process serves as many sessions as it can."""

    reason = "TOO_MANY_STREAMS"


class SessionStreams:
    """The streams of a process; all end when it stops, and may be resumed elsewhere."""

    def __init__(self, meter: Meter, stopping: asyncio.Event) -> None:
        self._meter = meter
        self._stopping = stopping
        self._count = 0

    async def serve(self, tenant: Tenant, requests: Requests, write: Write) -> None:
        """Take the steps of one session in order, each answered before the next is read.

        Raises:
            TallyError: what refuses a step; the session can be resumed.
        """
        with self._counted():
            first = await self._next(requests)
            if first is None or first.WhichOneof("step") != "open":
                raise FieldInvalid("open", "is missing: a session begins with it")
            session, answer = await self._meter.open(tenant, parse_open(first.open))
            await write(answer)
            keeper = asyncio.create_task(self._keep(tenant, session), name="session keeper")
            try:
                while not answer.closed and (request := await self._next(requests)) is not None:
                    session, answer = await self._take(tenant, session, request)
                    await write(answer)
            finally:
                keeper.cancel()

    async def _take(
        self, tenant: Tenant, session: Session, request: pb.MeterSessionRequest
    ) -> tuple[Session, pb.MeterSessionResponse]:
        match request.WhichOneof("step"):
            case "usage":
                quantities = parse_quantities(request.usage)
                sequence = request.usage.sequence
                return await self._meter.report(tenant, session, sequence, quantities)
            case "close":
                return session, await self._meter.close(tenant, session)
            case "open":
                raise FieldInvalid("open", "is there twice: the session is open")
            case _:
                raise FieldInvalid("step", "is missing")

    async def _next(self, requests: Requests) -> pb.MeterSessionRequest | None:
        """Return the next message, None after the last; stop waiting when the process stops."""
        coming = asyncio.ensure_future(_first(requests))
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait([coming, stop], return_when=asyncio.FIRST_COMPLETED)
            if coming.done():
                return coming.result()
            raise Unavailable("the process stops: resume the session")
        finally:
            stop.cancel()
            coming.cancel()

    async def _keep(self, tenant: Tenant, session: Session) -> None:
        while True:
            await asyncio.sleep(session.grace.total_seconds() / KEPT_WITHIN)
            with suppress(Unavailable, Exhausted):
                await self._meter.keep(tenant, session)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._count >= STREAMS_MAX:
            raise TooManyStreams(f"{STREAMS_MAX} sessions are metered already")
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1


def parse_open(message: pb.OpenSession) -> OpenSession:
    """Read what a session meters.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    check_each(
        lambda: parse_uuid(message.session_id, "open.session_id"),
        lambda: parse_uuid(message.wallet_id, "open.wallet_id"),
        lambda: parse_text(message.subscription_id, "open.subscription_id"),
        lambda: parse_text(message.event_type, "open.event_type"),
        lambda: parse_estimate(message),
        lambda: parse_low(message),
        lambda: parse_grace(message),
        lambda: check_count(message.properties, "open.properties"),
    )
    content = message.SerializeToString(deterministic=True)
    return OpenSession(
        session_id=parse_uuid(message.session_id, "open.session_id"),
        wallet_id=parse_uuid(message.wallet_id, "open.wallet_id"),
        subscription_id=message.subscription_id,
        event_type=message.event_type,
        properties=dict(message.properties),
        estimate=parse_estimate(message),
        low_minor=parse_low(message).amount_minor,
        grace=parse_grace(message),
        digest=hashlib.sha256(content).digest(),
    )


def parse_estimate(message: pb.OpenSession) -> Money:
    """Read what a session holds ahead of its usage."""
    if not message.HasField("estimate"):
        raise FieldInvalid("open.estimate", "is missing")
    return parse_positive(message.estimate, "open.estimate")


def parse_low(message: pb.OpenSession) -> Money:
    """Read below what a session is low: by default its estimate."""
    if not message.HasField("low"):
        return parse_estimate(message)
    low = parse_money(message.low, "open.low")
    if low.currency != message.estimate.currency_code:
        raise FieldInvalid("open.low.currency_code", "is not that of the estimate")
    return low


def parse_grace(message: pb.OpenSession) -> timedelta:
    """Read how long a broken session can be resumed."""
    if not message.HasField("grace"):
        return GRACE_DEFAULT
    return parse_duration(message.grace, "open.grace", GRACE_MIN, GRACE_MAX)


def parse_quantities(message: pb.SessionUsage) -> dict[str, Decimal]:
    """Read the totals of a session."""
    if not 0 < message.sequence <= SEQUENCE_MAX:
        raise FieldInvalid("usage.sequence", f"is {message.sequence}, must be above 0")
    if not message.quantities:
        raise FieldInvalid("usage.quantities", "are missing")
    check_count(message.quantities, "usage.quantities")
    return {
        name: parse_decimal(text, f"usage.quantities[{name}]", at_least=Decimal(0))
        for name, text in sorted(message.quantities.items())
    }


def check_count(values: Mapping[str, str], field: str) -> None:
    """Refuse more values than an event of a session may have."""
    if len(values) > VALUES_MAX:
        raise FieldInvalid(field, f"are {len(values)}, may be {VALUES_MAX}")


async def _first(requests: Requests) -> pb.MeterSessionRequest | None:
    return await anext(requests, None)
