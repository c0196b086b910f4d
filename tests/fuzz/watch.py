"""What the suite looks like from outside: its processes, their memory, their logs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.files import size
from deploy.embedded.health import SERVING, service_health
from deploy.embedded.stack import Stack

HEALTH_SECONDS = 20.0
LEVELS = {"error", "critical"}
# Usage that costs more than can be billed is an invoice that waits for a person: no fault of ours.
UNBILLABLE = "libs.errors.Refused: the fees come to"


@dataclass(frozen=True, slots=True)
class Vitals:
    """How a service stood at some moment."""

    pid: int
    resident_mib: float
    log_bytes: int


def vitals_of(stack: Stack) -> dict[str, Vitals]:
    """Return the vitals of every service that runs."""
    return {
        name: Vitals(one.process.pid, _resident_mib(one.process.pid), size(one.log))
        for name, one in stack.services.items()
        if one.process is not None and one.alive
    }


def find_harm(stack: Stack, before: dict[str, Vitals], *, growth_max_mib: float) -> list[str]:
    """Return what became of the services since `before`; [] if all is well."""
    harm = []
    now = vitals_of(stack)
    for name, was in before.items():
        log = stack.services[name].log
        if name not in now or now[name].pid != was.pid:
            harm.append(f"{name} died:\n{stack.services[name].last_words()}")
            continue
        if service_health(stack.address(name), seconds=HEALTH_SECONDS) != SERVING:
            harm.append(f"{name} does not serve")
        grown = now[name].resident_mib - was.resident_mib
        if grown > growth_max_mib:
            harm.append(f"{name} grew by {grown:.0f} MiB to {now[name].resident_mib:.0f} MiB")
        harm += [f"{name} logged {line}" for line in errors_in(log, start=was.log_bytes)]
    return harm


def errors_in(log: Path, *, start: int = 0) -> list[str]:
    """Return the lines of a service's log, from byte `start` on, that tell of a mistake.

    What is not JSON did not come from our logging: a traceback of the interpreter, or a word of
    gRPC's core.
    """
    found: dict[str, str] = {}
    with log.open("rb") as lines:
        lines.seek(start)
        for raw in lines:
            text = raw.decode(errors="replace").strip()
            try:
                line = json.loads(text)
            except ValueError:
                found.setdefault(text[:60], text[:2_000])
                continue
            exception = str(line.get("exception", ""))
            if line.get("level") in LEVELS and UNBILLABLE not in exception:
                found.setdefault(f"{line['message']}{exception[-200:]}", text[:6_000])
    return list(found.values())


def has_unbillable(stack: Stack) -> bool:
    """Tell whether an invoice can never be finished, because somebody used too much."""
    return UNBILLABLE in stack.services["invoicing"].log.read_text(errors="replace")


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 1024 / 1024
