"""What of a suite runs at this moment, and whether it answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.embedded import leftovers, record
from deploy.embedded.health import SERVING, server_health, service_health
from deploy.embedded.record import Part

DOWN = "down"
ASK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One server or service, as found just now."""

    name: str
    health: str  # "serving", "not serving", "no answer" or "down"
    address: str  # host:port
    metrics_address: str | None
    pid: int | None  # None for a server that is not ours, or that is down.
    uptime_seconds: int | None


@dataclass(frozen=True, slots=True)
class StackStatus:
    """A suite, as found just now."""

    running: bool  # A supervisor is there, and everything answers.
    supervisor_pid: int | None  # None: it crashed, or was never there.
    test_clock: bool
    version: str
    parts: list[PartStatus]


def find_status(folder: Path) -> StackStatus | None:
    """Ask everything that is said to run from `folder`; None if nothing is said to."""
    said = record.find_record(folder)
    if said is None:
        return None
    holder = record.find_holder(folder)
    pids = leftovers.running_pids(folder)
    with ThreadPoolExecutor() as threads:
        parts = list(threads.map(lambda part: _ask(part, pids), said.parts.values()))
    return StackStatus(
        running=holder is not None and all(part.health == SERVING for part in parts),
        supervisor_pid=holder,
        test_clock=said.test_clock,
        version=said.version,
        parts=parts,
    )


def _ask(part: Part, pids: set[int]) -> PartStatus:
    ours = part.pid is not None or part.metrics_address is not None
    if ours and part.pid not in pids:
        return PartStatus(part.name, DOWN, part.address, part.metrics_address, None, None)
    ask = server_health if part.metrics_address is None else service_health
    uptime = int((datetime.now(UTC) - part.started_at).total_seconds()) if ours else None
    return PartStatus(
        name=part.name,
        health=ask(part.address, seconds=ASK_SECONDS),
        address=part.address,
        metrics_address=part.metrics_address,
        pid=part.pid,
        uptime_seconds=uptime,
    )
