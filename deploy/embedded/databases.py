"""The four databases and their roles: each role enters its own database and no other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import asyncpg

from deploy.embedded.ports import HOST
from deploy.embedded.postgres import SUPERUSER, Postgres

SERVICES = ("ingest", "rating", "invoicing", "wallet")
ROLES = ("owner", "app", "worker")
LOCK = "SELECT pg_advisory_lock(hashtextextended('tally databases', 0))"

# What a role's sessions may wait for. Migrations may take long; a tenant's RPC may not.
LIMITS = {
    "owner": {"lock_timeout": "60s", "idle_in_transaction_session_timeout": "10min"},
    "app": {"statement_timeout": "15s", "idle_in_transaction_session_timeout": "15s"},
    "worker": {"statement_timeout": "120s", "idle_in_transaction_session_timeout": "60s"},
}

Result = TypeVar("Result")
_creating = threading.Lock()


def role_name(service: str, role: str) -> str:
    """Return "rating_app". Roles belong to the cluster: all suites on one have the same."""
    return f"{service}_{role}"


def database_name(service: str, suite: str = "") -> str:
    """Return "rating", or "rating_3" for the suite "3" of several on one cluster."""
    return f"{service}_{suite}" if suite else service


def create_databases(
    postgres: Postgres,
    *,
    suite: str = "",
    template: str | None = None,
    services: Sequence[str] = SERVICES,
) -> list[str]:
    """Create the databases of a suite with their roles, and return the services that had none.

    What is there stays, only its roles and rights are set anew. With `template`, new databases are
    copies of those of that suite, tables included; nobody may be connected to these meanwhile.
    """
    with _creating:
        return run_apart(_create(postgres, suite, template, services))


def drop_databases(postgres: Postgres, *, suite: str) -> None:
    """Drop the databases of a suite, and break off the sessions in them."""
    with _creating:
        run_apart(_drop(postgres, suite))


def run_apart(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end on a loop of its own, also when the caller is on one."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


async def connect(postgres: Postgres, database: str) -> asyncpg.Connection:
    """Connect as the superuser."""
    return await asyncpg.connect(
        host=HOST,
        port=postgres.port,
        user=SUPERUSER,
        password=postgres.password,
        database=database,
        timeout=30,
    )


async def _create(
    postgres: Postgres, suite: str, template: str | None, services: Sequence[str]
) -> list[str]:
    created = []
    conn = await connect(postgres, "postgres")
    try:
        await conn.execute(LOCK)  # Ends with the session.
        for database in ("postgres", "template1"):
            await conn.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
        for service in services:
            await _set_roles(conn, postgres, service)
            name = database_name(service, suite)
            if not await conn.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
                source = "template1" if template is None else database_name(service, template)
                await conn.execute(_create_statement(service, name, source))
                created.append(service)
            await _set_rights(conn, postgres, service, name)
    finally:
        await conn.close()
    return created


def _create_statement(service: str, name: str, source: str) -> str:
    # Copied as files: three times as fast as through the log, for databases of a few megabytes.
    owned = f'CREATE DATABASE "{name}" OWNER {role_name(service, "owner")}'
    return f'{owned} TEMPLATE "{source}" STRATEGY FILE_COPY'


async def _set_roles(conn: asyncpg.Connection, postgres: Postgres, service: str) -> None:
    """Make the roles of a service with their passwords and limits; they own nothing else."""
    for role in ROLES:
        name = role_name(service, role)
        # Passwords are of our own making: letters, digits, - and _.
        password = postgres.role_password(name)
        sees_all = "BYPASSRLS" if role == "worker" else "NOBYPASSRLS"
        known = await conn.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", name)
        verb = "ALTER" if known else "CREATE"
        await conn.execute(
            f"{verb} ROLE {name} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE {sees_all} "
            f"PASSWORD '{password}'"
        )
        for setting, value in LIMITS[role].items():
            await conn.execute(f"ALTER ROLE {name} SET {setting} = '{value}'")


async def _set_rights(
    conn: asyncpg.Connection, postgres: Postgres, service: str, database: str
) -> None:
    owner, app, worker = (role_name(service, role) for role in ROLES)
    await conn.execute(
        f"""
        REVOKE ALL ON DATABASE "{database}" FROM PUBLIC;
        GRANT CONNECT ON DATABASE "{database}" TO {app};
        GRANT CONNECT, TEMPORARY ON DATABASE "{database}" TO {worker};
        """
    )
    inside = await connect(postgres, database)
    try:
        await inside.execute(
            f"""
            ALTER SCHEMA public OWNER TO {owner};
            REVOKE ALL ON SCHEMA public FROM PUBLIC;
            GRANT USAGE ON SCHEMA public TO {app}, {worker};
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public
                GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {app}, {worker};
            ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public
                GRANT USAGE ON SEQUENCES TO {app}, {worker};
            """
        )
    finally:
        await inside.close()


async def _drop(postgres: Postgres, suite: str) -> None:
    conn = await connect(postgres, "postgres")
    try:
        for service in SERVICES:
            name = database_name(service, suite)
            await conn.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await conn.close()
