"""The connection under SQLAlchemy: COPY and large arrays go to asyncpg directly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.db import StorageFull
from libs.errors import Unavailable

LOST = (asyncpg.InterfaceError, asyncpg.PostgresConnectionError, OSError)
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
    try:
        yield raw
    except LOST as error:
        await conn.invalidate()
        raise Unavailable(f"the database is away: {error}") from error
    except asyncpg.DiskFullError as error:
        raise StorageFull(error) from error
    except PASSING as error:
        raise Unavailable(f"the database cannot answer now: {error}") from error
