"""Facts from other services: taken once, in order, or kept as dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant


@dataclass(frozen=True, slots=True)
class Fact:
    """What another service announced: the `seq`-th fact of `source`; `payload` is a protobuf."""

    tenant: Tenant
    source: str
    seq: int
    event_id: UUID
    subject: str
    payload: bytes
    headers: dict[str, str] = field(default_factory=dict)


inbox_head = Table(
    "inbox_head",
    MetaData(),
    Column("source", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

dead_letter = Table(
    "dead_letter",
    MetaData(),
    Column("tenant", Integer),
    Column("source", Text),
    Column("seq", BigInteger),
    Column("event_id", Uuid, nullable=False),
    Column("subject", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("error", Text, nullable=False),
    Column("buried_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("tenant", "source", "seq"),
)


async def load_head(conn: AsyncConnection, source: str) -> int:
    """Return the number of the last fact of `source` that took effect; 0 for none."""
    query = select(inbox_head.c.seq).filter_by(source=source)
    return (await conn.execute(query)).scalar_one_or_none() or 0


async def open_source(conn: AsyncConnection, source: str) -> None:
    """Make sure that `source` has a cursor."""
    await conn.execute(insert(inbox_head).values(source=source, seq=0).on_conflict_do_nothing())


async def claim(conn: AsyncConnection, facts: Sequence[Fact]) -> bool:
    """Move the cursor over consecutive `facts` in the caller's transaction.

    False if the first is not the next one. The same facts in another transaction wait here until
    that one has ended.
    """
    first, last = facts[0], facts[-1]
    moved = await conn.execute(
        update(inbox_head).filter_by(source=first.source, seq=first.seq - 1).values(seq=last.seq)
    )
    return moved.rowcount == 1


async def bury(conn: AsyncConnection, fact: Fact, error: Exception) -> None:
    """Keep a fact that cannot be handled, with the reason, for a person to look at."""
    await conn.execute(
        insert(dead_letter).values(
            tenant=fact.tenant,
            source=fact.source,
            seq=fact.seq,
            event_id=fact.event_id,
            subject=fact.subject,
            payload=fact.payload,
            error=repr(error),
        )
    )
