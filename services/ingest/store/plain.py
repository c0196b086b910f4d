"""Storing a small group in few statements: what costs there is how many there are.

Lock order as in `sealing`: the sealers' advisory lock, shared; keys ascending; the shard's row.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.driver import driver
from services.ingest.domain.candidates import Candidates
from services.ingest.domain.digest import DIGEST_VERSION
from services.ingest.domain.wire import Ints
from services.ingest.store.segments import Opened

# Opens a segment as `segments.open_segment` does, and stores what is not there in the same
# statement. It waits for another transaction that holds an equal key, and finds it there if that
# one commits; what it then is, only a later statement can see.
STORE_NEW = """
    WITH opened AS MATERIALIZED (
        SELECT nextval('segment_id') AS segment_id, set_config('enable_seqscan', 'off', true),
            set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
            pg_advisory_xact_lock_shared(hashtextextended($1, 0)),
            (SELECT time_floor FROM shard WHERE shard = $6) AS time_floor
    ), stored AS (
        INSERT INTO event_key (segment_id, digest, tenant, digest_version, key)
        SELECT opened.segment_id, sent.digest, sent.tenant, $2, sent.key
        FROM opened, unnest($3::int[], $4::bytea[], $5::bigint[])
            WITH ORDINALITY AS sent (tenant, key, digest, place)
        ORDER BY sent.place
        ON CONFLICT DO NOTHING
        RETURNING tenant, key
    )
    SELECT opened.segment_id, opened.time_floor, stored.tenant, stored.key
    FROM opened LEFT JOIN stored ON true
"""


@dataclass(frozen=True, slots=True)
class NewKeys:
    """What was opened, and which rows have a key that is stored only now."""

    opened: Opened
    rows: frozenset[int]


async def store_new_keys(
    conn: AsyncConnection, shard: int, candidates: Candidates, rows: Ints
) -> NewKeys:
    """Open a segment, and store the keys of `rows` that are not stored yet.

    The first statement of its transaction; `rows` are sorted by tenant and key, so that two
    transactions wait for each other and never deadlock.
    """
    tenants = candidates.tenants[rows].tolist()
    keys = [key.tobytes() for key in candidates.keys[rows]]
    digests = candidates.digests[rows].tolist()
    async with driver(conn) as raw:
        found = await raw.fetch(
            STORE_NEW, f"seal {shard}", DIGEST_VERSION, tenants, keys, digests, shard
        )
    row_of = dict(zip(zip(tenants, keys, strict=True), rows.tolist(), strict=True))
    stored = (one for one in found if one["key"] is not None)  # A row without one if none is new.
    new = frozenset(row_of[one["tenant"], one["key"]] for one in stored)
    return NewKeys(Opened(found[0]["segment_id"], found[0]["time_floor"]), new)
