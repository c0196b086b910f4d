"""Transactional outbox: facts are rows first, messages second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from google.protobuf.message import Message
from opentelemetry import propagate
from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Row,
    Select,
    Table,
    Text,
    Update,
    Uuid,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant

outbox = Table(
    "outbox",
    MetaData(),
    Column("tenant", Integer),
    Column("event_id", Uuid),
    Column("id", BigInteger, Identity(), nullable=False),  # Order of writing; has gaps.
    Column("seq", BigInteger),  # Order of publishing over all tenants; gapless, kept for good.
    Column("subject", Text, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("published_at", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant", "event_id"),
    Index("outbox_unnumbered", "id", postgresql_where=text("seq IS NULL")),
    Index("outbox_unpublished", "seq", postgresql_where=text("published_at IS NULL")),
    Index("outbox_by_seq", "seq", postgresql_where=text("seq IS NOT NULL")),
)

INSERT = insert(outbox)

Announcement = tuple[Tenant, Message, Mapping[str, str]]  # Whose, what, and the trace's headers.


@dataclass(frozen=True, slots=True)
class Head:
    """How far an outbox has come: the newest number, and how many rows are not published."""

    seq: int
    waiting: int


async def append(conn: AsyncConnection, tenant: Tenant, event: Message) -> None:
    """Add `event` to the outbox in the caller's transaction, with the current trace context."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    await append_all(conn, [(tenant, event, headers)])


async def append_all(conn: AsyncConnection, events: Sequence[Announcement]) -> None:
    """Add events to the outbox in the caller's transaction, in that order.

    The subject is the protobuf full name, so a message type has one name everywhere.
    """
    if events:
        rows = [
            {
                "tenant": tenant,
                "event_id": uuid4(),
                "subject": event.DESCRIPTOR.full_name,
                "headers": dict(headers),
                "payload": event.SerializeToString(),
            }
            for tenant, event, headers in events
        ]
        await conn.execute(INSERT, rows)


def _number_waiting() -> Update:
    numbered = outbox.alias()
    head = select(func.coalesce(func.max(numbered.c.seq), 0)).scalar_subquery()
    place = func.row_number().over(order_by=outbox.c.id).label("place")
    waiting = (
        select(outbox.c.tenant, outbox.c.event_id, place)
        .where(outbox.c.seq.is_(None))
        .order_by(outbox.c.id)
        .limit(bindparam("batch_max", type_=Integer))
        .subquery()
    )
    return (
        update(outbox)
        .where(outbox.c.tenant == waiting.c.tenant, outbox.c.event_id == waiting.c.event_id)
        .values(seq=head + waiting.c.place)
    )


def _load_head() -> Select[Any]:
    newest = select(func.coalesce(func.max(outbox.c.seq), 0)).scalar_subquery()
    waiting = (
        select(func.count()).where(outbox.c.published_at.is_(None)).select_from(outbox)
    ).scalar_subquery()
    return select(newest.label("seq"), waiting.label("waiting"))


# Made once: a relay that has nothing to do asks five times a second.
IS_WAITING = select(select(1).where(outbox.c.published_at.is_(None)).exists())
NUMBER_WAITING = _number_waiting()
FIND_UNPUBLISHED = (
    select(outbox)
    .where(outbox.c.published_at.is_(None), outbox.c.seq.is_not(None))
    .order_by(outbox.c.seq)
    .limit(bindparam("batch_max", type_=Integer))
)
LOAD_HEAD = _load_head()


async def is_waiting(conn: AsyncConnection) -> bool:
    """Tell whether there is an event that no one has confirmed to be published."""
    return bool((await conn.execute(IS_WAITING)).scalar_one())


async def number_waiting(conn: AsyncConnection, *, batch_max: int) -> None:
    """Give up to `batch_max` waiting events the next numbers. Only the leading relay may.

    They are found by having no number, never by "id above the last one seen": ids become
    visible in commit order. Pruning leaves the newest row, so numbers never start over.
    """
    await conn.execute(NUMBER_WAITING, {"batch_max": batch_max})


async def find_unpublished(conn: AsyncConnection, *, batch_max: int) -> Sequence[Row[Any]]:
    """Return numbered events that no one has confirmed to be published, in order."""
    return (await conn.execute(FIND_UNPUBLISHED, {"batch_max": batch_max})).all()


async def mark_published(conn: AsyncConnection, *, first: int, last: int) -> None:
    """Confirm the events numbered `first` to `last`."""
    await conn.execute(
        update(outbox).where(outbox.c.seq.between(first, last)).values(published_at=func.now())
    )


async def load_after(conn: AsyncConnection, seq: int, *, batch_max: int) -> Sequence[Row[Any]]:
    """Return up to `batch_max` numbered events after `seq`, in order, published or not."""
    query = select(outbox).where(outbox.c.seq > seq).order_by(outbox.c.seq).limit(batch_max)
    return (await conn.execute(query)).all()


async def load_head(conn: AsyncConnection) -> Head:
    """Return how far the outbox has come, over all tenants: `conn` is the worker's."""
    row = (await conn.execute(LOAD_HEAD)).one()
    return Head(seq=row.seq, waiting=row.waiting)
