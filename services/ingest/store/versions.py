"""What events were corrected to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.driver import driver
from libs.schema import among
from libs.tenant import Tenant
from services.ingest.domain.candidates import Candidates
from services.ingest.domain.digest import DIGEST_VERSION
from services.ingest.domain.version import Position, Version
from services.ingest.store.schema import event_version

FIND_DIGESTS = """
    SELECT v.tenant, v.key, array_agg(v.digest) AS digests
    FROM unnest($1::int[], $2::bytea[]) AS wanted (tenant, key)
    JOIN event_version v ON v.tenant = wanted.tenant AND v.key = wanted.key
    WHERE v.digest_version = $3
    GROUP BY v.tenant, v.key
"""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Events recorded behind `after`, up to the segment `last`, as corrected up to `through`."""

    after: Position
    last: int
    through: int


async def find_digests(
    conn: AsyncConnection, candidates: Candidates, rows: Sequence[int]
) -> dict[int, frozenset[int]]:
    """Return the digests of all that the events in `rows` were corrected to, by row. Worker role.

    Rows of events that were never corrected are left out.
    """
    tenants = candidates.tenants[list(rows)].tolist()
    keys = [candidates.keys[row].tobytes() for row in rows]
    async with driver(conn) as raw:
        found = await raw.fetch(FIND_DIGESTS, tenants, keys, DIGEST_VERSION)
    known = {(row["tenant"], row["key"]): frozenset(row["digests"]) for row in found}
    identities = zip(rows, zip(tenants, keys, strict=True), strict=True)
    return {row: known[identity] for row, identity in identities if identity in known}


async def find_newest(conn: AsyncConnection, tenant: Tenant, key: bytes) -> Version | None:
    """Return what the tenant's event named by `key` is now; None if it was never corrected."""
    columns = event_version.c
    query = select(event_version).where(
        columns.tenant == tenant, columns.key == key, columns.superseded_number.is_(None)
    )
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else _version(row)


async def insert_version(
    conn: AsyncConnection, tenant: Tenant, key: bytes, version: Version
) -> None:
    """Insert the newest version of an event whose key is held."""
    columns = event_version.c
    newest = update(event_version).where(
        columns.tenant == tenant, columns.key == key, columns.superseded_number.is_(None)
    )
    await conn.execute(newest.values(superseded_number=version.number))
    row = {
        "tenant": tenant,
        "key": key,
        "version": version.version,
        "number": version.number,
        "origin_number": version.origin.number,
        "origin_index": version.origin.index,
        "received_us": version.received,
        "time_us": version.time,
        "customer_id": version.customer_id,
        "digest": version.digest,
        "digest_version": DIGEST_VERSION,
        "retracted": version.retracted,
        "content": version.content,
        "corrected_at": version.corrected_at,
    }
    await conn.execute(insert(event_version).values(row))


async def find_places(
    conn: AsyncConnection, tenant: Tenant, numbers: Sequence[int], *, through: int
) -> dict[int, frozenset[int]]:
    """Return where corrected events lie in the segments `numbers`: their places, by segment."""
    columns = event_version.c
    query = select(columns.origin_number, columns.origin_index).where(
        columns.tenant == tenant, among(columns.origin_number, numbers), _is_current(through)
    )
    found: dict[int, set[int]] = defaultdict(set)
    for row in await conn.execute(query):
        found[row.origin_number].add(row.origin_index)
    return {number: frozenset(places) for number, places in found.items()}


async def find_versions(
    conn: AsyncConnection, tenant: Tenant, where: Stretch, *, customer_id: str | None, limit: int
) -> list[Version]:
    """Return what corrected events are, in the order in which they were recorded."""
    columns = event_version.c
    place = tuple_(columns.origin_number, columns.origin_index)
    chosen = [
        columns.tenant == tenant,
        place > (where.after.number, where.after.index),
        columns.origin_number <= where.last,
        _is_current(where.through),
    ]
    if customer_id is not None:
        chosen.append(columns.customer_id == customer_id)
    query = select(event_version).where(*chosen).order_by(*place.clauses).limit(limit)
    return [_version(row) for row in await conn.execute(query)]


async def find_sealed(
    conn: AsyncConnection, *, after: int, through: int
) -> list[tuple[Tenant, Version]]:
    """Return the corrections in the segments behind `after` up to `through`, in order. Worker."""
    number = event_version.c.number
    query = select(event_version).where(number.between(after + 1, through)).order_by(number)
    return [(Tenant(row.tenant), _version(row)) for row in await conn.execute(query)]


def _is_current(through: int) -> ColumnElement[bool]:
    """Choose what counts after the segment `through`."""
    columns = event_version.c
    superseded = columns.superseded_number
    return (columns.number <= through) & or_(superseded.is_(None), superseded > through)


def _version(row: Row[Any]) -> Version:
    return Version(
        version=row.version,
        number=row.number,
        origin=Position(row.origin_number, row.origin_index),
        received=row.received_us,
        time=row.time_us,
        customer_id=row.customer_id,
        digest=row.digest,
        retracted=row.retracted,
        content=row.content,
        corrected_at=row.corrected_at,
    )
