"""The keys of stored events: exact deduplication, in the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import asyncpg
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.driver import driver
from libs.tenant import Tenant
from services.ingest.domain.digest import DIGEST_VERSION
from services.ingest.domain.verdicts import Accepted, Identity, Stored
from services.ingest.store.schema import event_key, segment

# A statement of its own: one that also inserts could not see the row it lost to.
FIND_STORED = """
    SELECT k.tenant, k.key, k.digest, k.digest_version, s.number
    FROM unnest($2::int[], $3::bytea[]) AS wanted (tenant, key)
    JOIN event_key k ON k.tenant = wanted.tenant AND k.key = wanted.key
    JOIN segment s ON s.shard = $1 AND s.segment_id = k.segment_id
"""
COLUMNS = ("segment_id", "digest", "tenant", "digest_version", "key")


async def find_stored(
    conn: AsyncConnection, shard: int, identities: Sequence[Identity]
) -> dict[Identity, Stored]:
    """Return those of `identities` that are stored. Worker role; a statement ran before."""
    tenants = [tenant for tenant, _ in identities]
    keys = [key for _, key in identities]
    async with driver(conn) as raw:
        rows = await raw.fetch(FIND_STORED, shard, tenants, keys)
    return {
        (Tenant(row["tenant"]), row["key"]): Stored(
            row["digest"], row["digest_version"], row["number"]
        )
        for row in rows
    }


async def insert_keys(
    conn: AsyncConnection, accepted: Iterable[Accepted], segment_number_id: int
) -> bool:
    """COPY the keys of `accepted`; False, with nothing written, if one is there by now.

    They are sorted, so that two transactions wait for each other and never deadlock. When another
    one holds an equal key, this waits for its end first: a False means that it has committed, and
    its key can be read. Worker role only: COPY FROM fails under row-level security.
    """
    records = sorted(
        (
            (segment_number_id, one.candidate.digest, one.tenant, DIGEST_VERSION, one.candidate.key)
            for one in accepted
        ),
        key=_identity,
    )
    try:
        async with conn.begin_nested(), driver(conn) as raw:
            await raw.copy_records_to_table("event_key", records=records, columns=COLUMNS)
    except asyncpg.UniqueViolationError:
        return False
    return True


async def find_segment(conn: AsyncConnection, tenant: Tenant, shard: int, key: bytes) -> int | None:
    """Return the number of the segment that holds the tenant's event named by `key`."""
    query = (
        select(segment.c.number)
        .join(event_key, event_key.c.segment_id == segment.c.segment_id)
        .where(event_key.c.tenant == tenant, event_key.c.key == key, segment.c.shard == shard)
    )
    number: int | None = (await conn.execute(query)).scalar_one_or_none()
    return number


def _identity(record: tuple[int, int, int, int, bytes]) -> tuple[int, bytes]:
    return record[2], record[4]
