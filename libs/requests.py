"""Request ids: a command that comes twice takes effect once and gets its first answer again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from google.protobuf.message import Message
from sqlalchemy import (
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

from libs.errors import AlreadyExists
from libs.tenant import Tenant

Answer = TypeVar("Answer", bound=Message)


class RequestIdReused(AlreadyExists):
    reason = "REQUEST_ID_REUSED"


@dataclass(frozen=True, slots=True)
class Request:
    """One intent of a caller: `method` and `request_id` name it, `digest` is of its content."""

    method: str
    request_id: UUID
    digest: bytes


requests = Table(
    "requests",
    MetaData(),
    Column("tenant", Integer),
    Column("method", Text),
    Column("request_id", Uuid),
    Column("digest", LargeBinary, nullable=False),
    Column("answer", LargeBinary),  # A proto; null only inside the transaction that claims.
    Column("claimed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("tenant", "method", "request_id"),
)


async def claim(
    conn: AsyncConnection, tenant: Tenant, request: Request, answer_type: type[Answer]
) -> Answer | None:
    """Take `request` for the caller's transaction, or return the answer it got before.

    None says: do it, then `save_answer`. A first attempt still running elsewhere is waited
    for. A refusal rolls back and takes its claim along, so the same id may succeed later.

    Raises:
        RequestIdReused: the id came before with other content.
    """
    key = {"tenant": tenant, "method": request.method, "request_id": request.request_id}
    taking = insert(requests).values(**key, digest=request.digest)
    if (await conn.execute(taking.on_conflict_do_nothing())).rowcount == 1:
        return None
    # A statement of its own: the insert's snapshot is older than the row it lost to.
    earlier = (await conn.execute(select(requests).filter_by(**key))).one()
    if earlier.digest != request.digest:
        raise RequestIdReused(f"request_id {request.request_id} came before with other content")
    return answer_type.FromString(earlier.answer)


async def save_answer(
    conn: AsyncConnection, tenant: Tenant, request: Request, answer: Message
) -> None:
    """Store `answer` for every repeat of the claimed `request`."""
    await conn.execute(
        update(requests)
        .filter_by(tenant=tenant, method=request.method, request_id=request.request_id)
        .values(answer=answer.SerializeToString())
    )
