"""Migrations: safe to repeat and to run at once; tenants' tables are guarded afterwards."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import db
from libs.migrations import force_row_security, upgrade
from libs.tenant import Tenant
from tests.servers import Database, TestPostgres
from tests.store.libs.conftest import SERVICE

guarded = Table(
    "guarded",
    MetaData(),
    Column("tenant", Integer),
    Column("word", Text),
    PrimaryKeyConstraint("tenant", "word"),
)


async def test_migrations_may_run_at_once_and_again(postgres: TestPostgres) -> None:
    new_database = postgres.unmigrated(SERVICE)
    with ThreadPoolExecutor() as threads:
        for done in [threads.submit(upgrade, SERVICE, new_database.owner_url) for _ in range(3)]:
            await asyncio.wrap_future(done)
    upgrade(SERVICE, new_database.owner_url)  # Also from inside an event loop.
    engine = db.connect(new_database.owner_url, connections_max=1)
    async with db.begin_worker(engine) as conn:
        revisions = (await conn.execute(text("SELECT version_num FROM alembic_version"))).all()
    await engine.dispose()
    assert len(revisions) == 1


def test_a_service_that_does_not_exist_is_said(database: Database) -> None:
    with pytest.raises(SystemExit, match="nowhere"):
        upgrade("nowhere", database.owner_url)


async def test_a_tenant_sees_and_writes_only_its_own_rows(
    database: Database, app: AsyncEngine, worker: AsyncEngine
) -> None:
    owner = db.connect(database.owner_url, connections_max=1)
    async with db.begin_worker(owner) as conn:
        await conn.run_sync(guarded.create)
        await conn.run_sync(force_row_security, "guarded")
        await conn.execute(text("SELECT set_config('tally.tenant', '1', true)"))
        await conn.execute(insert(guarded).values(tenant=1, word="owner"))
    async with db.begin_worker(owner) as conn:  # Forced: it binds the owner as well.
        assert (await conn.execute(guarded.delete())).rowcount == 0
    await owner.dispose()
    async with db.begin_worker(worker) as conn:
        for tenant, word in ((1, "a"), (2, "b")):
            await conn.execute(insert(guarded).values(tenant=tenant, word=word))
    async with db.begin(app, Tenant(1)) as conn:
        words = (await conn.execute(select(guarded.c.word).order_by("word"))).scalars().all()
        assert words == ["a", "owner"]
        assert (await conn.execute(guarded.delete())).rowcount == 2
    with pytest.raises(DBAPIError, match="row-level security"):
        async with db.begin(app, Tenant(1)) as conn:
            await conn.execute(insert(guarded).values(tenant=2, word="c"))
    async with db.begin_worker(app) as conn:  # No tenant is set.
        assert (await conn.execute(select(func.count()).select_from(guarded))).scalar_one() == 0
    async with db.begin_worker(worker) as conn:
        assert (await conn.execute(select(guarded.c.word))).scalars().all() == ["b"]
