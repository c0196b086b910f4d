"""Facts that rating announces: each handler is part of the transaction that takes the fact."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.bus import Handler
from libs.clock import Clock
from libs.inbox import Fact
from libs.wire import parse_currency, parse_timestamp, parse_uuid, parse_zone
from services.invoicing.operations import drafting
from services.invoicing.operations.drafting import DuePeriods
from services.invoicing.operations.peers import read_usage_period
from tally.rating.v1.events_pb2 import BillingPeriodDue, PeriodUsageChanged


def handlers(clock: Clock) -> dict[str, Handler]:
    """Return the handlers by the facts' full names."""

    async def take_due(conn: AsyncConnection, fact: Fact) -> None:
        due = parse_due(BillingPeriodDue.FromString(fact.payload))
        await drafting.draft_periods(conn, fact.tenant, due, now=clock.now())

    return {
        BillingPeriodDue.DESCRIPTOR.full_name: take_due,
        PeriodUsageChanged.DESCRIPTOR.full_name: take_usage_changed,
    }


async def take_usage_changed(conn: AsyncConnection, fact: Fact) -> None:
    """Refresh the period's draft, or remember that an adjustment is due."""
    changed = PeriodUsageChanged.FromString(fact.payload)
    await drafting.note_changed_usage(
        conn,
        fact.tenant,
        period_id=parse_uuid(changed.period_id, "period_id"),
        customer_id=changed.customer_id,
        currency=parse_currency(changed.currency_code, "currency_code"),
        late_version=changed.late_version,
        closed=changed.closed,
    )


def parse_due(message: BillingPeriodDue) -> DuePeriods:
    """Read a BillingPeriodDue."""
    return DuePeriods(
        customer_id=message.customer_id,
        currency=parse_currency(message.currency_code, "currency_code"),
        due_at=parse_timestamp(message.due_at, "due_at"),
        time_zone=parse_zone(message.time_zone, "time_zone"),
        periods=tuple(
            (parse_uuid(period.period_id, "periods.period_id"), read_usage_period(period))
            for period in message.periods
        ),
    )
