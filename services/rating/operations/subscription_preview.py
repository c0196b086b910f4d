"""What a subscription would bill at once, if it were created: for starts that lie back.

It is created in a transaction that is rolled back. The customer's events are then folded and priced
in memory, as attributing them again would store them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.period import Period
from libs.tenant import Tenant
from services.rating.domain.cell import Cell
from services.rating.domain.folding import Folded
from services.rating.domain.instant_bill import without_refunds
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.operations.command import begin_command
from services.rating.operations.log import Log
from services.rating.operations.messages import subscription_message
from services.rating.operations.rating import LoadedUsage, load_usage, rated_message
from services.rating.operations.refolding import Refolding, fold_again, load_refolding
from services.rating.operations.single_events import Asked, ReadEvents, read_events
from services.rating.operations.subscriptions import Wish, subscribe
from services.rating.store.beside import others_of
from services.rating.store.periods import find_due
from tally.rating.v1 import subscription_service_pb2 as pb

Cells = Mapping[UUID, Mapping[UUID, Sequence[Cell]]]  # By period and meter.


async def preview_subscription(
    engine: AsyncEngine, log: Log, tenant: Tenant, wish: Wish, *, now: datetime
) -> pb.CreateSubscriptionResponse:
    """Return the subscription as it would be stored, and what is due of it already.

    Raises what creating it does, and:
        UsageQueryTooLarge: its customer has too many events for that.
        Unavailable: the log is away.
    """
    async with begin_command(engine, tenant, validate_only=True) as conn:
        subscription = await subscribe(conn, tenant, wish, now=now)
        due = await find_due(conn, tenant, subscription.subscription_uid, now)
        loaded = await load_usage(conn, tenant, due)
        refolding = await load_refolding(conn, tenant, wish.customer_id)
    priced = [*due, *others_of(loaded.beside, due)]
    usage = {one.period_id: one for one in priced if one.kind is PeriodKind.USAGE}
    parts = _parts([one.usage for one in usage.values()])
    terms = {one.term_id for one in usage.values()}
    folded = await fold_again(log, refolding, parts, terms=terms)
    loaded = replace(loaded, cells=_with_folded(loaded.cells, folded, usage.values()))
    read = await _read(log, tenant, loaded, due, refolding)
    rated = [(one, loaded.price(one, read.get(one.period_id), others=read)) for one in due]
    return pb.CreateSubscriptionResponse(
        subscription=subscription_message(subscription),
        due_periods=[
            rated_message(period, replace(price, fees=without_refunds(price.fees)))
            for period, price in rated
        ],
    )


def _parts(windows: Sequence[Period]) -> list[Period]:
    """Return the one stretch that holds all `windows`."""
    if not windows:
        return []
    return [Period(min(one.start for one in windows), max(one.end for one in windows))]


def _with_folded(carried: Cells, folded: Folded, periods: Iterable[BillingPeriod]) -> Cells:
    cells = {
        period_id: {meter_id: list(of_meter) for meter_id, of_meter in of_period.items()}
        for period_id, of_period in carried.items()
    }
    for period in periods:
        of_period = cells.setdefault(period.period_id, {})
        for key, cell in folded.cells.items():
            if period.holds(key.term_id, key.day):
                of_period.setdefault(key.meter_id, []).append(replace(cell, day=key.day))
    return cells


async def _read(
    log: Log,
    tenant: Tenant,
    loaded: LoadedUsage,
    due: Sequence[BillingPeriod],
    refolding: Refolding,
) -> dict[UUID, ReadEvents]:
    """Read the single events that prices look at."""
    terms = refolding.catalog.terms[refolding.customer_id]
    asked = [
        Asked(tenant, period, counted, terms, refolding.applied)
        for _, period, counted in loaded.asked(tenant, due)
    ]
    return await read_events(log, asked)
