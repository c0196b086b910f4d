"""The connection under SQLAlchemy: COPY and large arrays go to asyncpg directly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import StorageFull, begin_worker
from libs.errors import Unavailable

# InternalClientError: a connection broke while asyncpg was still at work on it.
LOST = (
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    OSError,
)
PASSING = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)


@asynccontextmanager
async def driver(conn: AsyncConnection) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Give the asyncpg connection of `conn`, inside the transaction that `conn` has begun.

    SQLAlchemy begins that transaction with its first statement: execute one on `conn` before.
    A unique violation passes through.

    Raises:
        Unavailable: the database is away, or another transaction was in the way.
        StorageFull: it has no space left.
    """
    raw = (await conn.get_raw_connection()).driver_connection
    assert raw is not None and raw.is_in_transaction()
    async with _passing_errors(conn):
        yield raw


@asynccontextmanager
async def begin_driver(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Begin a transaction of the worker on the asyncpg connection itself; use it with `driver`.

    For what is too small to pay for SQLAlchemy's way of a statement: on the connection that this
    gives nothing but `driver` is used. Commits at the end, rolls back on an error.

    Raises:
        Unavailable: the database is away; whether it committed is not known.
        Exhausted: every connection is in use.
    """
    async with begin_worker(engine) as conn:
        raw = (await conn.get_raw_connection()).driver_connection
        assert raw is not None
        async with _passing_errors(conn), raw.transaction():
            yield conn


@asynccontextmanager
async def _passing_errors(conn: AsyncConnection) -> AsyncIterator[None]:
    """Turn what asyncpg raises of a database that is away or crowded into Unavailable."""
    try:
        yield
    except LOST as error:
        await conn.invalidate()
        raise Unavailable(f"the database is away: {error}") from error
    except asyncpg.DiskFullError as error:
        raise StorageFull(error) from error
    except PASSING as error:
        raise Unavailable(f"the database cannot answer now: {error}") from error
