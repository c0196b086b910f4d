"""What all commands have in common: one transaction, and none of it when only checking."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.db import begin
from libs.tenant import Tenant


@asynccontextmanager
async def begin_command(
    engine: AsyncEngine, tenant: Tenant, *, validate_only: bool
) -> AsyncIterator[AsyncConnection]:
    """Begin a tenant's transaction; with `validate_only` all its effects are taken back."""
    async with begin(engine, tenant) as conn:
        if not validate_only:
            yield conn
            return
        checking = await conn.begin_nested()
        yield conn
        await checking.rollback()
