"""The way into a service's database: one tenant's transaction, or the worker's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import asyncpg
from sqlalchemy import Text, bindparam, func, select, text
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from libs.errors import Exhausted, Unavailable
from libs.tenant import Tenant

POOL_TIMEOUT_S = 5
DISK_FULL = "53100"
FULL_RETRY_S = 5.0
# Serialization failure, deadlock, statement timeout, admin shutdown, crash shutdown, starting up,
# too many connections: the transaction is gone and the same call may work.
TRANSIENT_STATES = {"40001", "40P01", "57014", "57P01", "57P02", "57P03", "53300", "25P03"}

SET_TENANT = select(func.set_config("tally.tenant", bindparam("tenant", type_=Text), True))
SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
SNAPSHOT_TIMEOUT = "SET LOCAL statement_timeout = '10min'"


class StorageFull(Exhausted):
    """The database has no space left: the transaction is undone, the same call may work later."""

    reason = "STORAGE_FULL"

    def __init__(self, said: object) -> None:
        super().__init__(
            f"the database has no space left ({said}); nothing of this was stored; it goes on by "
            "itself as soon as its operator gives it space",
            retry_after=FULL_RETRY_S,
        )


def connect(url: str, *, connections_max: int, application_name: str = "tally") -> AsyncEngine:
    """Return an engine that connects at first use and never holds more than `connections_max`."""
    return create_async_engine(
        url,
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=False,  # A round trip each time; a lost connection is Unavailable instead.
        connect_args={
            "timeout": 5,
            "server_settings": {"application_name": application_name, "timezone": "UTC"},
        },
    )


@asynccontextmanager
async def begin(engine: AsyncEngine, tenant: Tenant) -> AsyncIterator[AsyncConnection]:
    """Begin a transaction that sees `tenant` only; commit at the end, roll back on an error.

    Row-level security compares every row with `tally.tenant`. It is set for this transaction
    alone: a setting of the session would leak to the connection's next user.

    Raises:
        Unavailable: the database is away, or another transaction was in the way: try again.
        Exhausted: every connection is in use.
        StorageFull: the database has no space left.
    """
    with transient_errors():
        async with engine.begin() as conn:
            await conn.execute(SET_TENANT, {"tenant": str(tenant)})
            yield conn


@asynccontextmanager
async def begin_worker(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """Begin a transaction of the worker, which sees all tenants. Errors as in `begin`."""
    with transient_errors():
        async with engine.begin() as conn:
            yield conn


@dataclass(frozen=True, slots=True)
class Snapshots:
    """Where a verification reads: rows of `tenant` as `app`, or with None of all as `worker`."""

    app: AsyncEngine
    worker: AsyncEngine
    tenant: Tenant | None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction that only reads, all of it as of the instant of its first query.

        It may take ten minutes. Errors as in `begin`.
        """
        with transient_errors():
            engine = self.worker if self.tenant is None else self.app
            async with engine.begin() as conn:
                await conn.execute(text(SNAPSHOT))
                await conn.execute(text(SNAPSHOT_TIMEOUT))
                if self.tenant is not None:
                    await conn.execute(SET_TENANT, {"tenant": str(self.tenant)})
                yield conn


@asynccontextmanager
async def lead(engine: AsyncEngine, task: str) -> AsyncIterator[AsyncConnection | None]:
    """Give a connection on which this process alone does `task`, None while another does it.

    The advisory lock belongs to the connection's session: who loses the connection loses the
    lock, and can commit nothing more as the leader. `engine` is the worker's: the connection
    sees all tenants. It begins no transaction; use `conn.begin()` for each step.
    """
    with transient_errors():
        async with engine.connect() as conn:
            async with conn.begin():
                lock = select(func.pg_try_advisory_lock(func.hashtextextended(task, 0)))
                leads = (await conn.execute(lock)).scalar_one()
            try:
                yield conn if leads else None
            finally:
                if leads:
                    await conn.invalidate()  # Ends the session, and the lock with it.


@contextmanager
def transient_errors() -> Iterator[None]:
    """Turn what a database raises that is away, crowded or full into the error that says so."""
    try:
        yield
    except PoolTimeout:
        raise Exhausted("every database connection is in use", retry_after=1) from None
    except InterfaceError as error:
        raise Unavailable(f"the database is away: {error.orig}") from error
    except DBAPIError as error:
        if is_full(error.orig):
            raise StorageFull(error.orig) from error
        if error.connection_invalidated or is_transient(error.orig):
            raise Unavailable(f"the database cannot answer now: {error.orig}") from error
        raise
    # Connecting failed: what asyncpg raises then comes bare.
    except asyncpg.PostgresError as error:
        if is_full(error):
            raise StorageFull(error) from error
        if is_transient(error):
            raise Unavailable(f"the database takes no connections now: {error}") from error
        raise
    except (OSError, asyncpg.InterfaceError) as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error


def is_full(error: BaseException | None) -> bool:
    """Tell whether PostgreSQL has no space left."""
    return str(getattr(error, "sqlstate", "")) == DISK_FULL


def is_transient(error: BaseException | None) -> bool:
    """Tell whether PostgreSQL may do the same another time: it starts, stops, or is crowded."""
    state = str(getattr(error, "sqlstate", "") or "")
    return state in TRANSIENT_STATES or state.startswith("08")
