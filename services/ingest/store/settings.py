"""How the log is divided, and the limits of tenants: rows that rarely change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.ingest.domain.limits import Limits
from services.ingest.store.schema import relay_position, shard, tenant_limits, topology


@dataclass(frozen=True, slots=True)
class Topology:
    """How the log is divided, for good, and the secret under which keys are hashed."""

    shards: int
    partitions: int
    key_secret: bytes


async def open_topology(conn: AsyncConnection, wanted: Topology) -> Topology:
    """Return the stored topology; at the very first start that is `wanted`."""
    first = {
        "shards": wanted.shards,
        "partitions": wanted.partitions,
        "key_secret": wanted.key_secret,
    }
    await conn.execute(insert(topology).values(first).on_conflict_do_nothing())
    row = (await conn.execute(select(topology))).one()
    numbers = [{"shard": number} for number in range(row.shards)]
    for table in (shard, relay_position):
        await conn.execute(insert(table).values(numbers).on_conflict_do_nothing())
    return Topology(row.shards, row.partitions, row.key_secret)


async def load_limits(conn: AsyncConnection, tenant: Tenant) -> Limits:
    """Return the tenant's limits: the defaults, but for what it has of its own."""
    query = select(tenant_limits).where(tenant_limits.c.tenant == tenant)
    row = (await conn.execute(query)).mappings().one_or_none()
    own: dict[str, Any] = {}
    if row is not None:
        own = {name: row[name] for name in row if name != "tenant" and row[name] is not None}
    return Limits(**own)
