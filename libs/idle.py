"""Whether a service has done all that is due: what the test clock waits for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.worker import Background, Loop


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """What a service has left to do at this instant of business time."""

    busy: list[str]  # Why it is not idle, for people: "2 billing periods are due".
    marks: dict[str, int]  # Counters that change whenever work was done.
    next_due_at: datetime | None  # When it next has something to do; None: nothing is known.


IdleCheck = Callable[[], Awaitable[Idle]]


def with_loops(idle: IdleCheck, background: Sequence[Background]) -> IdleCheck:
    """Return `idle` that also counts a loop as busy while it was kicked or keeps failing."""
    loops = [one for one in background if isinstance(one, Loop)]

    async def idle_with_loops() -> Idle:
        found = await idle()
        kicked = [f"{loop.name} was kicked" for loop in loops if loop.pending]
        failing = [f"{loop.name} failed and tries again" for loop in loops if loop.failures]
        return Idle(
            busy=[*found.busy, *kicked, *failing],
            marks=found.marks | {f"loop {loop.name}": loop.worked for loop in loops},
            next_due_at=found.next_due_at,
        )

    return idle_with_loops
