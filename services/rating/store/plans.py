"""Reading and writing plans and their versions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Row, Select, Uuid, any_, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.plan import (
    Plan,
    PlanCodeTaken,
    PlanNotFound,
    PlanVersion,
    PlanVersionNotFound,
)
from services.rating.store.plan_body import read_body, write_body
from services.rating.store.schema import plan_versions, plans


async def insert_plan(conn: AsyncConnection, tenant: Tenant, plan: Plan) -> None:
    """Add `plan`.

    Raises:
        PlanCodeTaken: another one has its code.
    """
    adding = insert(plans).values(
        tenant=tenant,
        code=plan.code,
        plan_id=plan.plan_id,
        name=plan.name,
        currency=plan.currency,
        created_at=plan.created_at,
    )
    added = await conn.execute(adding.on_conflict_do_nothing(index_elements=["tenant", "code"]))
    if added.rowcount == 0:
        raise PlanCodeTaken(f"another plan has the code {plan.code}")


async def insert_version(
    conn: AsyncConnection,
    tenant: Tenant,
    plan_code: str,
    version: PlanVersion,
    *,
    subscription_uid: UUID | None = None,
) -> None:
    """Add `version` to a plan, whose row the caller has just inserted or locked.

    Or the prices that one subscription has in place of those of the version of that number.
    """
    await conn.execute(
        insert(plan_versions).values(
            tenant=tenant,
            plan_version_id=version.plan_version_id,
            plan_code=plan_code,
            version=version.version,
            subscription_uid=subscription_uid,
            meter_codes=sorted({charge.meter_code for charge in version.charges}),
            instant_meter_codes=sorted(
                {charge.meter_code for charge in version.charges if charge.instant is not None}
            ),
            body=write_body(version),
            created_at=version.created_at,
        )
    )


async def lock_plan(conn: AsyncConnection, tenant: Tenant, code: str) -> Plan:
    """Return a plan and lock it, so that its versions are numbered one after the other.

    Raises:
        PlanNotFound: there is none.
    """
    query = select(plans).filter_by(tenant=tenant, code=code).with_for_update()
    row = (await conn.execute(query)).one_or_none()
    if row is None:
        raise PlanNotFound(f"no plan {code}")
    return read_plan(row)


async def archive_plan(conn: AsyncConnection, tenant: Tenant, code: str, at: datetime) -> None:
    """Write when a locked plan was archived."""
    await conn.execute(update(plans).filter_by(tenant=tenant, code=code).values(archived_at=at))


async def load_newest_version(conn: AsyncConnection, tenant: Tenant, code: str) -> int:
    """Return the number of the newest version of a plan; 0 for none."""
    query = select(func.coalesce(func.max(plan_versions.c.version), 0)).filter_by(
        tenant=tenant, plan_code=code, subscription_uid=None
    )
    return int((await conn.execute(query)).scalar_one())


async def load_plan(
    conn: AsyncConnection, tenant: Tenant, code: str, version: int, *, hold: bool = False
) -> tuple[Plan, PlanVersion]:
    """Return a plan and its version number `version`, 0 for the newest; with `hold` it stays so.

    Raises:
        PlanNotFound: there is no such plan.
        PlanVersionNotFound: it has no such version.
    """
    asked = select(plans).filter_by(tenant=tenant, code=code)
    if hold:
        asked = asked.with_for_update(read=True)
    row = (await conn.execute(asked)).one_or_none()
    if row is None:
        raise PlanNotFound(f"no plan {code}")
    query = select(plan_versions).filter_by(tenant=tenant, plan_code=code, subscription_uid=None)
    if version:
        query = query.filter_by(version=version)
    newest = query.order_by(plan_versions.c.version.desc()).limit(1)
    found = (await conn.execute(newest)).one_or_none()
    if found is None:
        raise PlanVersionNotFound(f"the plan {code} has no version {version}")
    return read_plan(row), read_body(found)


async def load_version(conn: AsyncConnection, tenant: Tenant, plan_version_id: UUID) -> PlanVersion:
    """Return a plan version that is known to exist."""
    query = select(plan_versions).filter_by(tenant=tenant, plan_version_id=plan_version_id)
    return read_body((await conn.execute(query)).one())


async def find_own_prices(
    conn: AsyncConnection, tenant: Tenant, plan_version_id: UUID
) -> PlanVersion | None:
    """Return a plan version if it is the prices of one subscription."""
    query = select(plan_versions).where(
        plan_versions.c.tenant == tenant,
        plan_versions.c.plan_version_id == plan_version_id,
        plan_versions.c.subscription_uid.is_not(None),
    )
    row = (await conn.execute(query)).one_or_none()
    return None if row is None else read_body(row)


async def load_versions(
    conn: AsyncConnection, tenants: Collection[int], version_ids: Collection[UUID]
) -> dict[UUID, PlanVersion]:
    """Return plan versions of `tenants` by id."""
    asked = {"of_tenants": list(tenants), "version_ids": list(version_ids)}
    return {row.plan_version_id: read_body(row) for row in await conn.execute(_VERSIONS, asked)}


async def load_names(
    conn: AsyncConnection, tenant: Tenant, version_ids: Collection[UUID]
) -> dict[UUID, tuple[str, int]]:
    """Return the plans' codes and the numbers of versions, by id."""
    columns = plan_versions.c
    query = select(columns.plan_version_id, columns.plan_code, columns.version).where(
        columns.tenant == tenant, columns.plan_version_id.in_(list(version_ids))
    )
    rows = await conn.execute(query)
    return {row.plan_version_id: (row.plan_code, row.version) for row in rows}


async def list_plans(
    conn: AsyncConnection, tenant: Tenant, *, after_code: str, archived: bool, limit: int
) -> Sequence[tuple[Plan, PlanVersion]]:
    """Return up to `limit` plans by code, after `after_code`, each with its newest version.

    Those that are `archived` only if they are wanted.
    """
    query = (
        _newest_versions(tenant)
        .where(plans.c.code > after_code)
        .order_by(plans.c.code, plan_versions.c.version.desc())
        .limit(limit)
    )
    if not archived:
        query = query.where(plans.c.archived_at.is_(None))
    return [
        (
            Plan(
                row.plan_id,
                row.code,
                row.name,
                row.currency,
                row.plan_created_at,
                row.archived_at,
            ),
            read_body(row),
        )
        for row in await conn.execute(query)
    ]


_VERSIONS = select(plan_versions).where(
    plan_versions.c.tenant == any_(bindparam("of_tenants", type_=ARRAY(Integer))),
    plan_versions.c.plan_version_id == any_(bindparam("version_ids", type_=ARRAY(Uuid))),
)


def read_plan(row: Row[Any]) -> Plan:
    """Return the plan of a row."""
    return Plan(row.plan_id, row.code, row.name, row.currency, row.created_at, row.archived_at)


def _newest_versions(tenant: Tenant) -> Select[Any]:
    joined = plans.join(
        plan_versions,
        (plan_versions.c.tenant == plans.c.tenant) & (plan_versions.c.plan_code == plans.c.code),
    )
    return (
        select(
            plans.c.plan_id,
            plans.c.code,
            plans.c.name,
            plans.c.currency,
            plans.c.created_at.label("plan_created_at"),
            plans.c.archived_at,
            plan_versions,
        )
        .select_from(joined)
        .where(plans.c.tenant == tenant, plan_versions.c.subscription_uid.is_(None))
        .distinct(plans.c.code)
    )
