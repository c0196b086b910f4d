"""One service of the suite as a process."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from deploy.embedded import processes
from deploy.embedded.databases import SERVICES
from deploy.embedded.environment import (
    Ports,
    Surroundings,
    python_environment,
    service_environment,
)
from deploy.embedded.files import size, tail
from deploy.embedded.health import SERVING, service_health
from deploy.embedded.ports import choose_port
from deploy.embedded.processes import Process
from deploy.embedded.record import Record

STOP_SECONDS = 20.0  # More than a service takes to drain.
ASK_SECONDS = 0.25
LOG_BYTES_MAX = 64 * 1024 * 1024


class ServiceFailed(RuntimeError):
    """A service did not come up; the message holds the end of its log."""


class StartProcess(Protocol):
    """Starts the service `name` of `folder` with an environment, its output appended to `log`."""

    def __call__(
        self, name: str, *, folder: Path, log: Path, env: Mapping[str, str]
    ) -> Process: ...


def start_python(name: str, *, folder: Path, log: Path, env: Mapping[str, str]) -> Process:
    """Start a service in a Python of its own."""
    command = [sys.executable, "-P", "-m", f"services.{name}"]
    return processes.start(command, name=name, folder=folder, log=log, env=env)


@dataclass(slots=True)
class Service:
    """A service's process: started, stopped, killed and started again at the same address."""

    name: str
    address: str  # host:port
    metrics_address: str
    folder: Path
    log: Path
    environment: Mapping[str, str]
    start_process: StartProcess = start_python
    process: Process | None = None
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _log_start: int = 0

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.alive

    def start(self, extra_env: Mapping[str, str] | None = None) -> None:
        """Start it; it does not answer yet."""
        if self.alive:
            raise ServiceFailed(f"{self.name} already runs.")
        if size(self.log) > LOG_BYTES_MAX:
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        self._log_start = size(self.log)
        inherited = python_environment(os.environ)
        self.process = self.start_process(
            self.name,
            folder=self.folder,
            log=self.log,
            env={**inherited, **self.environment, **(extra_env or {})},
        )
        self.started_at = datetime.now(UTC)

    def await_serving(self, until: float) -> None:
        """Wait until it says that it serves, to the instant `until` of the monotonic clock.

        Raises:
            ServiceFailed: it ended, or does not serve in time.
        """
        while time.monotonic() < until:
            if not self.alive:
                raise ServiceFailed(f"{self.name} ended while starting:\n{self.last_words()}")
            if service_health(self.address, seconds=ASK_SECONDS) == SERVING:
                return
        raise ServiceFailed(f"{self.name} does not serve in time:\n{self.last_words()}")

    def ask_to_stop(self) -> None:
        """Let it begin to drain."""
        if self.process is not None:
            self.process.send(signal.SIGTERM)

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """Stop it; return whether it drained in time and was not killed."""
        stopped = self.process is None or self.process.stop(seconds)
        self.process = None
        return stopped

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process = None

    def last_words(self) -> str:
        """Return the end of what it wrote since its last start."""
        return tail(self.log, start=self._log_start)


def choose_ports(last: Record | None) -> dict[str, Ports]:
    """Return ports for all services: those of the last run where they are free."""
    chosen = {}
    for name in SERVICES:
        part = last.parts.get(name) if last else None
        chosen[name] = Ports(
            grpc=choose_port(_port(part.address if part else None)),
            metrics=choose_port(_port(part.metrics_address if part else None)),
        )
    return chosen


def make_service(
    name: str,
    around: Surroundings,
    *,
    folder: Path,
    log: Path,
    start_process: StartProcess = start_python,
) -> Service:
    """Return a service of the suite, not started."""
    ports = around.ports[name]
    return Service(
        name=name,
        address=ports.address,
        metrics_address=ports.metrics_address,
        folder=folder,
        log=log,
        environment=service_environment(name, around),
        start_process=start_process,
    )


def _port(address: str | None) -> int | None:
    return int(address.rpartition(":")[2]) if address else None
