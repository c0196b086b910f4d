"""A database as `libs` finds it in a service: migrated, with its three roles."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import connect
from tests.servers import Database, TestPostgres

SERVICE = "ingest"  # Any would do: these tests use only the tables that all services share.


@pytest.fixture(scope="session")
def database(postgres: TestPostgres) -> Database:
    """One migrated database for all of these tests."""
    return postgres.database(SERVICE)


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
