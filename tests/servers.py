"""A PostgreSQL and its databases for tests: made once, then copied."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from deploy.embedded.databases import (
    connect,
    create_databases,
    database_name,
    drop_databases,
    role_name,
    run_apart,
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
# Rows are deleted past triggers and constraints: far faster than a new copy of all files.
# Whoever is still connected may hold locks, also such as outlast a transaction.
EMPTY = """
DO $$
DECLARE
    full_one regclass;
BEGIN
    PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid();
    SET LOCAL session_replication_role = replica;
    FOR full_one IN
        SELECT oid FROM pg_class WHERE relkind = 'r' AND relname <> 'alembic_version'
            AND relnamespace = 'public'::regnamespace
    LOOP
        EXECUTE format('DELETE FROM %s', full_one);
    END LOOP;
    PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence;
END $$
"""


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
    _free: dict[str, list[Database]] = field(default_factory=lambda: defaultdict(list))
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

    @contextmanager
    def lent(self, service: str) -> Iterator[Database]:
        """Lends an empty, migrated database: what was stored meanwhile is deleted afterwards.

        Its schema is to stay as it is.
        """
        free = self._free[service]
        mine = free.pop() if free else self.database(service)
        yield mine
        run_apart(self._empty(mine))
        free.append(mine)

    async def _empty(self, database: Database) -> None:
        conn = await connect(self.server, urlsplit(database.owner_url).path.lstrip("/"))
        try:
            await conn.execute(EMPTY)
        finally:
            await conn.close()

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
