"""The whole suite on one machine: two servers and four services, for `tally up` and for tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from deploy.embedded import leftovers, record
from deploy.embedded.databases import SERVICES, create_databases, database_name, role_name
from deploy.embedded.environment import Surroundings, Urls, read_urls
from deploy.embedded.nats import Nats
from deploy.embedded.ports import HOST
from deploy.embedded.postgres import Postgres
from deploy.embedded.processes import Process
from deploy.embedded.record import Lock, Part, Record
from deploy.embedded.service import (
    STOP_SECONDS,
    Service,
    StartProcess,
    choose_ports,
    make_service,
    start_python,
)
from deploy.embedded.tables import create_copies, load_alembic, upgrade

START_SECONDS = 120.0  # Four Pythons at once, on a machine that may be busy.
TOKEN_LIFETIME = timedelta(hours=1)


class Stack:
    """A suite whose data is in `folder`.

    Alone, it starts a cluster of its own. With a running `postgres`, which several stacks may
    share, it keeps its databases there under the name `suite`, copied from a migrated set.
    Databases and NATS that `env` names (<SERVICE>_DATABASE_URL and its twins, NATS_URL) are used
    as they are. As a context manager it starts and stops.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        test_clock: bool = False,
        postgres: Postgres | None = None,
        suite: str = "",
        services: Sequence[str] = SERVICES,
        start_process: StartProcess = start_python,
        env: Mapping[str, str] | None = None,
        say: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.folder = (folder or record.find_folder()).resolve()
        self.keys = record.keys_of(self.folder)
        self.logs = self.folder / "logs"
        self.traces = record.traces_of(self.folder)
        self.test_clock = test_clock
        env = os.environ if env is None else env
        self._outside = {} if postgres else read_urls(env, services)
        self._nats_url = env.get("NATS_URL") or None
        self._shared = postgres is not None
        self._suite = suite
        self._names = tuple(services)
        self._start_process = start_process
        self._say = say
        self._lock = Lock(self.folder)
        self._ready = False
        self._started_at: dict[str, datetime] = {}
        self.services: dict[str, Service] = {}
        self.postgres: Postgres | None = postgres
        if postgres is None and len(self._outside) < len(self._names):
            self.postgres = Postgres(self.folder / "postgres", log=self.logs / "postgres.log")
        self.nats: Nats | None = None
        if self._nats_url is None:
            self.nats = Nats(self.folder / "nats", log=self.logs / "nats.log")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def nats_url(self) -> str:
        """The URL of NATS, with the password."""
        return self._nats_url or (self.nats.url if self.nats else "")

    @property
    def addresses(self) -> dict[str, str]:
        """host:port of each service's gRPC server."""
        return {name: service.address for name, service in self.services.items()}

    def address(self, service: str) -> str:
        """Return host:port of a service's gRPC server."""
        return self.services[service].address

    def metrics_address(self, service: str) -> str:
        """Return host:port of a service's Prometheus text."""
        return self.services[service].metrics_address

    def url(self, service: str, role: str = "app") -> str:
        """Return the URL (postgresql+asyncpg) of a database for "owner", "app" or "worker"."""
        return self._urls(service).of(role)

    def token(
        self, tenant: int | None, scopes: Sequence[str], expires_in: timedelta = TOKEN_LIFETIME
    ) -> str:
        """Return a token; a tenant of None needs the scope `internal`."""
        return self.keys.issue(tenant=tenant, scopes=scopes, expires_in=expires_in)

    def start(self) -> None:
        """Start everything and return when all services serve; what a crash left is cleared first.

        Raises:
            AlreadyRunning: somebody runs a stack from the same folder.
            PostgresFailed, NatsFailed, ServiceFailed: with what it said.
        """
        self._lock.take()
        try:
            self.prepare()
            self._start_services()
            self._ready = True
            self.save()
        except BaseException:
            self.stop()
            raise

    def migrate_only(self) -> None:
        """Bring the databases up to date with nothing running before or after.

        Raises:
            AlreadyRunning, PostgresFailed: as `start` does.
        """
        self._lock.take()
        try:
            self.prepare()
        finally:
            self.stop()

    def prepare(self) -> None:
        """Bring up servers, keys and migrated databases, but no service."""
        for name in leftovers.stop_services(self.folder):
            self._say(f"stopped {name}, left over from a crash")
        with ThreadPoolExecutor() as threads:
            starting = [threads.submit(self.start_server, name) for name in self._servers()]
            starting.append(threads.submit(load_alembic))
            self.keys.ensure()
        for started in starting:
            started.result()
        self.migrate(self._names)

    def start_server(self, name: str) -> None:
        """Start "postgres" or "nats" if it does not run; a crash is recovered from."""
        server = self._servers()[name]
        server.start()
        self._started_at[name] = datetime.now(UTC)
        self._say(f"{name} is at {HOST}:{server.port}")

    def migrate(self, services: Sequence[str]) -> None:
        """Create and migrate the databases of `services`; those that are up to date stay."""
        made: list[str] = []
        ours = [name for name in services if name not in self._outside]
        if self.postgres is not None and self._shared:
            made = create_copies(self.postgres, suite=self._suite, services=ours)
        elif self.postgres is not None:
            create_databases(self.postgres, suite=self._suite, services=ours)
        for name in services:
            if name not in made:
                upgrade(name, self.url(name, "owner"))

    def stop(self) -> None:
        """Stop services, then NATS, then PostgreSQL; a shared cluster goes on.

        Nothing happens if we do not run it: what runs from the folder may be somebody else's.
        """
        if not self._lock.held:
            return
        for service in self.services.values():
            service.ask_to_stop()
        until = time.monotonic() + STOP_SECONDS
        for name, service in self.services.items():
            if not service.stop(max(0, until - time.monotonic())):
                self._say(f"{name} did not stop within {STOP_SECONDS:g} s and was killed")
        for server in reversed(self._servers().values()):
            server.stop()
        record.forget_record(self.folder)
        self._ready = False
        self._lock.release()

    def start_service(
        self, name: str, *, extra_env: Mapping[str, str] | None = None, wait: bool = True
    ) -> None:
        """Start a service that was killed or stopped, where it was; wait until it serves.

        Raises:
            ServiceFailed: with the end of its log.
        """
        service = self.services[name]
        service.start(extra_env)
        self.save()
        if wait:
            service.await_serving(time.monotonic() + START_SECONDS)

    def start_part(self, name: str) -> None:
        """Start a server, or a service without waiting for it to serve."""
        if name in self.services:
            self.start_service(name, wait=False)
        else:
            self.start_server(name)
            self.save()

    def stop_service(self, name: str) -> None:
        """Stop a service as an operator would: it drains."""
        self.services[name].stop()

    def kill(self, name: str) -> None:
        """Kill a service, "nats" or "postgres" as a crash would."""
        (self._servers().get(name) or self.services[name]).kill()

    def process(self, name: str) -> Process | None:
        """Return the process of a service or of a server of ours; None if it was stopped."""
        return (self._servers().get(name) or self.services[name]).process

    @property
    def parts(self) -> list[str]:
        """What is ours to run, in the order of starting."""
        return [*self._servers(), *self.services]

    def hurry(self) -> None:
        """Kill the services that still drain; the servers stop in good order, which is quick."""
        for service in self.services.values():
            if service.process is not None:
                service.process.send(signal.SIGKILL)

    def save(self) -> None:
        """Write down for `tally status` and clients what runs where."""
        parts = {name: self._server_part(name) for name in ("postgres", "nats")}
        for name, service in self.services.items():
            pid = service.process.pid if service.process else None
            parts[name] = Part(
                name, service.address, pid, service.started_at, service.metrics_address
            )
        running = Record(
            supervisor_pid=os.getpid(),
            ready=self._ready,
            test_clock=self.test_clock,
            version=record.suite_version(),
            parts=parts,
        )
        record.save_record(self.folder, running)

    def _servers(self) -> dict[str, Postgres | Nats]:
        """Return the servers that are ours to start and stop, in the order of starting."""
        servers: dict[str, Postgres | Nats] = {}
        if self.postgres is not None and not self._shared:
            servers["postgres"] = self.postgres
        if self.nats is not None:
            servers["nats"] = self.nats
        return servers

    def _server_part(self, name: str) -> Part:
        now = self._started_at.get(name) or datetime.now(UTC)
        server = self._servers().get(name)
        if server is not None:
            pid = server.process.pid if server.process else None
            return Part(name, f"{HOST}:{server.port}", pid, now)
        url = self.nats_url if name == "nats" else self.url(self._names[0])
        place = urlsplit(url)
        port = place.port or (4222 if name == "nats" else 5432)
        return Part(name, f"{place.hostname}:{port}", None, now)

    def _urls(self, service: str) -> Urls:
        if service in self._outside:
            return self._outside[service]
        if self.postgres is None:
            raise KeyError(service)
        database = database_name(service, self._suite)
        app, worker, owner = (
            self.postgres.url(role_name(service, role), database)
            for role in ("app", "worker", "owner")
        )
        return Urls(app=app, worker=worker, owner=owner)

    def _start_services(self) -> None:
        ports = choose_ports(record.find_record(self.folder))
        around = Surroundings(
            ports=ports,
            urls={name: self._urls(name) for name in self._names},
            nats_url=self.nats_url,
            keys=self.keys,
            traces=self.traces,
            test_clock=self.test_clock,
        )
        self.traces.mkdir(mode=0o700, exist_ok=True)  # Spans tell of customers, as logs do.
        for name in self._names:
            self.services[name] = make_service(
                name,
                around,
                folder=self.folder,
                log=self.logs / f"{name}.jsonl",
                start_process=self._start_process,
            )
            self.services[name].start()
        self.save()  # Before they serve: a peer, or `tally status`, may look already.
        until = time.monotonic() + START_SECONDS
        for name in self._names:
            self.services[name].await_serving(until)
            self._say(f"{name} serves at {self.address(name)}")
