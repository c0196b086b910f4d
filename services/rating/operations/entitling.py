"""Saying what plans have of features, and in what subscriptions differ from them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from libs.wire import Faults
from services.rating.domain.entitlement import (
    Entitlement,
    Feature,
    FeatureArchived,
    MeterNotCounted,
    Override,
    Value,
    all_overridden,
    check_limit,
    value_faults,
)
from services.rating.domain.meter import Meter
from services.rating.domain.metered_limit import Limit
from services.rating.domain.subscription import check_not_ended
from services.rating.operations.entitlement_messages import (
    entitlement_message,
    override_message,
)
from services.rating.store import entitlements as store
from services.rating.store.entitled import find_counted_types
from services.rating.store.meters import load_meters
from services.rating.store.plans import load_plan, lock_plan
from services.rating.store.subscriptions import load_newest
from tally.rating.v1 import entitlement_service_pb2 as pb


class Given(Protocol):
    """What a plan or subscription is given of a feature."""

    @property
    def feature_code(self) -> str: ...
    @property
    def values(self) -> Mapping[str, Value]: ...
    @property
    def limit(self) -> Limit | None: ...


async def set_plan_entitlements(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    plan_code: str,
    given: Sequence[Entitlement],
) -> pb.SetPlanEntitlementsResponse:
    """Give all versions of a plan these features, and no others.

    Raises:
        PlanNotFound, FeatureNotFound: there is no such plan or feature.
        FeatureArchived: one that the plan had not may not be given any more.
        MeterNotCounted: the newest version does not have a limited meter counted.
        FieldInvalid, FieldsInvalid: values or limits do not fit their features.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.SetPlanEntitlementsResponse)
        if earlier is not None:
            return earlier
        await lock_plan(conn, tenant, plan_code)
        plan, version = await load_plan(conn, tenant, plan_code, 0)
        had = (await store.load_of_plans(conn, tenant, [plan_code]))[plan_code]
        limited = await _check(conn, tenant, given, had, path="entitlements")
        counted = await find_counted_types(conn, tenant, version.plan_version_id)
        _check_counted(limited, counted, plan.code, version.version)
        ordered = sorted(given, key=lambda one: one.feature_code)
        await store.replace_of_plan(conn, tenant, plan_code, ordered)
        messages = [entitlement_message(one) for one in ordered]
        answer = pb.SetPlanEntitlementsResponse(entitlements=messages)
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def set_subscription_entitlements(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    *,
    subscription_id: str,
    overrides: Sequence[Override],
    now: datetime,
) -> pb.SetSubscriptionEntitlementsResponse:
    """Have the newest life of a subscription differ from its plan in these, and nothing else.

    Raises:
        SubscriptionNotFound, FeatureNotFound: there is no such subscription or feature.
        SubscriptionTerminated: it has ended.
        FeatureArchived: one that neither it nor its plan has may not be given any more.
        MeterNotCounted: its plan version does not have a limited meter counted.
        FieldInvalid, FieldsInvalid: values or limits do not fit their features.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(
            conn, tenant, request, pb.SetSubscriptionEntitlementsResponse
        )
        if earlier is not None:
            return earlier
        found = await load_newest(conn, tenant, subscription_id, lock=True)
        check_not_ended(found, now)
        uid = found.subscription_uid
        of_plan = (await store.load_of_plans(conn, tenant, [found.plan_code]))[found.plan_code]
        had = (await store.load_overrides(conn, tenant, [uid]))[uid]
        limited = await _check(conn, tenant, overrides, {*of_plan, *had}, path="overrides")
        counted = await find_counted_types(conn, tenant, found.plan_version_id)
        _check_counted(limited, counted, found.plan_code, found.plan_version)
        await store.replace_of_subscription(conn, tenant, uid, overrides)
        whole = all_overridden(of_plan.values(), overrides)
        answer = pb.SetSubscriptionEntitlementsResponse(
            entitlements=[entitlement_message(one) for one in whole]
        )
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def get_plan_entitlements(
    engine: AsyncEngine, tenant: Tenant, plan_code: str
) -> pb.GetPlanEntitlementsResponse:
    """Return what a plan has, by code."""
    async with begin(engine, tenant) as conn:
        await load_plan(conn, tenant, plan_code, 0)
        found = (await store.load_of_plans(conn, tenant, [plan_code]))[plan_code]
    messages = [entitlement_message(one) for one in found.values()]
    return pb.GetPlanEntitlementsResponse(entitlements=messages)


async def get_subscription_entitlements(
    engine: AsyncEngine, tenant: Tenant, subscription_id: str
) -> pb.GetSubscriptionEntitlementsResponse:
    """Return what the newest life of a subscription has, and in what it differs from its plan."""
    async with begin(engine, tenant) as conn:
        found = await load_newest(conn, tenant, subscription_id)
        uid = found.subscription_uid
        of_plan = (await store.load_of_plans(conn, tenant, [found.plan_code]))[found.plan_code]
        overrides = (await store.load_overrides(conn, tenant, [uid]))[uid]
    whole = all_overridden(of_plan.values(), overrides.values())
    return pb.GetSubscriptionEntitlementsResponse(
        entitlements=[entitlement_message(one) for one in whole],
        overrides=[override_message(one) for one in overrides.values()],
    )


async def _check(
    conn: AsyncConnection,
    tenant: Tenant,
    given: Sequence[Given],
    had: Collection[str],
    *,
    path: str,
) -> list[Meter]:
    """Check what is given by its features, which are held; return the meters of its limits."""
    codes = {one.feature_code for one in given}
    features = await store.load_features(conn, tenant, codes, hold=True)
    for one in features.values():
        if one.archived_at is not None and one.code not in had:
            problem = f"{one.code} is archived"
            raise FeatureArchived(problem, metadata={"feature_code": one.code})
    metered = {one.meter_code for one in features.values() if one.meter_code}
    meters = await load_meters(conn, tenant, metered) if metered else {}
    faults = Faults()
    limited = []
    for place, each in enumerate(given):
        feature = features[each.feature_code]
        _gather(faults, feature, each, f"{path}[{place}]")
        meter = meters.get(feature.meter_code)
        if each.limit is not None:
            with faults.gathered():
                check_limit(feature, meter, each.limit, f"{path}[{place}].limit")
            limited += [meter] if meter is not None else []
    faults.check()
    return limited


def _gather(faults: Faults, feature: Feature, given: Given, path: str) -> None:
    fields = {code: f"{path}.privileges[{n}]" for n, code in enumerate(given.values)}
    for fault in value_faults(feature, given.values, fields):
        faults.add(fault.field, fault.problem)


def _check_counted(
    limited: Sequence[Meter], counted: Collection[str], plan_code: str, version: int
) -> None:
    for meter in limited:
        if meter.event_type not in counted:
            raise MeterNotCounted(meter.code, plan_code, version)
