"""Reading and writing subscriptions and their terms."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Date,
    Integer,
    Row,
    Select,
    TextClause,
    Uuid,
    bindparam,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.inserting import compiled_once
from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.calendar import BillingTime
from services.rating.domain.life import Leg, next_change
from services.rating.domain.subscription import (
    ENDED,
    Subscription,
    SubscriptionIdTaken,
    SubscriptionNotFound,
    SubscriptionStatus,
    UnusedFee,
)
from services.rating.store.base import INSTANT
from services.rating.store.legs import insert_legs
from services.rating.store.schema import plan_versions, subscriptions, terms

BATCH_MAX = 200
EXTEND_MAX = 1_000  # They share their statements.
EARLIEST = datetime(1, 1, 5, tzinfo=UTC)  # The start of early terms: no event is as old.


@dataclass(frozen=True, slots=True)
class Extent:
    """How far the billing periods of a subscription are written.

    `written_day` lies in the last week or month written (None: none is), and from `extend_at`
    on more are needed (None: all are written).
    """

    written_day: date | None
    extend_at: datetime | None


@cache
def _add(names: tuple[str, ...]) -> TextClause:
    """Add a subscription of which these columns are given, if no live one has its id."""
    adding = postgresql.insert(subscriptions).values({name: bindparam(name) for name in names})
    return compiled_once(adding.on_conflict_do_nothing())


async def insert_subscription(
    conn: AsyncConnection, tenant: Tenant, subscription: Subscription, legs: Sequence[Leg]
) -> None:
    """Add `subscription` with its legs.

    Raises:
        SubscriptionIdTaken: a pending or active one has its id.
    """
    row = {
        "tenant": tenant,
        "subscription_uid": subscription.subscription_uid,
        "subscription_id": subscription.subscription_id,
        "customer_id": subscription.customer_id,
        "plan_version_id": subscription.plan_version_id,
        "currency": subscription.currency,
        "starts_at": subscription.start,
        "ends_at": subscription.end,
        "time_zone": subscription.time_zone,
        "status": subscription.status,
        "default_for_usage": subscription.default_for_usage,
        "collection_delay_s": subscription.collection_delay_s,
        "created_at": subscription.created_at,
        "billing_time": subscription.billing_time,
        "anchor_day": subscription.anchor_day,
        "revision": subscription.revision,
        "changes_at": next_change(legs, subscription.created_at),
        "unused_fee": subscription.unused_fee,
        "final_invoice": subscription.final_invoice,
        "metadata": dict(subscription.metadata),
        "billed_from": subscription.billed_from,
        "billing_entity_code": subscription.billing_entity_code,
    }
    if (await conn.execute(_add(tuple(row)), row)).rowcount == 0:
        raise SubscriptionIdTaken(
            f"a pending or active subscription has the id {subscription.subscription_id}"
        )
    await insert_legs(conn, tenant, subscription.subscription_uid, legs)


async def insert_early_term(
    conn: AsyncConnection, tenant: Tenant, subscription: Subscription, *, term_id: UUID
) -> None:
    """Add the term of all time before `subscription` starts."""
    await conn.execute(
        insert(terms).values(
            tenant=tenant,
            term_id=term_id,
            subscription_uid=subscription.subscription_uid,
            plan_version_id=subscription.plan_version_id,
            time_zone=subscription.time_zone,
            starts_at=EARLIEST,
            ends_at=subscription.start,
            first_day=EARLIEST.date(),
            default_for_usage=subscription.default_for_usage,
            early=True,
        )
    )


async def load_newest(
    conn: AsyncConnection, tenant: Tenant, subscription_id: str, *, lock: bool = False
) -> Subscription:
    """Return the newest life of `subscription_id`, locked if the caller will change it.

    Raises:
        SubscriptionNotFound: there is none.
    """
    query = _NEWEST.with_for_update(of=subscriptions) if lock else _NEWEST
    asked = {"of_tenant": tenant, "id": subscription_id}
    row = (await conn.execute(query, asked)).one_or_none()
    if row is None:
        raise SubscriptionNotFound(f"no subscription {subscription_id}")
    return read_subscription(row)


async def find_on_plan(
    conn: AsyncConnection, tenant: Tenant, plan_code: str, *, after: UUID, limit: int
) -> list[UUID]:
    """Return up to `limit` lives on a plan that have not ended, by uid, behind `after`."""
    columns = subscriptions.c
    query = (
        select(columns.subscription_uid)
        .join(
            plan_versions,
            (plan_versions.c.tenant == columns.tenant)
            & (plan_versions.c.plan_version_id == columns.plan_version_id),
        )
        .where(
            columns.tenant == tenant,
            plan_versions.c.plan_code == plan_code,
            columns.status.not_in(ENDED),
            columns.subscription_uid > after,
        )
        .order_by(columns.subscription_uid)
        .limit(limit)
    )
    return list((await conn.execute(query)).scalars())


async def load_subscription(
    conn: AsyncConnection, tenant: Tenant, uid: UUID, *, lock: bool = False
) -> Subscription:
    """Return a life that is known to exist, locked if the caller will change it."""
    query = select_subscriptions(tenant).where(subscriptions.c.subscription_uid == uid)
    if lock:
        query = query.with_for_update(of=subscriptions)
    return read_subscription((await conn.execute(query)).one())


async def list_subscriptions(
    conn: AsyncConnection,
    tenant: Tenant,
    *,
    customer_id: str,
    after: tuple[str, datetime, UUID] | None,
    limit: int,
) -> Sequence[Subscription]:
    """Return up to `limit` subscriptions by id, start and uid, after those keys."""
    columns = subscriptions.c
    query = select_subscriptions(tenant)
    if customer_id:
        query = query.where(columns.customer_id == customer_id)
    keys = tuple_(columns.subscription_id, columns.starts_at, columns.subscription_uid)
    if after is not None:
        query = query.where(keys > after)
    query = query.order_by(*keys.clauses).limit(limit)
    return [read_subscription(row) for row in await conn.execute(query)]


async def save_subscription(
    conn: AsyncConnection,
    tenant: Tenant,
    subscription: Subscription,
    *,
    changes_at: datetime | None,
) -> None:
    """Write what a command changed of a locked subscription."""
    await conn.execute(
        update(subscriptions)
        .filter_by(tenant=tenant, subscription_uid=subscription.subscription_uid)
        .values(
            plan_version_id=subscription.plan_version_id,
            time_zone=subscription.time_zone,
            ends_at=subscription.end,
            status=subscription.status,
            default_for_usage=subscription.default_for_usage,
            revision=subscription.revision,
            unused_fee=subscription.unused_fee,
            final_invoice=subscription.final_invoice,
            metadata=dict(subscription.metadata),
            changes_at=changes_at,
        )
    )


async def set_status(
    conn: AsyncConnection, tenant: Tenant, uid: UUID, status: SubscriptionStatus
) -> None:
    """Write the status of a locked subscription."""
    await conn.execute(
        update(subscriptions).filter_by(tenant=tenant, subscription_uid=uid).values(status=status)
    )


async def load_extents(
    conn: AsyncConnection, tenants: Collection[Tenant], uids: Collection[UUID]
) -> dict[UUID, Extent]:
    """Return how far the billing periods of subscriptions of `tenants` are written, by uid."""
    columns = subscriptions.c
    query = select(columns.subscription_uid, columns.written_day, columns.extend_at).where(
        among(columns.tenant, tenants), among(columns.subscription_uid, uids)
    )
    return {
        row.subscription_uid: Extent(row.written_day, row.extend_at)
        for row in await conn.execute(query)
    }


async def save_extents(
    conn: AsyncConnection, extents: Iterable[tuple[Tenant, UUID, Extent]]
) -> None:
    """Write how far the billing periods of locked subscriptions are written."""
    known = list(extents)
    found = (
        func.unnest(
            literal([tenant for tenant, _, _ in known], ARRAY(Integer)),
            literal([uid for _, uid, _ in known], ARRAY(Uuid)),
            literal([extent.written_day for _, _, extent in known], ARRAY(Date)),
            literal([extent.extend_at for _, _, extent in known], ARRAY(INSTANT)),
        )
        .table_valued("tenant", "uid", "written_day", "extend_at", name="found")
        .render_derived()
    )
    await conn.execute(
        update(subscriptions)
        .where(
            subscriptions.c.tenant == found.c.tenant,
            subscriptions.c.subscription_uid == found.c.uid,
        )
        .values(written_day=found.c.written_day, extend_at=found.c.extend_at)
    )


async def lock_to_extend(
    conn: AsyncConnection, now: datetime
) -> Sequence[tuple[Tenant, Subscription]]:
    """Return and lock subscriptions that need billing periods by `now`, of all tenants."""
    query = select_all().where(subscriptions.c.extend_at <= now)
    return await _locked(conn, query.order_by(subscriptions.c.extend_at), limit=EXTEND_MAX)


async def lock_to_start(
    conn: AsyncConnection, now: datetime
) -> Sequence[tuple[Tenant, Subscription]]:
    """Return and lock pending subscriptions whose start has come, of all tenants."""
    pending = subscriptions.c.status == SubscriptionStatus.PENDING
    query = select_all().where(pending, subscriptions.c.starts_at <= now)
    return await _locked(conn, query.order_by(subscriptions.c.starts_at))


async def lock_to_end(
    conn: AsyncConnection, now: datetime
) -> Sequence[tuple[Tenant, Subscription]]:
    """Return and lock subscriptions whose end has come, of all tenants."""
    live = subscriptions.c.status.not_in(ENDED)
    query = select_all().where(live, subscriptions.c.ends_at <= now)
    return await _locked(conn, query.order_by(subscriptions.c.ends_at))


async def lock_to_change(
    conn: AsyncConnection, now: datetime
) -> Sequence[tuple[Tenant, Subscription]]:
    """Return and lock subscriptions of which a leg has started by `now`, of all tenants."""
    query = select_all().where(subscriptions.c.changes_at <= now)
    return await _locked(conn, query.order_by(subscriptions.c.changes_at))


def select_all() -> Select[Any]:
    """Select the subscriptions of all tenants, with their plans."""
    return select(
        subscriptions, plan_versions.c.plan_code, plan_versions.c.version.label("plan_version")
    ).join(
        plan_versions,
        (plan_versions.c.tenant == subscriptions.c.tenant)
        & (plan_versions.c.plan_version_id == subscriptions.c.plan_version_id),
    )


def select_subscriptions(tenant: Tenant) -> Select[Any]:
    """Select the subscriptions of `tenant`, with their plans."""
    return select_all().where(subscriptions.c.tenant == tenant)


_NEWEST = (
    select_all()
    .where(
        subscriptions.c.tenant == bindparam("of_tenant"),
        subscriptions.c.subscription_id == bindparam("id"),
    )
    .order_by(
        # A life that was backdated to before an ended one is the present one all the same.
        subscriptions.c.status.in_(ENDED),
        subscriptions.c.starts_at.desc(),
        subscriptions.c.created_at.desc(),
    )
    .limit(1)
)


def read_subscription(row: Row[Any]) -> Subscription:
    """Return the subscription of a row of `select_all`."""
    return Subscription(
        subscription_uid=row.subscription_uid,
        subscription_id=row.subscription_id,
        customer_id=row.customer_id,
        plan_version_id=row.plan_version_id,
        plan_code=row.plan_code,
        plan_version=row.plan_version,
        currency=row.currency,
        start=row.starts_at.astimezone(UTC),
        end=None if row.ends_at is None else row.ends_at.astimezone(UTC),
        time_zone=row.time_zone,
        status=SubscriptionStatus(row.status),
        default_for_usage=row.default_for_usage,
        collection_delay_s=row.collection_delay_s,
        created_at=row.created_at.astimezone(UTC),
        billing_time=BillingTime(row.billing_time),
        anchor_day=row.anchor_day,
        revision=row.revision,
        unused_fee=UnusedFee(row.unused_fee),
        final_invoice=row.final_invoice,
        metadata=tuple(sorted(row.metadata.items())),
        billing_entity_code=row.billing_entity_code,
        billed_from=None if row.billed_from is None else row.billed_from.astimezone(UTC),
    )


async def _locked(
    conn: AsyncConnection, query: Select[Any], *, limit: int = BATCH_MAX
) -> Sequence[tuple[Tenant, Subscription]]:
    """Lock what no one else is at: another calendar does the rest."""
    locking = query.limit(limit).with_for_update(of=subscriptions, skip_locked=True)
    return [(Tenant(row.tenant), read_subscription(row)) for row in await conn.execute(locking)]
