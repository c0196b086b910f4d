"""A migrated database for the tests of a module, and for each test a tenant of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import db
from libs.tenant import Tenant
from tests.servers import Database

tenants = count(1)


@pytest.fixture(scope="module")
def invoicing(database: Callable[[str], Database]) -> Iterator[Database]:
    """The database of invoicing."""
    yield database("invoicing")


@pytest.fixture
async def engine(invoicing: Database) -> AsyncIterator[AsyncEngine]:
    """Connections of the app, bound by row-level security."""
    made = db.connect(invoicing.app_url, connections_max=8)
    yield made
    await made.dispose()


@pytest.fixture
async def worker(invoicing: Database) -> AsyncIterator[AsyncEngine]:
    """Connections of the worker, which sees all tenants."""
    made = db.connect(invoicing.worker_url, connections_max=2)
    yield made
    await made.dispose()


@pytest.fixture
def tenant() -> Tenant:
    """A tenant that no other test has."""
    return Tenant(next(tenants))
