"""Breaking what is stored, as no service could: by the owner, past triggers and constraints."""

from __future__ import annotations

from sqlalchemy import text

from libs.db import begin, connect
from libs.tenant import Tenant


async def corrupt(owner_url: str, tenant: int, table: str, change: str) -> None:
    """Change rows of a tenant's table by a statement; it must touch some.

    The triggers that guard the table are off meanwhile. Undo it by the statement's opposite.
    """
    engine = connect(owner_url, connections_max=1)
    try:
        async with begin(engine, Tenant(tenant)) as conn:
            await conn.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            touched = await conn.execute(text(change))
            assert touched.rowcount > 0, change
            # What a deferred trigger has to say, it says before the triggers are on again.
            await conn.execute(text(f"ALTER TABLE {table} ENABLE TRIGGER USER"))
    finally:
        await engine.dispose()
