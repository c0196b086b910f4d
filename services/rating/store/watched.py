"""Watched subscriptions: folds note that their usage changed, and a loop looks at it.

Who needs to know of changed usage (alerts; progressive thresholds) does this:

1. In the command: `change_catalog`, then `watch` the subscription id for a `Purpose`. From then on
   each fold, job and rebuild that changes its usage leaves a note in its own transaction; `watch`
   leaves the first one itself. Folds of subscriptions that nobody watches pay nothing: they know
   from their cached terms (`Term.watched`).
2. In a loop: `find_noted`; *then* read the usage; decide. In the transaction that stores what was
   decided, under a unique key or a lock: `strike_off`. Usage that was folded before a note could be
   read is in what is read after it, and a later change has a note of its own, which is not struck
   off. So nothing is missed, whoever is killed. But two processes may look at one note at the same
   time, and only the key or the lock lets one of them store what it decided.
3. `check_idle` counts all notes: nothing more is to be done for that.

Notes are by subscription id, not by life: recurring meters carry usage from one life to the next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.rating.store.schema import subscriptions
from services.rating.store.watched_schema import watch_notes, watches

Watched = tuple[int, str]  # By tenant and subscription id.


class Purpose(StrEnum):
    """What a subscription is watched for."""

    ALERTS = "alerts"
    THRESHOLDS = "thresholds"
    FOLLOWING = "following"


@dataclass(frozen=True, slots=True)
class Noted:
    """A subscription id whose usage changed, with the notes that tell of it."""

    tenant: Tenant
    subscription_id: str
    note_ids: tuple[int, ...]


async def watch(
    conn: AsyncConnection, tenant: Tenant, subscription_ids: Collection[str], purpose: Purpose
) -> None:
    """Have changes of the usage of `subscription_ids` noted; the first note is left at once.

    The caller holds the catalog (`change_catalog`), so that no fold goes by what was before. An id
    that is watched already stays so. It need not have a subscription yet.
    """
    rows = [
        {"tenant": tenant, "subscription_id": one, "purpose": purpose}
        for one in sorted(set(subscription_ids))
    ]
    if rows:
        await conn.execute(postgresql.insert(watches).on_conflict_do_nothing(), rows)
        await conn.execute(insert(watch_notes), rows)


async def unwatch(
    conn: AsyncConnection, tenant: Tenant, subscription_ids: Collection[str], purpose: Purpose
) -> None:
    """Have nothing noted any more, and drop what was. No catalog need be held."""
    for table in (watches, watch_notes):
        mine = delete(table).filter_by(tenant=tenant, purpose=purpose)
        await conn.execute(mine.where(among(table.c.subscription_id, subscription_ids)))


async def note_changed(conn: AsyncConnection, changed: Iterable[Watched]) -> None:
    """Note that the usage of subscriptions changes, for every purpose they are watched for.

    In the transaction that changes it. It waits for no lock.
    """
    asked = sorted(set(changed))
    if asked:
        tenants, ids = [tenant for tenant, _ in asked], [one for _, one in asked]
        await conn.execute(_NOTE_CHANGED, {"asked_tenants": tenants, "asked_ids": ids})


async def note_customer(conn: AsyncConnection, tenant: Tenant, customer_id: str) -> None:
    """Note that the usage of all watched subscriptions of a customer changes."""
    own = subscriptions.c
    mine = select(own.subscription_id).filter_by(tenant=tenant, customer_id=customer_id)
    await conn.execute(
        insert(watch_notes).from_select(
            ["tenant", "subscription_id", "purpose"],
            select(watches)
            .filter_by(tenant=tenant)
            .where(watches.c.subscription_id.in_(mine.distinct())),
        )
    )


async def find_noted(conn: AsyncConnection, purpose: Purpose, *, limit: int) -> Sequence[Noted]:
    """Return up to `limit` subscriptions of all tenants with notes, the longest waiting first."""
    columns = watch_notes.c
    query = (
        select(
            columns.tenant,
            columns.subscription_id,
            func.array_agg(columns.note_id, type_=ARRAY(BigInteger)).label("note_ids"),
        )
        .where(columns.purpose == purpose)
        .group_by(columns.tenant, columns.subscription_id)
        .order_by(func.min(columns.note_id))
        .limit(limit)
    )
    return [
        Noted(Tenant(row.tenant), row.subscription_id, tuple(row.note_ids))
        for row in await conn.execute(query)
    ]


async def strike_off(conn: AsyncConnection, noted: Iterable[Noted]) -> None:
    """Delete the notes that were read, and no others; those that another deleted do no harm."""
    ids = [note_id for one in noted for note_id in one.note_ids]
    if ids:
        await conn.execute(delete(watch_notes).where(among(watch_notes.c.note_id, sorted(ids))))


async def count_noted(conn: AsyncConnection) -> int:
    """Return how many notes wait, of all tenants and purposes."""
    return int((await conn.execute(_COUNT_NOTED)).scalar_one())


def _note_changed() -> Any:
    asked = (
        func.unnest(
            bindparam("asked_tenants", type_=ARRAY(Integer)),
            bindparam("asked_ids", type_=ARRAY(Text)),
        )
        .table_valued("tenant", "subscription_id", name="asked")
        .render_derived()
    )
    same = (watches.c.tenant == asked.c.tenant) & (
        watches.c.subscription_id == asked.c.subscription_id
    )
    return insert(watch_notes).from_select(
        ["tenant", "subscription_id", "purpose"], select(watches).join(asked, same)
    )


_NOTE_CHANGED = _note_changed()
_COUNT_NOTED = select(func.count()).select_from(watch_notes)
