"""Counts of events that several subscriptions could have taken, with the one that did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

from sqlalchemy import Row, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.folding import Ambiguous
from services.rating.store.usage_schema import ambiguous, valueless_days
from services.rating.store.verification import Wanted

KEY = ("tenant", "customer_id", "event_type", "day", "subscription_id")
AfterKey = tuple[str, str, date, str]  # All of the key but the tenant.


async def count_ambiguous(conn: AsyncConnection, counts: Mapping[Ambiguous, int]) -> None:
    """Add to the counts, locking them in the order of their keys."""
    rows = [
        {**{name: getattr(which, name) for name in KEY}, "event_count": count}
        for which, count in counts.items()
    ]
    if not rows:
        return
    adding = insert(ambiguous)
    total = ambiguous.c.event_count + adding.excluded.event_count
    merging = adding.on_conflict_do_update(index_elements=KEY, set_={"event_count": total})
    await conn.execute(merging, sorted(rows, key=lambda row: [row[name] for name in KEY]))


async def mark_valueless(conn: AsyncConnection, days: Iterable[tuple[int, str, date]]) -> None:
    """Note that events of customers, by tenant and id, on UTC days may be in no cell."""
    rows = [dict(zip(("tenant", "customer_id", "day"), each, strict=True)) for each in sorted(days)]
    if rows:
        await conn.execute(insert(valueless_days).on_conflict_do_nothing(), rows)


async def list_ambiguous(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    customer_id: str,
    after: AfterKey | None,
    limit: int,
) -> Sequence[tuple[Ambiguous, int]]:
    """Return counts by customer, type, day and subscription, after that key.

    Of one customer; "" stands for all of them.
    """
    keys = [ambiguous.c[name] for name in KEY[1:]]
    query = select(ambiguous).where(ambiguous.c.tenant == tenant).order_by(*keys).limit(limit)
    if customer_id:
        query = query.where(ambiguous.c.customer_id == customer_id)
    if after is not None:
        query = query.where(tuple_(*keys) > after)
    return [(_read(row), row.event_count) for row in await conn.execute(query)]


async def load_ambiguous(conn: AsyncConnection, wanted: Wanted) -> dict[Ambiguous, int]:
    """Return the counts of customers that are `wanted`. The connection is a snapshot."""
    async with conn.stream(select(ambiguous)) as rows:
        return {
            _read(row): row.event_count async for row in rows if wanted(row.tenant, row.customer_id)
        }


def _read(row: Row[Any]) -> Ambiguous:
    return Ambiguous(*(getattr(row, name) for name in KEY))
