"""Every table that holds tenants' rows shows each tenant its own only, whatever the statement."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from libs import db
from tests.servers import Database

SERVICES = ("ingest", "rating", "invoicing", "wallet")
# Tables with a tenant's rows, and what guards each; "own" is how a policy names the tenant.
GUARDS = """
    SELECT t.relname AS name, t.relrowsecurity AS enabled, t.relforcerowsecurity AS forced,
        count(p.polname) FILTER (
            WHERE pg_get_expr(p.polqual, p.polrelid) LIKE :own
            AND pg_get_expr(p.polwithcheck, p.polrelid) LIKE :own
        ) AS sound,
        count(p.polname) AS policies
    FROM pg_class t
    JOIN pg_attribute a ON a.attrelid = t.oid AND a.attname = 'tenant' AND NOT a.attisdropped
    LEFT JOIN pg_policy p ON p.polrelid = t.oid
    WHERE t.relkind IN ('r', 'p') AND t.relnamespace = 'public'::regnamespace
    GROUP BY t.oid
"""
OWN = "(tenant = (NULLIF(current_setting('tally.tenant'::text, true), ''::text))::integer)"


@pytest.mark.parametrize("service", SERVICES)
async def test_every_table_of_tenants_is_guarded_by_row_security(
    database: Callable[[str], Database], service: str
) -> None:
    engine = db.connect(database(service).worker_url, connections_max=1)
    async with db.begin_worker(engine) as conn:
        tables = (await conn.execute(text(GUARDS), {"own": OWN})).all()
    await engine.dispose()
    assert len(tables) > 3
    open_ = [
        table.name
        for table in tables
        if not (table.enabled and table.forced and table.sound == table.policies == 1)
    ]
    assert not open_, "their rows are seen by all tenants"
