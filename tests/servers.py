"""A PostgreSQL and its databases for tests: made once, then copied."""

import itertools
from dataclasses import dataclass, field
from pathlib import Path

from deploy.embedded.databases import (
    create_databases,
    database_name,
    drop_databases,
    role_name,
)
from deploy.embedded.postgres import Postgres
from deploy.embedded.tables import BLANK
from libs.migrations import upgrade

TEMPLATE = BLANK  # That of stacks, too: what one has migrated serves the other.
# What a test stores need not outlive the machine's power.
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
}


@dataclass(frozen=True, slots=True)
class Database:
    """A database of one service, by the URLs of its three roles."""

    service: str
    app_url: str
    worker_url: str
    owner_url: str


@dataclass(slots=True)
class TestPostgres:
    """A cluster on which each test may have databases of its own."""

    __test__ = False  # Not a test case, whatever its name says.

    server: Postgres
    _migrated: set[str] = field(default_factory=set)
    _suites: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @classmethod
    def start(cls, folder: Path) -> "TestPostgres":
        """Makes a cluster in `folder` and starts it."""
        server = Postgres(folder, settings=SETTINGS)
        server.start()
        return cls(server)

    def stop(self) -> None:
        """Stops it."""
        self.server.stop()

    def suite_name(self) -> str:
        """Returns a name that no suite on this cluster had."""
        return f"t{next(self._suites)}"

    def database(self, service: str) -> Database:
        """Returns a new, empty, migrated database of the service."""
        suite = self.suite_name()
        self._prepare(service)
        create_databases(self.server, suite=suite, template=TEMPLATE, services=[service])
        return self._at(service, suite)

    def unmigrated(self, service: str) -> Database:
        """Returns a new database of the service, without tables."""
        suite = self.suite_name()
        create_databases(self.server, suite=suite, services=[service])
        return self._at(service, suite)

    def drop(self, suite: str) -> None:
        """Drops the databases of a suite."""
        drop_databases(self.server, suite=suite)

    def _at(self, service: str, suite: str) -> Database:
        """Returns the URLs of a database that is there."""
        name = database_name(service, suite)
        app, worker, owner = (
            self.server.url(role_name(service, role), name) for role in ("app", "worker", "owner")
        )
        return Database(service, app, worker, owner)

    def _prepare(self, service: str) -> None:
        """Migrates the database that the others of this service are copied from."""
        if service not in self._migrated:
            create_databases(self.server, suite=TEMPLATE, services=[service])
            upgrade(service, self._at(service, TEMPLATE).owner_url)
            self._migrated.add(service)
