"""Events that are kept beside the log, with the reason why they are not in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any
from uuid import UUID

from sqlalchemy import Row, and_, func, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.driver import driver
from libs.errors import NotFound
from libs.schema import among
from libs.tenant import Tenant
from services.ingest.domain.candidates import Candidates
from services.ingest.domain.validation import Reason, Rejection
from services.ingest.domain.verdicts import Refused
from services.ingest.domain.wire import Field
from services.ingest.store.schema import rejected_event


class RejectedEventNotFound(NotFound):
    """The tenant has no such rejected event."""

    reason = "REJECTED_EVENT_NOT_FOUND"


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ROWS_MAX = 1_000  # Of one statement, which holds their contents twice.
TEXT_CHARACTERS_MAX = 1_024
KeptRow = dict[str, Any]  # By the names in KEPT.
KEPT = (
    "tenant",
    "rejected_event_id",
    "customer_id",
    "reason",
    "field",
    "detail",
    "content",
    "received_at",
    "times_sent",
)
# As arrays: of ten thousand rows as parameters, writing the statement alone would take seconds.
KEEP = f"""
    INSERT INTO rejected_event AS kept ({", ".join(KEPT)})
    SELECT * FROM unnest(
        $1::int[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bytea[],
        $8::timestamptz[], $9::bigint[]
    )
    ON CONFLICT (tenant, rejected_event_id) DO UPDATE
    SET times_sent = kept.times_sent + excluded.times_sent, resubmitted_at = NULL
"""


@dataclass(frozen=True, slots=True)
class RejectedEvent:
    """An event that counts nowhere. `content` is the Event as it was sent."""

    rejected_event_id: UUID
    rejection: Rejection
    content: bytes
    received_at: datetime
    times_sent: int


@dataclass(frozen=True, slots=True)
class RejectedPage:
    """What a page of rejected events asks for; empty texts and None do not choose."""

    customer_id: str
    reason: str
    before: tuple[datetime, UUID] | None
    rows_max: int
    bytes_max: int


def rows_of_refused(candidates: Candidates, refused: Sequence[Refused]) -> list[KeptRow]:
    """Return what is kept of `refused`, in the order of its ids. Runs in a thread."""
    rows: dict[tuple[int, UUID], KeptRow] = {}
    contents = candidates.contents([one.row for one in refused])
    for one, content in zip(refused, contents, strict=True):
        row = _row(candidates, one, content)
        first = rows.setdefault((row["tenant"], row["rejected_event_id"]), row)
        if first is not row:
            first["times_sent"] += 1
    return [rows[identity] for identity in sorted(rows)]


async def keep_refused(conn: AsyncConnection, rows: Sequence[KeptRow]) -> None:
    """Keep refused events; one that is there already only counts up.

    In the order of their ids two transactions wait for each other and never deadlock. A statement
    ran before in this one.
    """
    async with driver(conn) as raw:
        for start in range(0, len(rows), ROWS_MAX):
            some = rows[start : start + ROWS_MAX]
            await raw.execute(KEEP, *([row[name] for row in some] for name in KEPT))


async def find_rejected(
    conn: AsyncConnection, tenant: Tenant, page: RejectedPage
) -> tuple[list[RejectedEvent], bool]:
    """Return the next rejected events, newest first, and whether more follow.

    At most `rows_max`, and as many as fit into `bytes_max`, one at least if there is any.
    """
    rows = (await conn.execute(_page_query(tenant, page))).all()
    more = bool(rows) and rows[0].listed > len(rows)
    return [_rejected(row) for row in rows], more


async def load_contents(
    conn: AsyncConnection, tenant: Tenant, ids: Sequence[UUID]
) -> dict[UUID, bytes]:
    """Return the rejected events `ids`, resubmitted or not, as they were sent.

    Raises:
        RejectedEventNotFound: there is none of one of these ids.
    """
    columns = rejected_event.c
    query = select(columns.rejected_event_id, columns.content).where(
        columns.tenant == tenant, among(columns.rejected_event_id, ids)
    )
    found = {row.rejected_event_id: row.content for row in await conn.execute(query)}
    for one in ids:
        if one not in found:
            raise RejectedEventNotFound(f"no rejected event has the id {one}")
    return found


async def mark_resubmitted(
    conn: AsyncConnection, tenant: Tenant, ids: Sequence[UUID], *, now: datetime
) -> None:
    """Note that rejected events were recorded after all, in the order of their ids."""
    columns = rejected_event.c
    locking = (
        select(columns.rejected_event_id)
        .where(columns.tenant == tenant, among(columns.rejected_event_id, ids))
        .order_by(columns.rejected_event_id)
        .with_for_update()
    )
    await conn.execute(locking)
    marking = update(rejected_event).where(
        columns.tenant == tenant, among(columns.rejected_event_id, ids)
    )
    await conn.execute(marking.values(resubmitted_at=now))


def _page_query(tenant: Tenant, page: RejectedPage) -> Any:
    columns = rejected_event.c
    place = (columns.received_at, columns.rejected_event_id)
    chosen = [columns.tenant == tenant, columns.resubmitted_at.is_(None)]
    if page.customer_id:
        chosen.append(columns.customer_id == page.customer_id)
    if page.reason:
        chosen.append(columns.reason == page.reason)
    if page.before is not None:
        chosen.append(tuple_(*place) < page.before)
    newest = [column.desc() for column in place]
    listed = (
        select(*place, func.octet_length(columns.content).label("size"))
        .where(*chosen)
        .order_by(*newest)
        .limit(page.rows_max + 1)
        .subquery()
    )
    order = [listed.c.received_at.desc(), listed.c.rejected_event_id.desc()]
    summed = select(
        listed.c.rejected_event_id,
        func.sum(listed.c.size).over(order_by=order).label("through"),
        func.row_number().over(order_by=order).label("place"),
        func.count().over().label("listed"),
    ).subquery()
    fits = (summed.c.place <= page.rows_max) & (
        (summed.c.through <= page.bytes_max) | (summed.c.place == 1)
    )
    same = and_(columns.tenant == tenant, columns.rejected_event_id == summed.c.rejected_event_id)
    joined = select(rejected_event, summed.c.listed).join(summed, same)
    return joined.where(fits).order_by(*newest)


def _row(candidates: Candidates, one: Refused, content: bytes) -> KeptRow:
    rejection = one.rejection
    # No two reasons share a row: limits change, and the same event may break another one.
    identity = blake2b(content, digest_size=16, key=rejection.reason.value.encode())
    return {
        "tenant": int(candidates.tenants[one.row]),
        "rejected_event_id": UUID(bytes=identity.digest()),
        "customer_id": _storable(candidates.text(Field.CUSTOMER_ID, one.row)),
        "reason": rejection.reason.value,
        "field": _storable(rejection.field),
        "detail": _storable(rejection.detail),
        "content": content,
        "received_at": EPOCH + timedelta(microseconds=int(candidates.received[one.row])),
        "times_sent": 1,
    }


def _rejected(row: Row[Any]) -> RejectedEvent:
    return RejectedEvent(
        rejected_event_id=row.rejected_event_id,
        rejection=Rejection(Reason(row.reason), row.field, row.detail),
        content=row.content,
        received_at=row.received_at,
        times_sent=row.times_sent,
    )


def _storable(text: str) -> str:
    """Return `text` as a column can hold it; the content keeps it whole."""
    return text.replace("\0", "\ufffd")[:TEXT_CHARACTERS_MAX]
