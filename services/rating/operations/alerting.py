"""Looking at watched usage, and telling what it has crossed: once, whoever looks.

Usage is read as of one instant, with how its alerts stood then; what is told is stored under the
condition that no other look was stored since. So looks follow each other, each sees at least what
the one before saw, and of two at once one begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from opentelemetry.context import Context
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox
from libs.db import Snapshots, begin_worker
from libs.errors import Refused
from libs.money import Money, exact_sum, to_decimal
from libs.telemetry import tracer
from libs.tenant import Tenant
from services.rating.domain.alert import Alert, AlertMeasure, crossings
from services.rating.domain.period import BillingPeriod
from services.rating.domain.usage import span_of, units, whole_usage
from services.rating.operations.alert_messages import triggered
from services.rating.operations.log import Log
from services.rating.operations.rating import LoadedUsage, load_usage
from services.rating.operations.single_events import ReadEvents, load_asked, read_events
from services.rating.store import alerts as store
from services.rating.store.alerts import Firing, Place, State
from services.rating.store.reattributions import find_jobs
from services.rating.store.watched import Noted, Purpose, find_noted, strike_off

SUBSCRIPTIONS_MAX = 100  # Looked at in one go.
ZERO = Decimal(0)

spans = tracer(__name__)


@dataclass(frozen=True, slots=True)
class Look:
    """What was found of a subscription: values by alert and period, and how these stood before."""

    noted: Noted
    alerts: Mapping[UUID, Alert]
    periods: Mapping[UUID, BillingPeriod]
    values: Mapping[Place, Decimal]
    states: Mapping[Place, State]
    next_at: datetime | None  # When to look again though nothing was noted.


class Outrun(Exception):
    """Another look at the subscription was stored since this one began."""


async def find_to_look(worker: AsyncEngine, now: datetime) -> list[Noted]:
    """Return subscriptions with alerts whose usage changed, or of which a period has started."""
    async with begin_worker(worker) as conn:
        noted = [*await find_noted(conn, Purpose.ALERTS, limit=SUBSCRIPTIONS_MAX)]
        started = await store.find_to_look(conn, now, limit=SUBSCRIPTIONS_MAX)
    known = {(one.tenant, one.subscription_id) for one in noted}
    return noted + [Noted(*one, ()) for one in started if one not in known]


async def look(
    worker: AsyncEngine, log: Log, noted: Sequence[Noted], *, now: datetime
) -> tuple[int, int]:
    """Look at what was noted; return how many were done, and how many alerts told something.

    Those whose usage is being attributed again wait, and so do those that another looks at.

    Raises:
        Unavailable: a price looks at single events, and they cannot be read.
    """
    done = told = 0
    for tenant in sorted({one.tenant for one in noted}):
        own = [one for one in noted if one.tenant == tenant]
        with spans.start_as_current_span("look at alerts", context=Context()):
            for found in await _look(worker, log, tenant, own, now):
                try:
                    told += await _store(worker, tenant, found, now)
                    done += 1
                except Outrun:
                    continue
    return done, told


async def _look(
    worker: AsyncEngine, log: Log, tenant: Tenant, noted: Sequence[Noted], now: datetime
) -> list[Look]:
    ids = [one.subscription_id for one in noted]
    async with Snapshots(worker, worker, tenant).begin() as conn:
        alerts = await store.load_of_subscriptions(conn, tenant, ids)
        periods = await store.load_periods_to_look_at(conn, tenant, ids, now)
        starts = await store.find_next_starts(conn, tenant, ids, now)
        every = [period for of_one in periods.values() for period in of_one]
        states = await store.load_states(conn, tenant, [one.period_id for one in every])
        jobs = await find_jobs(conn, {(tenant, one.customer_id) for one in every})
        whole = [one for one in every if (tenant, one.customer_id) not in jobs]
        loaded = await load_usage(conn, tenant, whole, merged=True)
        asked = loaded.asked(tenant, whole)
        if asked:  # What is read from the log goes with cells that tell of the folds.
            loaded = await load_usage(conn, tenant, whole)
            asked = loaded.asked(tenant, whole)
        reading = await load_asked(conn, asked)
    read = await read_events(log, reading) if reading else {}
    chosen = {one.period_id for one in whole}
    return [
        Look(
            noted=one,
            alerts={alert.alert_id: alert for alert in alerts[one.subscription_id]},
            periods={period.period_id: period for period in periods[one.subscription_id]},
            values=dict(
                _values(loaded, read, alerts[one.subscription_id], periods[one.subscription_id])
            ),
            states=states,
            next_at=_next_at(periods[one.subscription_id], starts.get(one.subscription_id), now),
        )
        for one in noted
        if all(period.period_id in chosen for period in periods[one.subscription_id])
    ]


def _next_at(
    periods: Sequence[BillingPeriod], next_start: datetime | None, now: datetime
) -> datetime | None:
    """Return when the next period starts; it need not be written yet."""
    ends = [period.usage.end for period in periods if period.usage.end > now]
    return min(ends) if ends else next_start


def _values(
    loaded: LoadedUsage,
    read: Mapping[UUID, ReadEvents],
    alerts: Sequence[Alert],
    periods: Sequence[BillingPeriod],
) -> Iterable[tuple[Place, Decimal]]:
    """Give what alerts look at, but for amounts of a period that cannot be priced."""
    of_units = [alert for alert in alerts if alert.measure is AlertMeasure.UNITS]
    of_amounts = [alert for alert in alerts if alert.measure is not AlertMeasure.UNITS]
    for period in periods:
        events = read.get(period.period_id)
        for alert in of_units:
            value = _units(loaded, period, events, alert.meter_code)
            yield (alert.alert_id, period.period_id), value
        try:
            amounts = _amounts(loaded, period, events) if of_amounts else {}
        except Refused:
            continue  # Whoever asks for the usage is told why.
        for alert in of_amounts:
            value = amounts.get(alert.meter_code, ZERO)
            if alert.measure is AlertMeasure.CURRENT_AMOUNT:
                value = exact_sum(amounts.values())
            yield (alert.alert_id, period.period_id), value


def _amounts(
    loaded: LoadedUsage, period: BillingPeriod, events: ReadEvents | None
) -> dict[str, Decimal]:
    """Return what the usage of a period costs so far by meter code, in currency units."""
    found: dict[str, int] = {}
    for fee in loaded.price(period, events, closing=False).fees:
        found[fee.meter_code] = found.get(fee.meter_code, 0) + fee.amount_minor
    return {code: to_decimal(Money(period.currency, minor)) for code, minor in found.items()}


def _units(
    loaded: LoadedUsage, period: BillingPeriod, events: ReadEvents | None, meter_code: str
) -> Decimal:
    meter = loaded.meters.get(meter_code)
    if meter is None:  # The period's version does not charge it.
        return ZERO
    stored = loaded.cells.get(period.period_id, {})
    cells = (stored if events is None else events.instead(stored)).get(meter.meter_id, ())
    return units(whole_usage(cells, meter), meter, span=span_of(period)) if cells else ZERO


async def _store(worker: AsyncEngine, tenant: Tenant, found: Look, now: datetime) -> int:
    """Store a look at a subscription and tell what was crossed; return how many alerts did.

    Raises:
        Outrun: another look was stored since; nothing of this one is.
    """
    told = 0
    async with begin_worker(worker) as conn:
        subscription_id = found.noted.subscription_id
        held = set(await store.hold_alerts(conn, tenant, subscription_id))
        for place, value in sorted(found.values.items()):
            if place[0] in held:
                told += await _store_value(conn, tenant, found, place, value, now)
        await store.set_looks_at(conn, tenant, subscription_id, found.next_at)
        await strike_off(conn, [found.noted])
    return told


async def _store_value(
    conn: AsyncConnection,
    tenant: Tenant,
    found: Look,
    place: Place,
    value: Decimal,
    now: datetime,
) -> bool:
    """Store what a look found of an alert in a period; return whether it tells something."""
    alert, period = found.alerts[place[0]], found.periods[place[1]]
    seen = found.states.get(place, State())
    if seen.value == value:
        return False
    if not await store.save_state(conn, tenant, place, seen=seen, value=value):
        raise Outrun
    crossed = crossings(alert, seen.value, value)
    if not crossed:
        return False
    firings = [Firing(period.period_id, period.usage, one, value, now) for one in crossed]
    await store.insert_firings(conn, tenant, alert.alert_id, firings)
    fact = triggered(alert, period, crossed, value=value, now=now)
    await outbox.append(conn, tenant, fact)
    return True
