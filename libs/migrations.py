"""Migrations of a service's database: alembic, run as the owner and by one at a time."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

from alembic import command, context
from alembic.config import Config
from sqlalchemy import Connection, MetaData, TextClause, func, select, text

from libs import db

SERVICES = Path(__file__).resolve().parent.parent / "services"
CONNECTION = "connection"  # The attribute of alembic's Config under which env.py finds it.

_alembic = threading.Lock()  # Its context and op are globals of the process.


class Executes(Protocol):
    """A connection, or alembic's `op`."""

    def execute(self, statement: TextClause, /) -> Any: ...


def upgrade(service: str, owner_url: str) -> None:
    """Bring the database of `service` to the newest revision; does nothing when it is there.

    `owner_url` is a postgresql+asyncpg URL of the owner role. Two at once wait for each other, in
    one process or in several. Blocks; may be called from inside an event loop.
    """
    with _alembic, ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(asyncio.run, _upgrade(service, owner_url)).result()


def run_env(metadata: MetaData) -> None:
    """Be the body of a service's migrations/env.py: run what `upgrade` asked for.

    Each revision is a transaction of its own: what failed leaves the ones before it in place.
    """
    connection = context.config.attributes.get(CONNECTION)
    if connection is None:
        raise SystemExit("Migrations are run by `tally migrate SERVICE`, not by alembic itself.")
    context.configure(
        connection=connection, target_metadata=metadata, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


def force_row_security(executes: Executes, table_name: str) -> None:
    """Let the rows of a tenant's table be seen and written by that tenant's transactions only.

    Forced, so that it binds the owner too; without `tally.tenant` no row is seen at all.
    """
    own = "tenant = nullif(current_setting('tally.tenant', true), '')::int"
    for statement in (
        f'ALTER TABLE "{table_name}" ENABLE ROW LEVEL SECURITY',
        f'ALTER TABLE "{table_name}" FORCE ROW LEVEL SECURITY',
        f'CREATE POLICY own_tenant ON "{table_name}" USING ({own}) WITH CHECK ({own})',
    ):
        executes.execute(text(statement))


async def _upgrade(service: str, owner_url: str) -> None:
    engine = db.connect(owner_url, connections_max=1, application_name="tally migrate")
    try:
        async with engine.connect() as conn:
            lock = select(func.pg_advisory_lock(func.hashtextextended("tally migrations", 0)))
            await conn.execute(lock)
            await conn.commit()  # The lock is the session's; alembic begins its own transactions.
            await conn.run_sync(_upgrade_to_head, service)
    finally:
        await engine.dispose()  # Ends the session, and the lock with it.


def _upgrade_to_head(connection: Connection, service: str) -> None:
    config = Config(attributes={CONNECTION: connection})
    config.set_main_option("script_location", str(_folder(service)).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, "head")


def _folder(service: str) -> Path:
    folder = SERVICES / service / "store" / "migrations"
    if not folder.is_dir():
        raise SystemExit(f"There is no service {service!r} with migrations.")
    return folder
