"""How the clients of a round call: with patience, and an eye on what they may be answered."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc

from cli.client import Refusal, refusal
from tests.wait import until

ATTEMPT_SECONDS = 15.0
PATIENCE_SECONDS = 90.0  # More than any process takes to come back, on a busy machine too.
PAUSE_SECONDS = 0.05

# The outcome is not known: it may have happened.
UNKNOWN = {"UNAVAILABLE", "DEADLINE_EXCEEDED"}
# It did not happen, and may be asked for again.
LATER = {"RESOURCE_EXHAUSTED"}

Answer = TypeVar("Answer")


class GaveUp(Exception):
    """The client stopped asking without having been answered."""


class Refused(Exception):
    """The service refused for a reason that the client was ready for."""

    def __init__(self, refused: Refusal) -> None:
        super().__init__(refused.reason)
        self.refusal = refused


class Strange(Exception):
    """An answer that no client should ever get, whatever was killed."""


@dataclass(slots=True)
class Caller:
    """Calls for all clients of a world, and counts what is in flight."""

    in_flight: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    calls: int = 0
    unanswered: int = 0  # Attempts whose outcome was unknown.

    async def ask(
        self,
        method: Callable[..., Awaitable[Answer]],
        request: Any,
        *,
        ready_for: frozenset[str] = frozenset(),
        patient: bool = True,
    ) -> Answer:
        """Return the answer, asking again with the same request for as long as it is unknown.

        Raises:
            Refused: for a reason among `ready_for`.
            GaveUp: it was not answered; who is not `patient` gives up after the first attempt.
            Strange: it was answered with anything else; noted, too.
        """
        deadline = time.monotonic() + (PATIENCE_SECONDS if patient else 0)
        name = type(request).__name__.removesuffix("Request")
        while True:
            answer = await self._attempt(name, method, request, ready_for)
            if answer is not None:
                return answer
            if time.monotonic() >= deadline:
                if patient:
                    self.strange.append(f"{name} was not answered in {PATIENCE_SECONDS:g} s")
                raise GaveUp(name)
            await pause(PAUSE_SECONDS)

    async def _attempt(
        self,
        name: str,
        method: Callable[..., Awaitable[Answer]],
        request: Any,
        ready_for: frozenset[str],
    ) -> Answer | None:
        """Return the answer, None if there was none."""
        self.in_flight[name] += 1
        self.calls += 1
        try:
            return await method(request, timeout=ATTEMPT_SECONDS)
        except grpc.aio.AioRpcError as error:
            found = refusal(error)
            if found.code in UNKNOWN:
                self.unanswered += 1
                return None
            if found.code in LATER:
                return None
            if found.reason in ready_for:
                raise Refused(found) from None
            said = f"{name} was answered with {found.code} {found.reason}: {found.message}"
            self.strange.append(said)
            raise Strange(said) from None
        finally:
            self.in_flight[name] -= 1

    def busy_with(self) -> str:
        """Return what is in flight: "RecordEvents 4, Authorize 1"."""
        return ", ".join(f"{name} {count}" for name, count in self.in_flight.items() if count)


async def pause(seconds: float) -> None:
    """Let `seconds` pass: clients do not all call at once, and kills come at their moment."""
    moment = time.monotonic() + seconds
    await until(lambda: time.monotonic() >= moment, seconds=seconds + 1)
