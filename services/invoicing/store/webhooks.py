"""Reading and writing endpoints of webhooks and their deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Interval,
    Row,
    Select,
    and_,
    any_,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.inbox import inbox_head, open_source
from libs.outbox import outbox
from libs.schema import among
from libs.tenant import Tenant
from services.invoicing.domain.webhook import (
    FACT_TYPES,
    GIVE_UP_AFTER,
    Delivery,
    DeliveryStatus,
    Endpoint,
    WebhookDeliveryNotFound,
    WebhookEndpointNotFound,
)
from services.invoicing.store.webhook_schema import webhook_deliveries as deliveries
from services.invoicing.store.webhook_schema import webhook_endpoints as endpoints

SOURCE = "INVOICING"  # The cursor over the service's own facts, beside those of its peers.
PACKAGE = "tally.invoicing.v1."
OFFERED_MAX = 1_000
CLAIM = timedelta(seconds=30)  # Longer than an attempt may take.
OF_ENDPOINT = and_(
    deliveries.c.tenant == endpoints.c.tenant, deliveries.c.endpoint_id == endpoints.c.endpoint_id
)
FACT_TYPE = func.substr(outbox.c.subject, len(PACKAGE) + 1)
WANTED = and_(
    outbox.c.tenant == endpoints.c.tenant,
    ~endpoints.c.disabled,
    among(outbox.c.subject, [PACKAGE + name for name in FACT_TYPES]),
    or_(func.cardinality(endpoints.c.fact_types) == 0, FACT_TYPE == any_(endpoints.c.fact_types)),
)
UNCLAIMED = or_(deliveries.c.claimed_until.is_(None), deliveries.c.claimed_until < func.now())


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is to be sent now, with where to."""

    tenant: Tenant
    delivery: Delivery
    endpoint: Endpoint


async def offer_facts(conn: AsyncConnection, *, now: datetime) -> int:
    """Make deliveries of up to 1,000 facts that were not looked at yet; return of how many.

    Facts are taken in the order in which they are published, each once: the cursor moves in the
    same transaction. `conn` is the worker's.
    """
    head = select(func.max(outbox.c.seq)).scalar_subquery()
    cursor = select(inbox_head.c.seq, head.label("head")).filter_by(source=SOURCE)
    row = (await conn.execute(cursor)).one_or_none()
    if row is None:
        await open_source(conn, SOURCE)
        return 0
    last = min(row.head or 0, row.seq + OFFERED_MAX)
    if last <= row.seq:
        return 0
    # Another process that takes the same facts waits here, and finds the cursor moved.
    moved = update(inbox_head).filter_by(source=SOURCE, seq=row.seq).values(seq=last)
    if (await conn.execute(moved)).rowcount != 1:
        return 0
    columns = {
        "tenant": outbox.c.tenant,
        "delivery_id": func.gen_random_uuid(),
        "endpoint_id": endpoints.c.endpoint_id,
        "event_id": outbox.c.event_id,
        "fact_type": FACT_TYPE,
        "payload": outbox.c.payload,
        "status": literal(DeliveryStatus.PENDING.value),
        "created_at": literal(now),
        "give_up_at": literal(now + GIVE_UP_AFTER),
        "next_attempt_at": literal(now),
    }
    wanted = select(*columns.values()).join_from(outbox, endpoints, WANTED)
    chosen = wanted.where(outbox.c.seq > row.seq, outbox.c.seq <= last).order_by(outbox.c.seq)
    await conn.execute(insert(deliveries).from_select(list(columns), chosen))
    return int(last - row.seq)


