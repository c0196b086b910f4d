"""The keys of stored events: exact deduplication, in the database."""

from __future__ import annotations

from io import BytesIO

import asyncpg
import numpy as np
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.driver import driver
from libs.tenant import Tenant
from services.ingest.domain.candidates import Candidates
from services.ingest.domain.digest import DIGEST_VERSION
from services.ingest.domain.verdicts import Stored
from services.ingest.domain.wire import Ints
from services.ingest.store.schema import event_key, segment

# A statement of its own: one that also inserts could not see the row it lost to.
FIND_STORED = """
    SELECT k.tenant, k.key, k.digest, k.digest_version, coalesce(s.number, 0) AS number
    FROM unnest($2::int[], $3::bytea[]) AS wanted (tenant, key)
    JOIN event_key k ON k.tenant = wanted.tenant AND k.key = wanted.key
    LEFT JOIN segment s ON s.shard = $1 AND s.segment_id = k.segment_id
"""
COLUMNS = ("segment_id", "digest", "tenant", "digest_version", "key")
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
COPY_ROW = np.dtype(
    [
        ("fields", ">i2"),
        ("segment_id_size", ">i4"),
        ("segment_id", ">i8"),
        ("digest_size", ">i4"),
        ("digest", ">i8"),
        ("tenant_size", ">i4"),
        ("tenant", ">i4"),
        ("digest_version_size", ">i4"),
        ("digest_version", ">i2"),
        ("key_size", ">i4"),
        ("key", "u1", 16),
    ]
)


async def find_stored(
    conn: AsyncConnection, shard: int, candidates: Candidates, rows: Ints
) -> dict[int, Stored]:
    """Return which events in `rows` are stored, by row. Worker role; a statement ran before.

    `rows` are sorted by tenant and key: the index is read in order.
    """
    if not len(rows):
        return {}
    tenants = candidates.tenants[rows].tolist()
    keys = [key.tobytes() for key in candidates.keys[rows]]
    async with driver(conn) as raw:
        found = await raw.fetch(FIND_STORED, shard, tenants, keys)
    known = {
        (row["tenant"], row["key"]): Stored(row["digest"], row["digest_version"], row["number"])
        for row in found
    }
    if not known:
        return {}
    identities = zip(rows.tolist(), zip(tenants, keys, strict=True), strict=True)
    return {row: known[identity] for row, identity in identities if identity in known}


async def insert_keys(
    conn: AsyncConnection, candidates: Candidates, rows: Ints, opened_id: int
) -> bool:
    """COPY the keys of `rows`; False, with nothing written, if one is there by now.

    `rows` are sorted by tenant and key, so that two transactions wait for each other and never
    deadlock. When another one holds an equal key, this waits for its end first: a False means that
    it has committed, and its key can be read. Worker role only: COPY FROM fails under row-level
    security.
    """
    # Closed at the end: asyncpg's reader of it is in a cycle, and would keep the content.
    with BytesIO(_copy_content(candidates, rows, opened_id)) as source:
        try:
            async with conn.begin_nested(), driver(conn) as raw:
                await raw.copy_to_table(
                    "event_key", source=source, columns=COLUMNS, format="binary"
                )
        except asyncpg.UniqueViolationError:
            return False
    return True


def _copy_content(candidates: Candidates, rows: Ints, opened_id: int) -> bytes:
    """Return the keys in PostgreSQL's binary COPY format: every row has the same size."""
    copied = np.zeros(len(rows), COPY_ROW)
    copied["fields"] = len(COLUMNS)
    for name in COLUMNS:
        copied[f"{name}_size"] = COPY_ROW[name].itemsize
    copied["segment_id"] = opened_id
    copied["digest"] = candidates.digests[rows]
    copied["tenant"] = candidates.tenants[rows]
    copied["digest_version"] = DIGEST_VERSION
    copied["key"] = candidates.keys[rows]
    return COPY_HEADER + copied.tobytes() + COPY_TRAILER


async def lock_key(
    conn: AsyncConnection, tenant: Tenant, shard: int, key: bytes
) -> tuple[int | None, int] | None:
    """Return segment and digest of an event, and hold its key until the transaction ends.

    The segment is None if it is no longer in the log.
    """
    query = _select_segment(tenant, shard, key).add_columns(event_key.c.digest)
    row = (await conn.execute(query.with_for_update(of=event_key, key_share=True))).one_or_none()
    return None if row is None else (row.number, row.digest)


async def find_segment(
    conn: AsyncConnection, tenant: Tenant, shard: int, key: bytes
) -> tuple[int | None] | None:
    """Return the number of the segment that holds the tenant's event named by `key`.

    It is None if the segment is no longer in the log.
    """
    row = (await conn.execute(_select_segment(tenant, shard, key))).one_or_none()
    return None if row is None else (row.number,)


def _select_segment(tenant: Tenant, shard: int, key: bytes) -> Select[tuple[int | None]]:
    of_shard = (segment.c.shard == shard) & (segment.c.segment_id == event_key.c.segment_id)
    return (
        select(segment.c.number)
        .select_from(event_key.outerjoin(segment, of_shard))
        .where(event_key.c.tenant == tenant, event_key.c.key == key)
    )
