"""Group commit: orders of a tenant that come while others are being done share a transaction."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from google.protobuf.message import Message
from opentelemetry.context import Context
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import telemetry
from libs.clock import Clock
from libs.errors import TallyError
from libs.requests import Request
from libs.tenant import Tenant
from services.wallet.operations.desk import Desk
from services.wallet.operations.fulfilling import Asked, Overtaken, fulfil
from services.wallet.operations.orders import Order

log = logging.getLogger(__name__)
tracer = telemetry.tracer(__name__)

GROUP_MAX = 100
GROUPS_AT_ONCE = 2  # Of different tenants; each takes a connection.

Answer = TypeVar("Answer", bound=Message)


@dataclass(frozen=True, slots=True)
class _Waiting:
    asked: Asked
    outcome: asyncio.Future[Message]


class Clerk:
    """Does orders in groups: one group of a tenant at a time, tenants in turn.

    Who comes alone is served at once. A transaction costs the same for one order as for many, and
    orders on one wallet cannot be done side by side: so they gather while others are done.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock, committed: Callable[[], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._committed = committed  # Called after each commit that may have announced facts.
        self._turns = asyncio.Semaphore(GROUPS_AT_ONCE)
        self._queues: dict[Tenant, deque[_Waiting]] = {}
        self._at_work: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether any order has not had its outcome yet, its caller gone or not."""
        return bool(self._at_work)

    async def do(self, tenant: Tenant, request: Request, order: Order[Answer]) -> Answer:
        """Do an order; a repeated `request` gets its first answer again.

        Cancelling the call takes nothing back once its group is being done.

        Raises:
            TallyError: what `order` is refused for.
            Unavailable: the outcome is not known; sent again, what was done is not done twice.
        """
        waiting = _Waiting(
            Asked(request, order, telemetry.headers()), asyncio.get_running_loop().create_future()
        )
        if tenant in self._queues:
            self._queues[tenant].append(waiting)
        else:
            self._queues[tenant] = deque([waiting])
            # A context of its own: neither the caller nor the span of whoever came first.
            serving = self._serve(tenant)
            task = asyncio.create_task(serving, name="clerk", context=contextvars.Context())
            self._at_work.add(task)
            task.add_done_callback(self._at_work.discard)
        return cast(Answer, await waiting.outcome)

    async def _serve(self, tenant: Tenant) -> None:
        """Do one group after the other until nobody of the tenant waits."""
        queue = self._queues[tenant]
        while queue:
            async with self._turns:
                group = [queue.popleft() for _ in range(min(len(queue), GROUP_MAX))]
                if group := [one for one in group if not one.outcome.done()]:  # Some have left.
                    await self._do(tenant, group)
        del self._queues[tenant]

    async def _do(self, tenant: Tenant, group: Sequence[_Waiting]) -> None:
        desk = Desk(self._engine, self._clock, tenant)
        links = telemetry.links_from(one.asked.headers.get("traceparent", "") for one in group)
        attributes = {"tally.orders": len(group)}
        try:
            with tracer.start_as_current_span(
                "fulfil", context=Context(), links=links, attributes=attributes
            ):
                outcomes = await fulfil(desk, [one.asked for one in group])
        except Overtaken:
            await self._do(tenant, group)
        except TallyError as error:
            log.warning("orders not done", extra={"orders": len(group), "error": str(error)})
            _refuse(group, error)
        except Exception as error:
            if len(group) == 1:
                _refuse(group, error)
            # One of them met a mistake of ours: the others have nothing to do with it.
            for one in group if len(group) > 1 else ():
                await self._do(tenant, [one])
        else:
            self._committed()
            for one, outcome in zip(group, outcomes, strict=True):
                if isinstance(outcome, TallyError):
                    _refuse([one], outcome)
                elif not one.outcome.done():
                    one.outcome.set_result(outcome)


def _refuse(group: Sequence[_Waiting], error: Exception) -> None:
    for one in group:
        if not one.outcome.done():
            one.outcome.set_exception(error)