async def claim_due(
    conn: AsyncConnection, *, now: datetime, limit: int, of_endpoint_max: int
) -> list[Claimed]:
    """Claim up to `limit` deliveries that are due, over all tenants: `conn` is the worker's.

    Of an endpoint at most `of_endpoint_max` are claimed at any instant, by whichever process.
    """
    first = (
        select(deliveries.c.delivery_id, deliveries.c.next_attempt_at, deliveries.c.claimed_until)
        .where(OF_ENDPOINT, deliveries.c.next_attempt_at <= now)
        .order_by(deliveries.c.next_attempt_at, deliveries.c.ordinal)
        .limit(of_endpoint_max)
        .correlate(endpoints)
        .lateral()
    )
    free = or_(first.c.claimed_until.is_(None), first.c.claimed_until < func.now())
    picked = (
        select(endpoints, first.c.delivery_id)
        .join_from(endpoints, first, true())
        .where(~endpoints.c.disabled, free)
        .order_by(first.c.next_attempt_at)
        .limit(limit)
        .subquery()
    )
    claimed = (
        update(deliveries)
        .where(
            deliveries.c.tenant == picked.c.tenant,
            deliveries.c.delivery_id == picked.c.delivery_id,
            UNCLAIMED,
        )
        .values(
            attempts=deliveries.c.attempts + 1,
            claimed_until=func.now() + literal(CLAIM, Interval),
        )
        .returning(deliveries, *(column.label(f"of_{column.name}") for column in picked.c))
    )
    rows = (await conn.execute(claimed)).all()
    return [Claimed(Tenant(row.tenant), delivery_of(row), _endpoint_claimed(row)) for row in rows]


async def is_due(conn: AsyncConnection, *, now: datetime) -> bool:
    """Tell cheaply whether `claim_due` may find something."""
    query = select(deliveries.c.delivery_id).where(deliveries.c.next_attempt_at <= now).limit(1)
    return (await conn.execute(query)).first() is not None


async def count_undelivered(
    conn: AsyncConnection, *, now: datetime
) -> tuple[int, int, datetime | None]:
    """Return how many facts wait to be offered, how many deliveries are due, when the next is."""
    cursor = select(inbox_head.c.seq).filter_by(source=SOURCE).scalar_subquery()
    waiting = select(func.count()).join_from(outbox, endpoints, WANTED)
    unoffered = await conn.scalar(waiting.where(outbox.c.seq > func.coalesce(cursor, 0)))
    at = deliveries.c.next_attempt_at
    columns = (
        func.count().filter(at <= now).label("due"),
        func.min(at).filter(at > now).label("next_at"),
    )
    joined = select(*columns).join_from(deliveries, endpoints, OF_ENDPOINT)
    row = (await conn.execute(joined.where(at.is_not(None), ~endpoints.c.disabled))).one()
    return int(unoffered or 0), row.due, row.next_at and row.next_at.astimezone(UTC)


async def save_attempt(
    conn: AsyncConnection, tenant: Tenant, delivery: Delivery, attempted: Delivery
) -> None:
    """Store what came of an attempt, unless the delivery was replayed or claimed anew since."""
    which = {"tenant": tenant, "delivery_id": delivery.delivery_id}
    same = update(deliveries).filter_by(**which, attempts=delivery.attempts)
    await conn.execute(
        same.values(
            status=attempted.status,
            last_status_code=attempted.last_status_code,
            last_error=attempted.last_error,
            next_attempt_at=attempted.next_attempt_at,
            claimed_until=None,
        )
    )


async def replay(
    conn: AsyncConnection, tenant: Tenant, delivery_id: UUID, *, now: datetime
) -> None:
    """Have a delivery sent again, as if it were new."""
    await conn.execute(
        update(deliveries)
        .filter_by(tenant=tenant, delivery_id=delivery_id)
        .values(
            status=DeliveryStatus.PENDING,
            attempts=0,
            next_attempt_at=now,
            give_up_at=now + GIVE_UP_AFTER,
        )
    )


async def load_delivery(conn: AsyncConnection, tenant: Tenant, delivery_id: UUID) -> Delivery:
    """Return a delivery.

    Raises:
        WebhookDeliveryNotFound: the tenant has none.
    """
    query = select(deliveries).filter_by(tenant=tenant, delivery_id=delivery_id)
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise WebhookDeliveryNotFound(f"no delivery {delivery_id}")
    return delivery_of(row)


