"""Following usage: an answer each time that it has become another."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.clock import Clock
from libs.db import begin
from libs.errors import Exhausted, FieldInvalid, Unavailable
from libs.partition import partition_of
from libs.tenant import Tenant
from libs.worker import wait
from services.rating.domain.period import BillingPeriod, PeriodNotFound
from services.rating.operations.acks import Positions
from services.rating.operations.log import Log, count_partitions
from services.rating.operations.rating import rate_now
from services.rating.operations.usage import usage_answer
from services.rating.store.periods import load_period, load_usage_period
from services.rating.store.subscriptions import load_newest
from services.rating.store.usage import UsageMark, load_mark
from tally.rating.v1 import usage_service_pb2 as pb

WATCH_SECONDS = 0.5  # Answers are at least so far apart.
MARK_SECONDS = 2.0  # How often usage is looked at though no slice was applied.
READ_SECONDS = 30.0  # How often it is priced though its mark is the same: see `_next`.
WATCHES_MAX = 1_000  # Of one process.
TOKEN_BYTES = 16


@dataclass(frozen=True, slots=True)
class Watched:
    """Whose usage is followed, and what has been answered last: the token of it."""

    tenant: Tenant
    subscription_id: str
    token: bytes  # b"": nothing.


@dataclass(frozen=True, slots=True)
class Seen:
    """The usage of a period, and what tells whether it has changed since."""

    period: BillingPeriod
    mark: UsageMark
    answer: pb.GetUsageResponse


def parse_resume_token(token: str) -> bytes:
    """Read a resume token; an empty one stands for nothing seen yet.

    Raises:
        FieldInvalid: it is none, for the field `resume_token`.
    """
    if not token:
        return b""
    found = b""
    try:
        found = base64.b64decode(token.encode() + b"==", altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        pass
    if len(found) != TOKEN_BYTES:
        raise FieldInvalid("resume_token", "was not made by WatchUsage")
    return found


class Watches:
    """Streams of usage. Each looks when slices were applied, and prices what has changed."""

    def __init__(
        self,
        app: AsyncEngine,
        log: Log,
        clock: Clock,
        *,
        positions: Positions,
        stopping: asyncio.Event,
    ) -> None:
        self._app = app
        self._log = log
        self._clock = clock
        self._positions = positions
        self._stopping = stopping
        self._count = 0

    async def follow(self, watched: Watched) -> AsyncGenerator[pb.WatchUsageResponse, None]:
        """Give the usage of the current period unless it is as answered last, and each change.

        Ends when the subscription has ended.

        Raises:
            SubscriptionNotFound: there is none of that id.
            PeriodNotFound: it has no usage period now.
            Exhausted: the process has a thousand streams already.
            Unavailable: the process stops, or ingest or the database is away.
        """
        with self._counted():
            token = watched.token
            seen: Seen | None = await self._see(watched)
            partitions = await count_partitions(self._log)
            while seen is not None:
                present = _token_of(watched, seen.answer)
                if present != token:
                    token = present
                    yield _message(seen.answer, token)
                seen = await self._next(watched, seen, partitions)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        if self._count >= WATCHES_MAX:
            raise Exhausted(f"{WATCHES_MAX} streams of usage are open")
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    async def _next(self, watched: Watched, seen: Seen, partitions: int) -> Seen | None:
        """Wait until usage may have changed, and return it as it is; None: it has ended.

        The mark tells of the period's own days. What older usage brings into it, as a level that
        is carried over, is seen when it is priced anyway, every 30 s.
        """
        read_at = time.monotonic()
        partition = partition_of(watched.tenant, seen.period.customer_id, partitions)
        applied: list[int] = []
        marked_at = 0.0
        while True:
            if await wait(self._stopping, WATCH_SECONDS):
                raise Unavailable("the process stops: watch again with the last resume token")
            positions = await self._positions.look()
            before, applied = (
                applied,
                [positions[each] for each in sorted(positions) if each.partition == partition],
            )
            over = self._clock.now() >= seen.period.usage.end
            if not over and applied == before and time.monotonic() - marked_at < MARK_SECONDS:
                continue
            marked_at = time.monotonic()
            old = marked_at - read_at >= READ_SECONDS
            if over or old or await self._mark(watched, seen.period) != seen.mark:
                try:
                    return await self._see(watched)
                except PeriodNotFound:
                    if await self._has_ended(watched):
                        return None  # Else the next period is about to be written.

    async def _see(self, watched: Watched) -> Seen:
        async with begin(self._app, watched.tenant) as conn:
            subscription = await load_newest(conn, watched.tenant, watched.subscription_id)
            now = self._clock.now()
            period = await load_usage_period(conn, watched.tenant, subscription, now)
            # First: what changes from now on is seen by the next look.
            mark = await load_mark(conn, watched.tenant, period.term_id, period.usage_days)

        async def find(conn: AsyncConnection) -> BillingPeriod:
            return await load_period(conn, watched.tenant, period.period_id)

        _, rated = await rate_now(self._app, self._log, watched.tenant, find, closing=False)
        return Seen(period, mark, usage_answer(period, rated))

    async def _mark(self, watched: Watched, period: BillingPeriod) -> UsageMark:
        async with begin(self._app, watched.tenant) as conn:
            return await load_mark(conn, watched.tenant, period.term_id, period.usage_days)

    async def _has_ended(self, watched: Watched) -> bool:
        async with begin(self._app, watched.tenant) as conn:
            end = (await load_newest(conn, watched.tenant, watched.subscription_id)).end
        return end is not None and end <= self._clock.now()


def _token_of(watched: Watched, answer: pb.GetUsageResponse) -> bytes:
    """Return what stands for an answer; that to another subscription is another one."""
    content = answer.SerializeToString(deterministic=True)
    owner = f"{watched.tenant}:{watched.subscription_id}".encode()
    return blake2b(content, digest_size=TOKEN_BYTES, key=blake2b(owner).digest()).digest()


def _message(answer: pb.GetUsageResponse, token: bytes) -> pb.WatchUsageResponse:
    return pb.WatchUsageResponse(
        period=answer.period,
        fees=answer.fees,
        amount=answer.amount,
        high_cardinality_meter_codes=answer.high_cardinality_meter_codes,
        resume_token=base64.urlsafe_b64encode(token).decode().rstrip("="),
    )
