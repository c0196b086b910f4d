"""Request ids: a command that comes twice takes effect once and gets its first answer again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
    any_,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.errors import AlreadyExists
from libs.inserting import compiled_once
from libs.tenant import Tenant

Answer = TypeVar("Answer", bound=Message)


class RequestIdReused(AlreadyExists):
    reason = "REQUEST_ID_REUSED"


Key = tuple[str, UUID]  # Method and id.


@dataclass(frozen=True, slots=True)
class Request:
    """One intent of a caller: `method` and `request_id` name it, `digest` is of its content."""

    method: str
    request_id: UUID
    digest: bytes

    @property
    def key(self) -> Key:
        return (self.method, self.request_id)


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


@dataclass(frozen=True, slots=True)
class Answered:
    """What a request got: `digest` is of the content that it came with."""

    digest: bytes
    answer: bytes

    def check_same(self, request: Request) -> None:
        """Refuse a repeat that is none.

        Raises:
            RequestIdReused: `request` has other content.
        """
        if self.digest != request.digest:
            raise RequestIdReused(f"request_id {request.request_id} came before with other content")


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
    if (await conn.execute(CLAIM, {**key, "digest": request.digest})).rowcount == 1:
        return None
    # A statement of its own: the insert's snapshot is older than the row it lost to.
    earlier = (await conn.execute(select(requests).filter_by(**key))).one()
    Answered(earlier.digest, earlier.answer).check_same(request)
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


CLAIM = compiled_once(
    insert(requests)
    .values({name: bindparam(name) for name in ("tenant", "method", "request_id", "digest")})
    .on_conflict_do_nothing()
)
FIND = select(requests).where(
    requests.c.tenant == bindparam("of_tenant"),
    requests.c.method == any_(bindparam("methods", type_=ARRAY(Text))),
    requests.c.request_id == any_(bindparam("ids", type_=ARRAY(Uuid))),
)
STORE = (
    insert(requests)
    .from_select(
        ["tenant", "method", "request_id", "digest", "answer"],
        select(
            bindparam("of_tenant", type_=Integer),
            func.unnest(bindparam("methods", type_=ARRAY(Text))),
            func.unnest(bindparam("ids", type_=ARRAY(Uuid))),
            func.unnest(bindparam("digests", type_=ARRAY(LargeBinary))),
            func.unnest(bindparam("answers", type_=ARRAY(LargeBinary))),
        ),
    )
    .on_conflict_do_nothing()
)


async def find_answers(
    conn: AsyncConnection, tenant: Tenant, keys: Collection[Key]
) -> dict[Key, Answered]:
    """Return the answers that requests got before, of those that did."""
    values = {
        "of_tenant": tenant,
        "methods": sorted({method for method, _ in keys}),
        "ids": [request_id for _, request_id in keys],
    }
    found = await conn.execute(FIND, values)
    return {(row.method, row.request_id): Answered(row.digest, row.answer) for row in found}


async def store_answers(
    conn: AsyncConnection, tenant: Tenant, answered: Mapping[Key, Answered]
) -> bool:
    """Store answers for every repeat, in the order of their ids; False: one is taken by now.

    The other way to be idempotent: with what they change locked, `find_answers`, do what has none,
    and store last. Two first attempts wait for each other at the lock, or else one of them here:
    after False roll back and begin anew, and the answer will be found.
    """
    keys = sorted(answered)  # Else two of us could wait for each other.
    values = {
        "of_tenant": tenant,
        "methods": [method for method, _ in keys],
        "ids": [request_id for _, request_id in keys],
        "digests": [answered[key].digest for key in keys],
        "answers": [answered[key].answer for key in keys],
    }
    return (await conn.execute(STORE, values)).rowcount == len(keys)
