"""Giving a subscription prices of its own, in place of those of its plan version."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import requests
from libs.db import begin
from libs.errors import FieldsInvalid
from libs.requests import Request
from libs.tenant import Tenant
from services.rating.domain.overrides import Overrides, overridden, override_faults
from services.rating.domain.plan import PlanVersion
from services.rating.domain.plan_changing import repriced_legs
from services.rating.domain.subscription import (
    Subscription,
    check_etag,
    check_not_ended,
    check_not_paused,
)
from services.rating.operations.messages import version_message
from services.rating.operations.plan_changes import load_legs_of
from services.rating.operations.reconciling import announce_changed, store_change
from services.rating.store import plans as plan_store
from services.rating.store.catalog import change_catalog
from services.rating.store.meters import load_meters
from services.rating.store.subscriptions import load_newest
from tally.rating.v1 import subscription_service_pb2 as pb


async def update_overrides(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    subscription_id: str,
    overrides: Overrides,
    *,
    etag: str = "",
    now: datetime,
) -> pb.UpdateOverridesResponse:
    """Give the newest life of a subscription prices of its own, in place of earlier ones.

    Its open periods, and those to come, are priced whole by them. None end them.

    Raises:
        SubscriptionNotFound: there is none of that id.
        SubscriptionTerminated, SubscriptionPaused: it cannot change.
        EtagMismatch: the subscription is not as the caller knows it.
        FieldsInvalid: the overrides do not fit its plan version.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.UpdateOverridesResponse)
        if earlier is not None:
            return earlier
        await change_catalog(conn, tenant)
        found = await load_newest(conn, tenant, subscription_id, lock=True)
        check_etag(found, etag)
        check_not_ended(found, now)
        check_not_paused(found)
        _, version = await plan_store.load_plan(conn, tenant, found.plan_code, found.plan_version)
        if overrides:
            version = await store_own_prices(conn, tenant, found, version, overrides, now=now)
        if version.plan_version_id != found.plan_version_id:
            legs = await load_legs_of(conn, tenant, found)
            changed = repriced_legs(legs, version.plan_version_id, now)
            found = await store_change(conn, tenant, found, changed, now=now, from_at=now)
            await announce_changed(conn, tenant, found)
        answer = pb.UpdateOverridesResponse(prices=version_message(version))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def store_own_prices(
    conn: AsyncConnection,
    tenant: Tenant,
    subscription: Subscription,
    version: PlanVersion,
    overrides: Overrides,
    *,
    now: datetime,
) -> PlanVersion:
    """Store the prices of one subscription on a `version` of its plan, and return them.

    Raises:
        FieldsInvalid: the overrides do not fit the version.
    """
    codes = {charge.meter_code for charge in version.charges}
    meters = await load_meters(conn, tenant, codes, hold=True) if codes else {}
    faults = override_faults(version, overrides, meters, subscription.currency)
    if faults:
        raise FieldsInvalid(faults)
    own = overridden(version, overrides, plan_version_id=uuid4(), created_at=now)
    await plan_store.insert_version(
        conn,
        tenant,
        subscription.plan_code,
        own,
        subscription_uid=subscription.subscription_uid,
    )
    return own
