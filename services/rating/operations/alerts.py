"""Creating, deleting and reading alerts."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import requests
from libs.db import begin
from libs.requests import Request
from libs.tenant import Tenant
from libs.wire import Page, page_token, parse_page_token
from services.rating.domain.alert import (
    ALERTS_MAX,
    Alert,
    TooManyAlerts,
    check_places,
)
from services.rating.domain.entitlement import MeterNotCounted
from services.rating.domain.meter import MeterNotFound
from services.rating.domain.subscription import Subscription, check_not_ended
from services.rating.operations.alert_messages import alert_message, firing_message
from services.rating.store import alerts as store
from services.rating.store.catalog import change_catalog
from services.rating.store.meters import load_meters
from services.rating.store.plans import load_version
from services.rating.store.subscriptions import load_newest
from services.rating.store.watched import Purpose, unwatch, watch
from tally.rating.v1 import alert_service_pb2 as pb


async def create_alert(
    engine: AsyncEngine, tenant: Tenant, request: Request, alert: Alert, *, now: datetime
) -> pb.CreateAlertResponse:
    """Add `alert`, and have the usage of its subscription looked at, now and when it changes.

    Raises:
        SubscriptionNotFound, MeterNotFound: there is no such subscription or meter.
        SubscriptionTerminated: it has ended.
        MeterNotCounted: its plan version does not charge the meter.
        FieldInvalid: a threshold has more places than the currency.
        TooManyAlerts: the subscription has as many as it may.
        AlertCodeTaken: another one of the subscription has its code.
        RequestIdReused: the request came before with other content.
    """
    answer = pb.CreateAlertResponse(alert=alert_message(alert))
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.CreateAlertResponse)
        if earlier is not None:
            return earlier
        await change_catalog(conn, tenant)
        found = await load_newest(conn, tenant, alert.subscription_id)
        check_not_ended(found, now)
        check_places(alert, found.currency)
        if alert.meter_code:
            await _check_meter(conn, tenant, alert.meter_code, found)
        if await store.count_alerts(conn, tenant, alert.subscription_id) >= ALERTS_MAX:
            problem = f"{alert.subscription_id} has {ALERTS_MAX} alerts already"
            raise TooManyAlerts(problem, metadata={"limit": str(ALERTS_MAX)})
        await store.insert_alert(conn, tenant, alert)
        await watch(conn, tenant, [alert.subscription_id], Purpose.ALERTS)
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def delete_alert(
    engine: AsyncEngine, tenant: Tenant, request: Request, alert_id: UUID
) -> pb.DeleteAlertResponse:
    """Delete an alert; with the last one of a subscription nobody looks at its usage any more.

    Raises:
        AlertNotFound: there is none.
        RequestIdReused: the request came before with other content.
    """
    answer = pb.DeleteAlertResponse()
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.DeleteAlertResponse)
        if earlier is not None:
            return earlier
        await change_catalog(conn, tenant)  # So that none is created of the same subscription.
        alert = await store.load_alert(conn, tenant, alert_id, lock=True)
        await store.delete_alert(conn, tenant, alert_id)
        if not await store.count_alerts(conn, tenant, alert.subscription_id):
            await unwatch(conn, tenant, [alert.subscription_id], Purpose.ALERTS)
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def get_alert(engine: AsyncEngine, tenant: Tenant, alert_id: UUID) -> pb.GetAlertResponse:
    """Return an alert, with what it told last."""
    async with begin(engine, tenant) as conn:
        alert = await store.load_alert(conn, tenant, alert_id)
        firings = await store.list_firings(conn, tenant, alert_id)
    return pb.GetAlertResponse(
        alert=alert_message(alert), firings=[firing_message(one) for one in firings]
    )


async def list_alerts(
    engine: AsyncEngine, tenant: Tenant, *, subscription_id: str, page: Page
) -> pb.ListAlertsResponse:
    """Return a page of alerts, by subscription and code."""
    keys = parse_page_token(page.token, str, str)
    after: tuple[str, str] | None = keys or None  # type: ignore[assignment]
    async with begin(engine, tenant) as conn:
        found = await store.list_alerts(
            conn, tenant, subscription_id=subscription_id, after=after, limit=page.size + 1
        )
    shown = found[: page.size]
    more = len(found) > page.size
    return pb.ListAlertsResponse(
        alerts=[alert_message(one) for one in shown],
        next_page_token=page_token(shown[-1].subscription_id, shown[-1].code) if more else "",
    )


async def _check_meter(
    conn: AsyncConnection, tenant: Tenant, meter_code: str, subscription: Subscription
) -> None:
    if meter_code not in await load_meters(conn, tenant, [meter_code]):
        raise MeterNotFound(f"no meter {meter_code}")
    version = await load_version(conn, tenant, subscription.plan_version_id)
    if meter_code not in {charge.meter_code for charge in version.charges}:
        raise MeterNotCounted(meter_code, subscription.plan_code, subscription.plan_version)
