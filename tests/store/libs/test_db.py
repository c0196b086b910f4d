"""What a database that is away, starting or crowded looks like to those who use it."""

from __future__ import annotations

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.embedded.databases import connect as connect_as_superuser
from libs.db import begin_worker, connect, transient_errors
from libs.driver import begin_driver, driver
from libs.errors import Unavailable
from tests.servers import Database, TestPostgres


@pytest.mark.parametrize(
    "raised",
    [
        asyncpg.CannotConnectNowError("the database system is starting up"),
        asyncpg.TooManyConnectionsError("sorry, too many clients already"),
        asyncpg.ConnectionDoesNotExistError("connection was closed"),
        asyncpg.InterfaceError("connection is closed"),
        ConnectionRefusedError("connection refused"),
    ],
    ids=lambda raised: type(raised).__name__,
)
def test_what_passes_while_connecting_is_unavailable(raised: Exception) -> None:
    """asyncpg raises these bare: there is no connection that SQLAlchemy could speak for."""
    with pytest.raises(Unavailable), transient_errors():
        raise raised


def test_a_wrong_password_is_no_passing_trouble() -> None:
    with pytest.raises(asyncpg.InvalidPasswordError), transient_errors():
        raise asyncpg.InvalidPasswordError("password authentication failed")


async def test_a_database_that_takes_no_connections_is_unavailable(
    postgres: TestPostgres, database: Database
) -> None:
    name = database.worker_url.rpartition("/")[2]
    conn = await connect_as_superuser(postgres.server, "postgres")
    engine = connect(database.worker_url, connections_max=1)
    try:
        await conn.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
        with pytest.raises(Unavailable, match="too many connections"):
            async with begin_worker(engine):
                raise AssertionError("a connection was given")
    finally:
        await conn.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT -1')
        await conn.close()
        await engine.dispose()


async def test_a_connection_that_broke_within_the_driver_is_unavailable_and_given_up(
    database: Database,
) -> None:
    """asyncpg says so of a server that died while it was at work on an answer."""
    engine = connect(database.worker_url, connections_max=1)
    try:
        broken = await _backend(engine)
        with pytest.raises(Unavailable):
            async with begin_driver(engine):
                raise asyncpg.InternalClientError("cannot switch to state 15")
        assert await _backend(engine) != broken
    finally:
        await engine.dispose()


async def _backend(engine: AsyncEngine) -> int:
    async with begin_driver(engine) as conn, driver(conn) as raw:
        return int(await raw.fetchval("SELECT pg_backend_pid()"))
