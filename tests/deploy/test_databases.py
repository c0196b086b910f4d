"""Each role enters its own database, and may there what it is for."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import permutations

import asyncpg
import pytest

from deploy.embedded.databases import ROLES, SERVICES, create_databases, drop_databases
from deploy.embedded.postgres import Postgres


@asynccontextmanager
async def session(cluster: Postgres, role: str, database: str) -> AsyncIterator[asyncpg.Connection]:
    url = cluster.url(role, database).replace("+asyncpg", "")
    conn = await asyncpg.connect(url)
    try:
        yield conn
    finally:
        await conn.close()


@pytest.mark.parametrize("service,other", [*permutations(SERVICES, 2)])
async def test_a_role_cannot_enter_the_database_of_another_service(
    cluster: Postgres, service: str, other: str
) -> None:
    for role in ROLES:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied"):
            async with session(cluster, f"{service}_{role}", other):
                pass


@pytest.mark.parametrize("database", ["postgres", "template1"])
async def test_no_role_enters_the_databases_of_the_cluster(
    cluster: Postgres, database: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with session(cluster, "ingest_owner", database):
            pass


async def test_the_owner_makes_tables_that_the_other_roles_read_and_write(
    cluster: Postgres,
) -> None:
    async with session(cluster, "wallet_owner", "wallet") as owner:
        await owner.execute("CREATE TABLE holds (id bigserial, tenant int)")
    try:
        for role in ("wallet_app", "wallet_worker"):
            async with session(cluster, role, "wallet") as conn:
                await conn.execute("INSERT INTO holds (tenant) VALUES (1)")
                await conn.execute("UPDATE holds SET tenant = 2")
                await conn.execute("DELETE FROM holds")
                for forbidden in ("DROP TABLE holds", "CREATE TABLE mine (id int)"):
                    with pytest.raises(asyncpg.InsufficientPrivilegeError):
                        await conn.execute(forbidden)
    finally:
        async with session(cluster, "wallet_owner", "wallet") as owner:
            await owner.execute("DROP TABLE holds")


async def test_row_security_binds_the_app_and_not_the_worker(cluster: Postgres) -> None:
    async with session(cluster, "rating_owner", "rating") as owner:
        await owner.execute(
            "CREATE TABLE cells (tenant int);"
            "INSERT INTO cells VALUES (1), (2);"
            "ALTER TABLE cells ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;"
            "CREATE POLICY own ON cells USING (tenant = 1)"
        )
        try:
            for role, seen in (("owner", 1), ("app", 1), ("worker", 2)):
                async with session(cluster, f"rating_{role}", "rating") as conn:
                    assert await conn.fetchval("SELECT count(*) FROM cells") == seen, role
        finally:
            await owner.execute("DROP TABLE cells")


async def test_a_tenants_statement_may_not_run_for_long(cluster: Postgres) -> None:
    async with session(cluster, "ingest_app", "ingest") as conn:
        assert await conn.fetchval("SHOW statement_timeout") == "15s"
        assert await conn.fetchval("SHOW idle_in_transaction_session_timeout") == "15s"
    async with session(cluster, "ingest_owner", "ingest") as conn:
        assert await conn.fetchval("SHOW statement_timeout") == "0"


async def test_creating_again_changes_nothing(cluster: Postgres) -> None:
    assert await asyncio.to_thread(create_databases, cluster) == []
    async with session(cluster, "invoicing_app", "invoicing") as conn:
        assert await conn.fetchval("SELECT current_user") == "invoicing_app"


async def test_a_suite_is_a_copy_of_its_template_under_the_same_rules(cluster: Postgres) -> None:
    await asyncio.to_thread(create_databases, cluster, suite="form")
    async with session(cluster, "rating_owner", "rating_form") as owner:
        await owner.execute("CREATE TABLE cells (tenant int)")
    made = await asyncio.to_thread(create_databases, cluster, suite="3", template="form")
    try:
        assert made == list(SERVICES)
        async with session(cluster, "rating_app", "rating_3") as conn:
            await conn.execute("INSERT INTO cells VALUES (1)")
        async with session(cluster, "rating_app", "rating_form") as conn:
            assert await conn.fetchval("SELECT count(*) FROM cells") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with session(cluster, "ingest_app", "rating_3"):
                pass
        async with session(cluster, "rating_owner", "rating_3") as owner:
            await owner.execute("CREATE TABLE later (tenant int)")
        async with session(cluster, "rating_app", "rating_3") as conn:
            assert await conn.fetchval("SELECT count(*) FROM later") == 0
    finally:
        for suite in ("3", "form"):
            await asyncio.to_thread(drop_databases, cluster, suite=suite)