async def list_deliveries(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    endpoint_id: UUID | None,
    status: DeliveryStatus | None,
    before: int | None,
    limit: int,
) -> list[tuple[int, Delivery]]:
    """Return deliveries older than the ordinal `before`, newest first, each with its ordinal."""
    query = _newest(deliveries, tenant, before, limit)
    if endpoint_id is not None:
        query = query.where(deliveries.c.endpoint_id == endpoint_id)
    if status is not None:
        query = query.where(deliveries.c.status == status)
    return [(row.ordinal, delivery_of(row)) for row in await conn.execute(query)]


async def save_endpoint(conn: AsyncConnection, tenant: Tenant, endpoint: Endpoint) -> None:
    """Store an endpoint, new or in place of what it was."""
    values = {
        "url": endpoint.url,
        "fact_types": list(endpoint.fact_types),
        "disabled": endpoint.disabled,
        "secret": endpoint.secret,
        "previous_secret": endpoint.previous_secret,
        "previous_secret_until": endpoint.previous_secret_until,
    }
    row = upsert(endpoints).values(
        tenant=tenant,
        endpoint_id=endpoint.endpoint_id,
        created_at=endpoint.created_at,
        **values,
    )
    key = ["tenant", "endpoint_id"]
    await conn.execute(row.on_conflict_do_update(index_elements=key, set_=values))


async def lock_endpoint(conn: AsyncConnection, tenant: Tenant, endpoint_id: UUID) -> Endpoint:
    """Return an endpoint, locked.

    Raises:
        WebhookEndpointNotFound: the tenant has none.
    """
    query = select(endpoints).filter_by(tenant=tenant, endpoint_id=endpoint_id).with_for_update()
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise WebhookEndpointNotFound(f"no webhook endpoint {endpoint_id}")
    return endpoint_of(row._mapping)


async def list_endpoints(
    conn: AsyncConnection, tenant: Tenant, *, before: int | None, limit: int
) -> list[tuple[int, Endpoint]]:
    """Return endpoints older than the ordinal `before`, newest first, each with its ordinal."""
    rows = await conn.execute(_newest(endpoints, tenant, before, limit))
    return [(row.ordinal, endpoint_of(row._mapping)) for row in rows]


async def delete_endpoint(conn: AsyncConnection, tenant: Tenant, endpoint_id: UUID) -> None:
    """Delete an endpoint with its deliveries."""
    await conn.execute(delete(endpoints).filter_by(tenant=tenant, endpoint_id=endpoint_id))


def _newest(table: Any, tenant: Tenant, before: int | None, limit: int) -> Select[Any]:
    query = select(table).where(table.c.tenant == tenant)
    if before is not None:
        query = query.where(table.c.ordinal < before)
    return query.order_by(table.c.ordinal.desc()).limit(limit)


def delivery_of(row: Row[Any]) -> Delivery:
    """Return the delivery in a row."""
    return Delivery(
        delivery_id=row.delivery_id,
        endpoint_id=row.endpoint_id,
        event_id=row.event_id,
        fact_type=row.fact_type,
        payload=row.payload,
        status=DeliveryStatus(row.status),
        attempts=row.attempts,
        last_status_code=row.last_status_code,
        last_error=row.last_error,
        created_at=row.created_at.astimezone(UTC),
        give_up_at=row.give_up_at.astimezone(UTC),
        next_attempt_at=row.next_attempt_at and row.next_attempt_at.astimezone(UTC),
    )


def endpoint_of(columns: Any) -> Endpoint:
    """Return the endpoint in columns of its table, by name."""
    until = columns["previous_secret_until"]
    return Endpoint(
        endpoint_id=columns["endpoint_id"],
        url=columns["url"],
        fact_types=tuple(columns["fact_types"]),
        disabled=columns["disabled"],
        secret=columns["secret"],
        previous_secret=columns["previous_secret"],
        previous_secret_until=until and until.astimezone(UTC),
        created_at=columns["created_at"].astimezone(UTC),
    )


def _endpoint_claimed(row: Row[Any]) -> Endpoint:
    found: Sequence[str] = [name for name in row._mapping if name.startswith("of_")]
    return endpoint_of({name.removeprefix("of_"): row._mapping[name] for name in found})
