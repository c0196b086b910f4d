"""How the log is divided, checked at start, and the limits of tenants, looked up for a request."""

from __future__ import annotations

import secrets
import time

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import db
from libs.tenant import Tenant
from services.ingest.domain.limits import Limits
from services.ingest.store import settings
from services.ingest.store.settings import Topology

SHARDS = 1
SECRET_BYTES = 32
LIMITS_CACHED_SECONDS = 10
TENANTS_CACHED_MAX = 10_000


class TopologyChanged(Exception):
    """The service was started with another division than the log was set up with."""


async def open_topology(engine: AsyncEngine, *, partitions: int) -> Topology:
    """Return how the log is divided; the first start decides it for good. `engine`: the worker's.

    Raises:
        TopologyChanged: it was set up otherwise.
    """
    wanted = Topology(SHARDS, partitions, secrets.token_bytes(SECRET_BYTES))
    async with db.begin_worker(engine) as conn:
        stored = await settings.open_topology(conn, wanted)
    if (stored.shards, stored.partitions) != (SHARDS, partitions):
        raise TopologyChanged(
            f"the log has {stored.shards} shards and {stored.partitions} partitions for good, "
            f"the service is set to {SHARDS} and {partitions}"
        )
    return stored


class LimitsCache:
    """The limits of tenants, at most ten seconds old."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._cached: dict[Tenant, tuple[Limits, float]] = {}

    async def load(self, tenant: Tenant) -> Limits:
        """Return the tenant's limits."""
        limits, until = self._cached.get(tenant, (None, 0))
        if limits is None or time.monotonic() >= until:
            async with db.begin(self._engine, tenant) as conn:
                limits = await settings.load_limits(conn, tenant)
            if len(self._cached) >= TENANTS_CACHED_MAX:
                self._cached.clear()
            self._cached[tenant] = (limits, time.monotonic() + LIMITS_CACHED_SECONDS)
        return limits
