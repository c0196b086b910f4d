"""Putting subscriptions on other plans, now or later, and taking that back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from libs.wire import timestamp
from services.rating.domain.life import Leg
from services.rating.domain.plan_changing import (
    Change,
    changed_legs,
    check_currency,
    effective_at,
    present_leg,
    without_changes,
)
from services.rating.domain.subscription import (
    Subscription,
    check_etag,
    check_not_ended,
    check_not_paused,
)
from services.rating.operations.command import begin_command
from services.rating.operations.messages import subscription_message
from services.rating.operations.reconciling import announce_changed, store_change
from services.rating.store import legs as leg_store
from services.rating.store import plans as plan_store
from services.rating.store import subscriptions as store
from services.rating.store.catalog import change_catalog
from tally.rating.v1 import subscription_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Named:
    """Which subscription is meant, as the caller knows it."""

    subscription_id: str
    etag: str = ""


@dataclass(frozen=True, slots=True)
class WantedPlan:
    """Which plan a subscription is to have, and from when on; version 0 is the newest."""

    named: Named
    plan_code: str
    plan_version: int
    change: Change


async def change_plan(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    wanted: WantedPlan,
    *,
    now: datetime,
    validate_only: bool,
) -> pb.ChangePlanResponse:
    """Begin a term on another plan version, in the place of what lay ahead from then on.

    Raises:
        PlanNotFound, PlanVersionNotFound: there is no such plan or version.
        PlanArchived: the plan takes no subscriptions.
        SubscriptionNotFound: there is none of that id.
        SubscriptionTerminated, SubscriptionPaused: it cannot change.
        CurrencyMismatch: the plan is in another currency.
        EtagMismatch: the subscription is not as the caller knows it.
        FieldInvalid: the instant has passed, or the subscription ends before.
        RequestIdReused: the request came before with other content.
    """
    async with begin_command(engine, tenant, validate_only=validate_only) as conn:
        if not validate_only:
            earlier = await requests.claim(conn, tenant, request, pb.ChangePlanResponse)
            if earlier is not None:
                return earlier
        plan, version = await plan_store.load_plan(
            conn, tenant, wanted.plan_code, wanted.plan_version, hold=True
        )
        plan.check_open()
        await change_catalog(conn, tenant)
        found = await lock_changing(conn, tenant, wanted.named, now)
        check_not_paused(found)
        check_currency(found, plan.currency)
        legs = await load_legs_of(conn, tenant, found)
        present = present_leg(legs, now)
        old = await plan_store.load_version(conn, tenant, present.plan_version_id)
        at = effective_at(wanted.change, found, legs, old=old, new=version, now=now)
        changed = changed_legs(legs, version.plan_version_id, at, end=found.end, term_id=uuid4())
        from_at = min([at, *(leg.start for leg in legs if leg.start > now)])
        stored = await store_change(conn, tenant, found, changed, now=now, from_at=from_at)
        await announce_changed(conn, tenant, stored)
        answer = pb.ChangePlanResponse(
            subscription=subscription_message(stored),
            terms=await load_terms(conn, tenant, stored),
        )
        if not validate_only:
            await requests.save_answer(conn, tenant, request, answer)
    return answer


async def cancel_plan_change(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    named: Named,
    *,
    now: datetime,
) -> pb.CancelPlanChangeResponse:
    """Take back the changes of a subscription's plan that lie ahead, if there are any.

    Raises:
        SubscriptionNotFound: there is none of that id.
        SubscriptionTerminated: it has ended.
        EtagMismatch: the subscription is not as the caller knows it.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.CancelPlanChangeResponse)
        if earlier is not None:
            return earlier
        await change_catalog(conn, tenant)
        found = await lock_changing(conn, tenant, named, now)
        legs = await load_legs_of(conn, tenant, found)
        kept = without_changes(legs, now, found.end)
        stored = found
        if kept != legs:
            from_at = legs[len(kept)].start
            stored = await store_change(conn, tenant, found, kept, now=now, from_at=from_at)
            await announce_changed(conn, tenant, stored)
        answer = pb.CancelPlanChangeResponse(
            subscription=subscription_message(stored),
            terms=await load_terms(conn, tenant, stored),
        )
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def load_legs_of(
    conn: AsyncConnection, tenant: Tenant, subscription: Subscription
) -> list[Leg]:
    """Return the legs of a subscription in their order."""
    uid = subscription.subscription_uid
    return (await leg_store.load_legs(conn, [tenant], [uid]))[uid]


async def load_terms(
    conn: AsyncConnection, tenant: Tenant, subscription: Subscription
) -> list[pb.SubscriptionTerm]:
    """Return what a subscription was and will be on, oldest first."""
    legs = await load_legs_of(conn, tenant, subscription)
    ids = {leg.plan_version_id for leg in legs}
    names = await plan_store.load_names(conn, tenant, ids)
    return [
        pb.SubscriptionTerm(
            plan_code=names[leg.plan_version_id][0],
            plan_version=names[leg.plan_version_id][1],
            time_zone=leg.time_zone,
            start=timestamp(leg.start),
            end=None if leg.end is None else timestamp(leg.end),
        )
        for leg in legs
    ]


async def lock_changing(
    conn: AsyncConnection, tenant: Tenant, named: Named, now: datetime
) -> Subscription:
    """Return a locked subscription that may change."""
    found = await store.load_newest(conn, tenant, named.subscription_id, lock=True)
    check_etag(found, named.etag)
    check_not_ended(found, now)
    return found
