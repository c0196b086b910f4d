"""Reading and writing features, and who has them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Row, Text, Uuid, any_, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.quantity import decimal_text
from libs.tenant import Tenant
from services.rating.domain.entitlement import (
    Entitlement,
    Feature,
    FeatureCodeTaken,
    FeatureNotFound,
    Override,
    Privilege,
    PrivilegeType,
    Value,
)
from services.rating.domain.metered_limit import Limit, LimitKind, LimitReset, Rollover
from services.rating.store.entitlement_schema import (
    features,
    plan_entitlements,
    subscription_entitlements,
)


async def insert_feature(conn: AsyncConnection, tenant: Tenant, feature: Feature) -> None:
    """Add `feature`.

    Raises:
        FeatureCodeTaken: another one has its code.
    """
    adding = insert(features).values(
        tenant=tenant,
        code=feature.code,
        name=feature.name,
        privileges=[
            {"code": one.code, "name": one.name, "type": one.type, "options": list(one.options)}
            for one in feature.privileges
        ],
        meter_code=feature.meter_code or None,
        created_at=feature.created_at,
        archived_at=feature.archived_at,
    )
    if (await conn.execute(adding.on_conflict_do_nothing())).rowcount == 0:
        raise FeatureCodeTaken(f"another feature has the code {feature.code}")


async def archive_feature(conn: AsyncConnection, tenant: Tenant, feature: Feature) -> None:
    """Write since when a locked feature is archived."""
    changing = update(features).filter_by(tenant=tenant, code=feature.code)
    await conn.execute(changing.values(archived_at=feature.archived_at))


async def load_feature(
    conn: AsyncConnection, tenant: Tenant, code: str, *, lock: bool = False
) -> Feature:
    """Return the feature with `code`, locked if the caller will change it.

    Raises:
        FeatureNotFound: there is none.
    """
    query = select(features).filter_by(tenant=tenant, code=code)
    row = (await conn.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise FeatureNotFound(f"no feature {code}")
    return _read_feature(row)


async def load_features(
    conn: AsyncConnection, tenant: Tenant, codes: Collection[str], *, hold: bool = False
) -> dict[str, Feature]:
    """Return features by code; with `hold` they stay as they are.

    Raises:
        FeatureNotFound: one of them does not exist.
    """
    query = _FEATURES
    if hold:
        query = query.order_by(features.c.code).with_for_update(read=True)
    rows = await conn.execute(query, {"of_tenant": tenant, "codes": sorted(codes)})
    found = {row.code: _read_feature(row) for row in rows}
    for code in codes:
        if code not in found:
            raise FeatureNotFound(f"no feature {code}")
    return found


async def list_features(
    conn: AsyncConnection, tenant: Tenant, *, after_code: str, archived: bool, limit: int
) -> Sequence[Feature]:
    """Return up to `limit` features by code, after `after_code`, `archived` ones if wanted."""
    query = select(features).where(features.c.tenant == tenant, features.c.code > after_code)
    if not archived:
        query = query.where(features.c.archived_at.is_(None))
    rows = await conn.execute(query.order_by(features.c.code).limit(limit))
    return [_read_feature(row) for row in rows]


async def replace_of_plan(
    conn: AsyncConnection, tenant: Tenant, plan_code: str, given: Iterable[Entitlement]
) -> None:
    """Give a locked plan these features, and no others."""
    await conn.execute(delete(plan_entitlements).filter_by(tenant=tenant, plan_code=plan_code))
    rows = [
        {"tenant": tenant, "plan_code": plan_code, "feature_code": one.feature_code}
        | _row(one.values, one.limit)
        for one in given
    ]
    if rows:
        await conn.execute(insert(plan_entitlements), rows)


async def replace_of_subscription(
    conn: AsyncConnection, tenant: Tenant, uid: UUID, overrides: Iterable[Override]
) -> None:
    """Have a locked subscription differ from its plan in these, and no others."""
    table = subscription_entitlements
    await conn.execute(delete(table).filter_by(tenant=tenant, subscription_uid=uid))
    rows = [
        {"tenant": tenant, "subscription_uid": uid, "feature_code": one.feature_code}
        | {"removed": one.removed, "unlimited": one.unlimited}
        | _row(one.values, one.limit)
        for one in overrides
    ]
    if rows:
        await conn.execute(insert(table), rows)


async def load_of_plans(
    conn: AsyncConnection, tenant: Tenant, plan_codes: Collection[str]
) -> dict[str, dict[str, Entitlement]]:
    """Return the entitlements of plans, by plan and feature, in the order of features."""
    found: dict[str, dict[str, Entitlement]] = {code: {} for code in plan_codes}
    asked = {"of_tenant": tenant, "codes": sorted(plan_codes)}
    for row in await conn.execute(_OF_PLANS, asked):
        values = _read_values(row)
        one = Entitlement(row.feature_code, values, _read_limit(row.usage_limit))
        found[row.plan_code][row.feature_code] = one
    return found


async def load_overrides(
    conn: AsyncConnection, tenant: Tenant, uids: Collection[UUID]
) -> dict[UUID, dict[str, Override]]:
    """Return in what subscriptions differ, by uid and feature, in the order of features."""
    found: dict[UUID, dict[str, Override]] = {uid: {} for uid in uids}
    for row in await conn.execute(_OVERRIDES, {"of_tenant": tenant, "uids": sorted(uids)}):
        found[row.subscription_uid][row.feature_code] = Override(
            row.feature_code,
            row.removed,
            _read_values(row),
            _read_limit(row.usage_limit),
            row.unlimited,
        )
    return found


def _row(values: Mapping[str, Value], limit: Limit | None) -> dict[str, Any]:
    body = None
    if limit is not None:
        body = {"units": decimal_text(limit.units), "kind": limit.kind, "reset": limit.reset}
        if limit.rollover is not None:
            body["minimum"] = decimal_text(limit.rollover.minimum)
            body["maximum"] = decimal_text(limit.rollover.maximum)
    return {"privileges": {code: _body(value) for code, value in values.items()}} | {
        "usage_limit": body
    }


def _body(value: Value) -> bool | int | str:
    return decimal_text(value) if isinstance(value, Decimal) else value


def _read_feature(row: Row[Any]) -> Feature:
    return Feature(
        code=row.code,
        name=row.name,
        privileges=tuple(
            Privilege(one["code"], one["name"], PrivilegeType(one["type"]), tuple(one["options"]))
            for one in row.privileges
        ),
        meter_code=row.meter_code or "",
        created_at=row.created_at,
        archived_at=row.archived_at,
    )


def _read_values(row: Row[Any]) -> dict[str, Value]:
    """Return the values of privileges of a row of a table joined with features."""
    if not row.privileges:
        return {}
    types = {one["code"]: one["type"] for one in row.known}
    return {
        code: Decimal(value) if types[code] == PrivilegeType.DECIMAL else value
        for code, value in row.privileges.items()
    }


def _read_limit(body: Mapping[str, str] | None) -> Limit | None:
    if body is None:
        return None
    rollover = None
    if "maximum" in body:
        rollover = Rollover(Decimal(body["minimum"]), Decimal(body["maximum"]))
    kind, reset = LimitKind(body["kind"]), LimitReset(body["reset"])
    return Limit(Decimal(body["units"]), kind, reset, rollover)


def _with_features(table: Any) -> Any:
    same = (features.c.tenant == table.c.tenant) & (features.c.code == table.c.feature_code)
    return (
        select(table, features.c.privileges.label("known"))
        .join(features, same)
        .where(table.c.tenant == bindparam("of_tenant"))
        .order_by(table.c.feature_code)
    )


_CODES = any_(bindparam("codes", type_=ARRAY(Text)))
_FEATURES = select(features).where(
    features.c.tenant == bindparam("of_tenant"), features.c.code == _CODES
)
_OF_PLANS = _with_features(plan_entitlements).where(plan_entitlements.c.plan_code == _CODES)
_OVERRIDES = _with_features(subscription_entitlements).where(
    subscription_entitlements.c.subscription_uid == any_(bindparam("uids", type_=ARRAY(Uuid)))
)
