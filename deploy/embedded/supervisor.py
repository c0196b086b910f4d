"""Keeps a stack running: what ends is started again, at first soon, then less and less often."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from deploy.embedded.nats import NatsFailed
from deploy.embedded.postgres import PostgresFailed
from deploy.embedded.processes import Process

DELAY_SECONDS = 0.5
DELAY_SECONDS_MAX = 30.0
STEADY_SECONDS = 60.0  # Whoever ran for so long has recovered: the next delay is short again.

Say = Callable[[str], None]


class Supervised(Protocol):
    """What the supervisor needs of a stack."""

    @property
    def parts(self) -> list[str]:
        """The names of what should run."""

    def process(self, name: str) -> Process | None:
        """The process behind a name, None if there is none."""

    def start_part(self, name: str) -> None:
        """Start it again."""


@dataclass(slots=True)
class _History:
    started: float
    failures: int = 0
    due: float | None = None  # When to start it again; None while it runs.


class Supervisor:
    """Watches the parts of a stack. Time is passed in: seconds of a monotonic clock."""

    def __init__(self, stack: Supervised, say: Say) -> None:
        self._stack = stack
        self._say = say
        self._histories: dict[str, _History] = {}

    def mend(self, now: float) -> None:
        """Look at every part once: note what has ended, start what is due."""
        for name in self._stack.parts:
            history = self._histories.setdefault(name, _History(started=now))
            process = self._stack.process(name)
            if process is not None and process.alive:
                if now - history.started >= STEADY_SECONDS:
                    history.failures = 0
            elif history.due is None:
                self._note_end(name, history, process, now)
            elif now >= history.due:
                self._start(name, history, now)

    def _note_end(self, name: str, history: _History, process: Process | None, now: float) -> None:
        delay = min(DELAY_SECONDS * 2**history.failures, DELAY_SECONDS_MAX)
        history.failures += 1
        history.due = now + delay
        how = describe_end(process.exit_status if process else None)
        self._say(f"{name} {how}; it starts again in {delay:g} s")

    def _start(self, name: str, history: _History, now: float) -> None:
        history.started, history.due = now, None
        try:
            self._stack.start_part(name)
        except (PostgresFailed, NatsFailed, OSError) as error:
            self._say(f"{name} could not be started: {error}")
        else:
            self._say(f"{name} was started again")


def run(supervisor: Supervisor, *, every_seconds: float = 0.2) -> None:
    """Mend for ever; an exception, such as KeyboardInterrupt, ends it."""
    while True:
        supervisor.mend(time.monotonic())
        time.sleep(every_seconds)


def describe_end(exit_status: int | None) -> str:
    """Say how a process ended: "was killed by SIGKILL", "ended with status 1"."""
    if exit_status is None:
        return "ended"
    if exit_status >= 0:
        return f"ended with status {exit_status}"
    try:
        return f"was killed by {signal.Signals(-exit_status).name}"
    except ValueError:
        return f"was killed by signal {-exit_status}"
