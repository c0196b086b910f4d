"""Where a tenant's operations are done."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import db
from libs.clock import Clock
from libs.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Desk:
    """The database, the clock, and for whom it is done."""

    engine: AsyncEngine
    clock: Clock
    tenant: Tenant

    def begin(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Begin the operation's transaction."""
        return db.begin(self.engine, self.tenant)

    def now(self) -> datetime:
        """Return the business time. Ask after locking: waiting for a lock takes time."""
        return self.clock.now()
