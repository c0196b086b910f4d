"""Pausing subscriptions, letting them go on, and changing their settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from services.rating.domain.pausing import check_pause, moved_legs, paused_legs, resumed_legs
from services.rating.domain.subscription import (
    Subscription,
    SubscriptionStatus,
    check_not_paused,
)
from services.rating.operations.messages import subscription_message
from services.rating.operations.plan_changes import Named, load_legs_of, lock_changing
from services.rating.operations.reconciling import announce_changed, store_change
from services.rating.store.catalog import change_catalog
from tally.rating.v1 import subscription_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Settings:
    """What is to change of a subscription; what is None stays."""

    time_zone: str | None = None
    default_for_usage: bool | None = None
    metadata: tuple[tuple[str, str], ...] | None = None


async def pause_subscription(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    named: Named,
    *,
    resume_at: datetime | None,
    now: datetime,
) -> pb.PauseSubscriptionResponse:
    """Pause a subscription from `now` on; one that is paused gets another time to go on.

    Raises:
        SubscriptionNotFound: there is none of that id.
        SubscriptionTerminated: it has ended.
        EtagMismatch: it is not as the caller knows it.
        FieldInvalid: it has not started, its plan is to change, or the instant does not fit.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.PauseSubscriptionResponse)
        if earlier is not None:
            return earlier
        await change_catalog(conn, tenant)
        found = await lock_changing(conn, tenant, named, now)
        legs = await load_legs_of(conn, tenant, found)
        check_pause(found, legs, now, resume_at)
        paused = paused_legs(legs, now, resume_at, found.end)
        stored = await store_change(conn, tenant, found, paused, now=now, from_at=now)
        await announce_changed(conn, tenant, stored)
        answer = pb.PauseSubscriptionResponse(subscription=subscription_message(stored))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def resume_subscription(
    engine: AsyncEngine, tenant: Tenant, request: Request, named: Named, *, now: datetime
) -> pb.ResumeSubscriptionResponse:
    """Let a paused subscription go on at `now`; one that is not paused stays as it is.

    Raises:
        SubscriptionNotFound: there is none of that id.
        SubscriptionTerminated: it has ended.
        EtagMismatch: it is not as the caller knows it.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.ResumeSubscriptionResponse)
        if earlier is not None:
            return earlier
        await change_catalog(conn, tenant)
        stored = await lock_changing(conn, tenant, named, now)
        if stored.status is SubscriptionStatus.PAUSED:
            legs = resumed_legs(await load_legs_of(conn, tenant, stored), now, stored.end)
            stored = await store_change(conn, tenant, stored, legs, now=now, from_at=now)
            await announce_changed(conn, tenant, stored)
        answer = pb.ResumeSubscriptionResponse(subscription=subscription_message(stored))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def update_subscription(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    named: Named,
    settings: Settings,
    *,
    now: datetime,
) -> pb.UpdateSubscriptionResponse:
    """Change settings of a subscription, from `now` on.

    Raises:
        SubscriptionNotFound: there is none of that id.
        SubscriptionTerminated: it has ended.
        SubscriptionPaused: it is, and more than its metadata is to change.
        EtagMismatch: it is not as the caller knows it.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.UpdateSubscriptionResponse)
        if earlier is not None:
            return earlier
        await change_catalog(conn, tenant)
        found = await lock_changing(conn, tenant, named, now)
        legs = await load_legs_of(conn, tenant, found)
        changed = _with(found, settings)
        if (changed.time_zone, changed.default_for_usage) != (
            found.time_zone,
            found.default_for_usage,
        ):
            check_not_paused(found)
            default = changed.default_for_usage
            legs = moved_legs(legs, now, changed.time_zone, default_for_usage=default)
        if changed != found:
            stored = await store_change(conn, tenant, changed, legs, now=now, from_at=now)
            await announce_changed(conn, tenant, stored)
            found = stored
        answer = pb.UpdateSubscriptionResponse(subscription=subscription_message(found))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


def _with(subscription: Subscription, settings: Settings) -> Subscription:
    if settings.time_zone is not None:
        subscription = replace(subscription, time_zone=settings.time_zone)
    if settings.default_for_usage is not None:
        subscription = replace(subscription, default_for_usage=settings.default_for_usage)
    if settings.metadata is not None:
        subscription = replace(subscription, metadata=settings.metadata)
    return subscription
