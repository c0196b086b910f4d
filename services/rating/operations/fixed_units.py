"""Changing the units of fixed charges, and telling which a subscription has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import requests
from libs.db import begin
from libs.period import local_day
from libs.quantity import decimal_text
from libs.requests import Request
from libs.tenant import Tenant
from libs.wire import civil_date, timestamp
from services.rating.domain.fixed_fees import check_price
from services.rating.domain.period import PeriodKind
from services.rating.domain.plan import PlanVersion, Timing
from services.rating.domain.plan_changing import present_leg
from services.rating.domain.subscription import Subscription, check_etag, check_not_ended
from services.rating.domain.unit_change import (
    Effective,
    UnitChange,
    effective_day,
    find_charge,
    place,
)
from services.rating.operations.folding import announce_late
from services.rating.operations.plan_changes import load_legs_of
from services.rating.store import fixed_units as store
from services.rating.store.plans import load_version
from services.rating.store.subscriptions import load_newest
from tally.rating.v1 import subscription_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class WantedUnits:
    """What is asked for: `units` of a fixed charge of a subscription, and from when on."""

    subscription_id: str
    charge_code: str
    units: Decimal
    effective: Effective
    etag: str = ""


async def update_fixed_units(
    engine: AsyncEngine, tenant: Tenant, request: Request, wanted: WantedUnits, *, now: datetime
) -> pb.UpdateFixedUnitsResponse:
    """Give the newest life of a subscription other units, from today or its next period on.

    A period that was announced already is late then, as by usage: its draft or the next invoice
    bills what the change adds.

    Raises:
        SubscriptionNotFound: there is none of that id.
        SubscriptionTerminated: it has ended.
        FixedChargeNotFound: its plan version has no such fixed charge.
        FieldInvalid: the units cost too much.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.UpdateFixedUnitsResponse)
        if earlier is not None:
            return earlier
        found = await load_newest(conn, tenant, wanted.subscription_id, lock=True)
        check_etag(found, wanted.etag)
        check_not_ended(found, now)
        version = await load_version(conn, tenant, found.plan_version_id)
        charge = find_charge(version, wanted.charge_code)
        check_price(charge, wanted.units, found.currency, "units")
        uid = found.subscription_uid
        known = (await store.load_changes(conn, [tenant], [uid])).get(uid, [])
        change = UnitChange(
            charge_code=charge.code,
            number=1 + sum(one.charge_code == charge.code for one in known),
            from_day=effective_day(wanted.effective, version.interval, found, now),
            units=wanted.units,
            changed_at=now,
            term_id=present_leg(await load_legs_of(conn, tenant, found), now).term_id,
        )
        await store.insert_change(conn, tenant, uid, change)
        advance = charge.timing is Timing.IN_ADVANCE
        kind = PeriodKind.FIXED if advance else PeriodKind.USAGE
        periods = await store.lock_periods_from(conn, tenant, uid, kind, change.from_day)
        await announce_late(conn, [(tenant, period) for period in periods])
        answer = pb.UpdateFixedUnitsResponse(fixed_units=_change_message(change))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def load_history(
    conn: AsyncConnection, tenant: Tenant, subscription: Subscription
) -> list[pb.FixedUnits]:
    """Return the units of all fixed charges of a subscription, as planned and as changed."""
    uid = subscription.subscription_uid
    version = await load_version(conn, tenant, subscription.plan_version_id)
    changes = (await store.load_changes(conn, [tenant], [uid])).get(uid, [])
    first_day = local_day(subscription.start, ZoneInfo(subscription.time_zone))
    return list(_history(version, changes, first_day))


def _history(
    version: PlanVersion, changes: Iterable[UnitChange], first_day: date
) -> Iterable[pb.FixedUnits]:
    by_day = sorted(changes, key=place)
    for charge in version.fixed_charges:
        yield pb.FixedUnits(
            fixed_charge_code=charge.code,
            units=decimal_text(charge.units),
            from_day=civil_date(first_day),
        )
        yield from (_change_message(one) for one in by_day if one.charge_code == charge.code)


def _change_message(change: UnitChange) -> pb.FixedUnits:
    return pb.FixedUnits(
        fixed_charge_code=change.charge_code,
        units=decimal_text(change.units),
        from_day=civil_date(change.from_day),
        changed_at=timestamp(change.changed_at),
    )
