"""What a crash left running: found by marks that the processes carry, never by a number alone."""

from __future__ import annotations

import signal
from pathlib import Path

from deploy.embedded import processes, record
from deploy.embedded.databases import SERVICES
from deploy.embedded.nats import Nats
from deploy.embedded.postgres import Postgres
from deploy.embedded.service import STOP_SECONDS


def stop_services(folder: Path) -> list[str]:
    """Stop the services that still run from `folder`; return their names."""
    found = processes.find_started_in(folder)
    names = [name for name in SERVICES if name in found]
    running = [process for name in names for process in found[name]]
    for process in running:
        process.send(signal.SIGTERM)
    for late in processes.wait_for_all(running, STOP_SECONDS):
        late.kill()
    return names


def stop_all(folder: Path) -> list[str]:
    """Stop services, then NATS, then PostgreSQL; return the names of those that ran.

    Only when nobody holds the folder: whoever does would start them again.
    """
    names = stop_services(folder)
    nats, postgres = Nats(folder / "nats"), Postgres(folder / "postgres")
    if nats.stop_leftover():
        names.append("nats")
    if postgres.stop_leftover():
        names.append("postgres")
    record.forget_record(folder)
    return names


def running_pids(folder: Path) -> set[int]:
    """Return the processes that run from `folder` now."""
    started = processes.find_started_in(folder)
    pids = {process.pid for same in started.values() for process in same}
    nats = processes.find_started_in(folder / "nats").get("nats", [])
    working = processes.find_working_in(folder / "postgres" / "data")
    return pids | {process.pid for process in (*nats, *working)}
