"""The catalog that a fold goes by, and the version that tells when it changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Integer,
    Row,
    Text,
    bindparam,
    exists,
    func,
    literal,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.inserting import compiled_once
from libs.tenant import Tenant
from services.rating.domain.attribution import Term, linked
from services.rating.domain.event import micros
from services.rating.domain.meter import Meter
from services.rating.store.meters import read_meter
from services.rating.store.schema import (
    catalog_versions,
    meters,
    plan_versions,
    subscriptions,
    terms,
)
from services.rating.store.watched_schema import watches

_RAISE = compiled_once(
    insert(catalog_versions)
    .values(tenant=bindparam("tenant"), version=literal_column("1"))
    .on_conflict_do_update(
        index_elements=["tenant"],
        set_={"version": catalog_versions.c.version + literal_column("1")},
    )
)


async def change_catalog(conn: AsyncConnection, tenant: Tenant) -> None:
    """Raise the tenant's catalog version, and hold it to the end of the transaction.

    Take it before any other lock. A fold that began with the older version waits and starts
    anew; one that is being written is waited for.
    """
    await conn.execute(_RAISE, {"tenant": tenant})


async def open_catalogs(conn: AsyncConnection, tenants: Iterable[int]) -> None:
    """Make sure that `tenants` have a catalog version: one without a row cannot be held."""
    rows = [{"tenant": tenant, "version": 0} for tenant in sorted(tenants)]
    if rows:
        await conn.execute(insert(catalog_versions).on_conflict_do_nothing(), rows)


async def load_versions(conn: AsyncConnection, tenants: Iterable[int]) -> dict[int, int]:
    """Return the catalog versions of `tenants`."""
    query = select(catalog_versions).where(catalog_versions.c.tenant.in_(sorted(tenants)))
    return {row.tenant: row.version for row in await conn.execute(query)}


async def hold_versions(
    conn: AsyncConnection, tenants: Iterable[int], *, alone: bool = False
) -> dict[int, int]:
    """Return the catalog versions of `tenants`, which stay so until the transaction ends.

    Many hold them at once, but for one that does so `alone`: no other transaction writes usage of
    these tenants meanwhile.
    """
    query = (
        select(catalog_versions)
        .where(catalog_versions.c.tenant.in_(sorted(tenants)))
        .order_by(catalog_versions.c.tenant)
        .with_for_update(read=not alone)
    )
    return {row.tenant: row.version for row in await conn.execute(query)}


async def load_meters_by_type(
    conn: AsyncConnection, tenants: Sequence[int]
) -> dict[int, dict[str, list[Meter]]]:
    """Return every meter of `tenants`, by tenant and event type."""
    found: dict[int, dict[str, list[Meter]]] = {tenant: {} for tenant in tenants}
    query = select(meters).where(meters.c.tenant.in_(tenants)).order_by(meters.c.code)
    for row in await conn.execute(query):
        found[row.tenant].setdefault(row.event_type, []).append(read_meter(row))
    return found


async def load_terms(
    conn: AsyncConnection, customers: Iterable[tuple[int, str]]
) -> dict[tuple[int, str], list[Term]]:
    """Return the terms of `customers`, given and keyed by tenant and customer id."""
    asked = sorted(set(customers))
    wanted = (
        func.unnest(
            literal([tenant for tenant, _ in asked], ARRAY(Integer)),
            literal([customer for _, customer in asked], ARRAY(Text)),
        )
        .table_valued("tenant", "customer_id", name="wanted")
        .render_derived()
    )
    found: dict[tuple[int, str], list[Term]] = {customer: [] for customer in asked}
    for row in await conn.execute(select_terms(_of_wanted(wanted))):
        found[row.tenant, row.customer_id].append(read_term(row))
    return {customer: linked(of_customer) for customer, of_customer in found.items()}


def select_terms(owners: Any) -> Any:
    """Select terms with what attribution needs of their subscriptions and plans.

    `owners` is the table of subscriptions, or a join that ends in it.
    """
    charged = plan_versions.c.meter_codes
    return (
        select(
            terms,
            subscriptions.c.customer_id,
            subscriptions.c.subscription_id,
            subscriptions.c.starts_at.label("subscription_starts_at"),
            _event_types(charged, ~meters.c.fan_out).label("event_types"),
            _event_types(charged, meters.c.fan_out).label("fanned_types"),
            _event_types(plan_versions.c.instant_meter_codes).label("instant_types"),
            _is_watched().label("watched"),
        )
        .select_from(owners)
        .join(
            terms,
            (terms.c.tenant == subscriptions.c.tenant)
            & (terms.c.subscription_uid == subscriptions.c.subscription_uid),
        )
        .join(
            plan_versions,
            (plan_versions.c.tenant == terms.c.tenant)
            & (plan_versions.c.plan_version_id == terms.c.plan_version_id),
        )
    )


def read_term(row: Row[Any]) -> Term:
    """Return the term of a row of `select_terms`."""
    return Term(
        term_id=row.term_id,
        subscription_id=row.subscription_id,
        subscription_start=micros(row.subscription_starts_at),
        default_for_usage=row.default_for_usage,
        zone=ZoneInfo(row.time_zone),
        start=micros(row.starts_at),
        end=None if row.ends_at is None else micros(row.ends_at),
        event_types=frozenset(row.event_types or ()),
        fanned_types=frozenset(row.fanned_types or ()),
        early=row.early,
        instant_types=frozenset(row.instant_types or ()),
        first_day=row.first_day.toordinal(),
        watched=row.watched,
    )


def _event_types(meter_codes: Column[Any], *conditions: ColumnElement[bool]) -> Any:
    """Select the event types of the meters that `meter_codes` of a plan version name.

    Before a subscription starts they are those of recurring ones.
    """
    types = select(func.array_agg(meters.c.event_type)).where(
        meters.c.tenant == plan_versions.c.tenant,
        meters.c.code == func.any(meter_codes),
        meters.c.recurring | ~terms.c.early,
        *conditions,
    )
    return types.scalar_subquery()


def _is_watched() -> Any:
    """Select whether anybody wants to know of changes of the usage of a subscription's id."""
    columns = subscriptions.c
    return exists().where(
        watches.c.tenant == columns.tenant, watches.c.subscription_id == columns.subscription_id
    )


def _of_wanted(wanted: Any) -> Any:
    return wanted.join(
        subscriptions,
        (subscriptions.c.tenant == wanted.c.tenant)
        & (subscriptions.c.customer_id == wanted.c.customer_id),
    )
