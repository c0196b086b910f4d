"""A snapshot sees one instant, only reads, and sees of a tenant's rows what it may."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import requests
from libs.db import Snapshots, begin
from libs.requests import Request
from libs.tenant import Tenant
from tally.internal.v1.test_clock_service_pb2 import GetTimeResponse

MINE, OTHER = Tenant(901), Tenant(902)


async def note(app: AsyncEngine, tenant: Tenant) -> None:
    """Store a row of the tenant's."""
    async with begin(app, tenant) as conn:
        await requests.claim(conn, tenant, Request("m", uuid4(), b""), GetTimeResponse)


async def seen(conn: AsyncConnection) -> set[int]:
    query = text("SELECT DISTINCT tenant FROM requests WHERE tenant IN (901, 902)")
    return set((await conn.execute(query)).scalars())


async def test_a_tenants_snapshot_sees_its_own_rows_and_the_workers_all(
    app: AsyncEngine, worker: AsyncEngine
) -> None:
    for tenant in (MINE, OTHER):
        await note(app, tenant)
    async with Snapshots(app, worker, MINE).begin() as conn:
        assert await seen(conn) == {MINE}
    async with Snapshots(app, worker, None).begin() as conn:
        assert await seen(conn) == {MINE, OTHER}


async def test_a_snapshot_does_not_see_what_is_committed_meanwhile(
    app: AsyncEngine, worker: AsyncEngine
) -> None:
    count = text("SELECT count(*) FROM requests WHERE tenant = 901")
    async with Snapshots(app, worker, MINE).begin() as conn:
        before = (await conn.execute(count)).scalar_one()
        await note(app, MINE)
        assert (await conn.execute(count)).scalar_one() == before
    async with Snapshots(app, worker, MINE).begin() as conn:
        assert (await conn.execute(count)).scalar_one() == before + 1


async def test_a_snapshot_changes_nothing(app: AsyncEngine, worker: AsyncEngine) -> None:
    with pytest.raises(DBAPIError, match="read-only transaction"):
        async with Snapshots(app, worker, None).begin() as conn:
            await conn.execute(text("DELETE FROM requests"))


async def test_the_next_transaction_is_an_ordinary_one(
    app: AsyncEngine, worker: AsyncEngine
) -> None:
    for _ in range(2):  # The pool has two connections: one of them is the snapshot's.
        async with Snapshots(app, worker, MINE).begin() as conn:
            await seen(conn)
        await note(app, MINE)
        async with begin(app, MINE) as conn:
            isolation = (await conn.execute(text("SHOW transaction_isolation"))).scalar_one()
            timeout = (await conn.execute(text("SHOW statement_timeout"))).scalar_one()
        assert (isolation, timeout) == ("read committed", "15s")
