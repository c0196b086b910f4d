"""The suite's time in tests: the servicer that moves one service's, and the driver of all four."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import peer
from libs.clock import ClockBackward, TestClock
from libs.errors import FieldInvalid, TallyError, Unavailable
from libs.idle import Idle, IdleCheck, with_loops
from tally.internal.v1 import test_clock_service_pb2 as pb
from tally.internal.v1 import test_clock_service_pb2_grpc

__all__ = [
    "ORDER",
    "Idle",
    "IdleCheck",
    "NotIdle",
    "TestClockServicer",
    "advance",
    "settle",
    "with_loops",
]

ORDER = ("ingest", "rating", "invoicing", "wallet")
PAUSE_FIRST_SECONDS = 0.005
PAUSE_MAX_SECONDS = 0.2

Clients = Mapping[str, Any]  # TestClockServiceStub by service name, each on a peer.channel.
Progress = Callable[[datetime], None]


class NotIdle(TallyError):
    """The suite was still working, or away, when the time for it was over."""

    reason = "DEADLINE_EXCEEDED"


class TestClockServicer(test_clock_service_pb2_grpc.TestClockServiceServicer):
    """Moves one service's business time and tells whether all that is due is done."""

    __test__ = False  # Not a test case, whatever its name says.

    def __init__(self, clock: TestClock, engine: AsyncEngine, idle: IdleCheck) -> None:
        self._clock = clock
        self._engine = engine
        self._idle = idle

    async def GetTime(self, request: pb.GetTimeRequest, context: Any) -> pb.GetTimeResponse:
        return pb.GetTimeResponse(now=_timestamp(self._clock.now()), moved=self._clock.moved)

    async def SetTime(self, request: pb.SetTimeRequest, context: Any) -> pb.SetTimeResponse:
        if not request.HasField("now"):
            raise FieldInvalid("now", "is missing")
        try:
            instant = request.now.ToDatetime(tzinfo=UTC)
        except (ValueError, OverflowError):
            raise FieldInvalid("now", "is not an instant from the year 1 to 9999") from None
        await self._clock.set(self._engine, instant)
        return pb.SetTimeResponse()

    async def GetIdle(self, request: pb.GetIdleRequest, context: Any) -> pb.GetIdleResponse:
        found = await self._idle()
        return pb.GetIdleResponse(
            idle=not found.busy,
            busy=found.busy,
            marks=found.marks,
            next_due_at=_timestamp(found.next_due_at) if found.next_due_at else None,
        )


@dataclass(frozen=True, slots=True)
class _Sweep:
    """One GetIdle of every service."""

    answers: dict[str, pb.GetIdleResponse]
    away: dict[str, str]

    @property
    def busy(self) -> list[str]:
        reasons = [f"{name}: {text}" for name, text in self.away.items()]
        for name, answer in self.answers.items():
            if not answer.idle:
                reasons += [f"{name}: {text}" for text in answer.busy or ["busy"]]
        return reasons

    def next_due_at(self, now: datetime) -> datetime | None:
        """Return the earliest instant after `now` at which any service has something to do."""
        dues = (
            answer.next_due_at.ToDatetime(tzinfo=UTC)
            for answer in self.answers.values()
            if answer.HasField("next_due_at")
        )
        return min((due for due in dues if due > now), default=None)


async def advance(
    clients: Clients,
    to: datetime,
    *,
    order: Sequence[str] = ORDER,
    progress: Progress | None = None,
    deadline_seconds: float = 60,
) -> None:
    """Move the suite to `to`, stopping at every due instant until all that is due is done.

    The result must not depend on `order`, in which the services learn of each instant. A suite
    whose clocks were never set jumps to `to`; one whose last move was cut off first finishes it.
    `progress` is told of each instant reached; each drain may take `deadline_seconds`.

    Raises:
        ClockBackward: the suite stands after `to`.
        NotIdle: the suite did not come to rest; the message names what keeps it busy.
    """
    if to.tzinfo is None:
        raise FieldInvalid("to", "has no time zone")
    now = await _level(clients, to.astimezone(UTC), order, deadline_seconds)
    while True:
        sweep = await _drain(clients, now, deadline_seconds)
        if progress is not None:
            progress(now)
        if now >= to:
            return
        now = min(sweep.next_due_at(now) or to, to).astimezone(UTC)
        await _set_time(clients, now, order, deadline_seconds)


async def settle(clients: Clients, *, deadline_seconds: float = 60) -> None:
    """Wait until the suite has done all that is due now.

    Raises:
        NotIdle: it did not come to rest; the message names what keeps it busy.
    """
    await _drain(clients, None, deadline_seconds)


async def _level(
    clients: Clients, to: datetime, order: Sequence[str], deadline_seconds: float
) -> datetime:
    """Bring all clocks to the latest that any of them shows, or to `to` if none was ever set."""
    times = {}
    for name in order:
        times[name] = await _ask(clients[name].GetTime, pb.GetTimeRequest(), deadline_seconds)
    moved = [answer.now.ToDatetime(tzinfo=UTC) for answer in times.values() if answer.moved]
    now = max(moved, default=to)
    if now > to:
        raise ClockBackward(f"the suite stands at {now.isoformat()}, after {to.isoformat()}")
    if len(set(moved)) != 1 or len(moved) != len(times):
        await _set_time(clients, now, order, deadline_seconds)
    return now


async def _set_time(
    clients: Clients, now: datetime, order: Sequence[str], deadline_seconds: float
) -> None:
    for name in order:
        request = pb.SetTimeRequest(now=_timestamp(now))
        await _ask(clients[name].SetTime, request, deadline_seconds)


async def _drain(clients: Clients, now: datetime | None, deadline_seconds: float) -> _Sweep:
    """Return the second of two equal sweeps in a row that found every service idle."""
    until = time.monotonic() + deadline_seconds
    pause = PAUSE_FIRST_SECONDS
    before: _Sweep | None = None
    while True:
        sweep = await _sweep(clients)
        if not sweep.busy and sweep == before:
            return sweep
        if time.monotonic() > until:
            instant = "" if now is None else f" at {now.isoformat()}"
            reasons = "; ".join(sweep.busy) or "nothing is due, but work keeps being done"
            raise NotIdle(f"not at rest{instant} after {deadline_seconds} s: {reasons}")
        if sweep.busy:  # The second look comes quickly; while there is work, look ever less often.
            pause = min(pause * 1.5, PAUSE_MAX_SECONDS)
        await asyncio.sleep(pause if sweep.busy else PAUSE_FIRST_SECONDS)
        before = sweep


async def _sweep(clients: Clients) -> _Sweep:
    asked = [peer.call(stub.GetIdle, pb.GetIdleRequest(), tenant=None) for stub in clients.values()]
    found = await asyncio.gather(*asked, return_exceptions=True)
    answers: dict[str, pb.GetIdleResponse] = {}
    away: dict[str, str] = {}
    for name, answer in zip(clients, found, strict=True):
        if isinstance(answer, Unavailable):
            away[name] = str(answer)
        elif isinstance(answer, BaseException):
            raise answer
        else:
            answers[name] = answer
    return _Sweep(answers, away)


async def _ask(method: Any, request: Any, deadline_seconds: float) -> Any:
    """Ask until the service answers: it may be on its way up again after a kill."""
    until = time.monotonic() + deadline_seconds
    while True:
        try:
            return await peer.call(method, request, tenant=None)
        except Unavailable:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(PAUSE_MAX_SECONDS)


def _timestamp(instant: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp
