"""A database as `libs` finds it in a service: migrated, with its three roles."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.embedded.databases import ROLES, create_databases, database_name, role_name
from deploy.embedded.postgres import Postgres
from libs.db import connect
from libs.migrations import upgrade

SERVICE = "ingest"  # Any would do: these tests use only the tables that all services share.


@dataclass(frozen=True)
class Database:
    """URLs of one database, by role."""

    owner_url: str
    app_url: str
    worker_url: str


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    postgres = Postgres(Path(tmp_path_factory.mktemp("postgres")))
    postgres.start()
    try:
        yield postgres
    finally:
        postgres.stop()


@pytest.fixture(scope="session")
def database(cluster: Postgres) -> Database:
    made = make_database(cluster, "shared")
    upgrade(SERVICE, made.owner_url)
    return made


def make_database(cluster: Postgres, suite: str) -> Database:
    """Make a database without tables."""
    create_databases(cluster, suite=suite, services=[SERVICE])
    name = database_name(SERVICE, suite)
    return Database(*(cluster.url(role_name(SERVICE, role), name) for role in ROLES))


@pytest.fixture
async def app(database: Database) -> AsyncIterator[AsyncEngine]:
    """An engine of the role that row-level security binds."""
    engine = connect(database.app_url, connections_max=2)
    yield engine
    await engine.dispose()


@pytest.fixture
async def worker(database: Database) -> AsyncIterator[AsyncEngine]:
    """An engine of the role that sees all tenants."""
    engine = connect(database.worker_url, connections_max=2)
    yield engine
    await engine.dispose()
