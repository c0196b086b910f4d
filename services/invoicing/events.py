"""Facts of rating and wallet: each handler is part of the transaction that takes the fact."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.clock import Clock
from libs.consumer import Handler
from libs.inbox import Fact
from libs.period import Period
from libs.tenant import Tenant
from libs.wire import parse_currency, parse_money, parse_timestamp, parse_uuid, parse_zone
from services.invoicing.operations import drafting, one_off
from services.invoicing.operations.drafting import ChangedUsage, DuePeriods
from services.invoicing.operations.one_off import Purchase
from services.invoicing.operations.peers import read_usage_period
from services.invoicing.operations.progressive import Crossing, draft_crossings
from services.invoicing.operations.unbilled import UsageOf, note_usage
from services.invoicing.store.unbilled import insert_wallet_customers
from tally.rating.v1.billing_period_pb2 import PERIOD_KIND_INSTANT
from tally.rating.v1.events_pb2 import (
    BillingPeriodDue,
    PeriodUsageChanged,
    UsageChanged,
    UsageThresholdCrossed,
)
from tally.wallet.v1.events_pb2 import TopUpRequested, WalletOpened


def handlers(clock: Clock) -> dict[str, Handler]:
    """Return the handlers of rating's facts, by their full names."""

    async def take_due(conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        dues = [parse_due(fact) for fact in facts]
        await drafting.draft_periods(conn, tenant, dues, now=clock.now())

    async def take_usage_changed(
        conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]
    ) -> None:
        changed = [parse_changed(fact) for fact in facts]
        await drafting.note_changed_usage(conn, tenant, changed, now=clock.now())

    async def take_usage(conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        await note_usage(conn, tenant, [parse_usage(fact) for fact in facts])

    async def take_crossed(conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        crossings = [parse_crossing(fact) for fact in facts]
        await draft_crossings(conn, tenant, crossings, now=clock.now())

    return {
        BillingPeriodDue.DESCRIPTOR.full_name: take_due,
        PeriodUsageChanged.DESCRIPTOR.full_name: take_usage_changed,
        UsageThresholdCrossed.DESCRIPTOR.full_name: take_crossed,
        UsageChanged.DESCRIPTOR.full_name: take_usage,
    }


def wallet_handlers(clock: Clock) -> dict[str, Handler]:
    """Return the handlers of the wallet's facts, by their full names."""

    async def take_opened(conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        opened = [WalletOpened.FromString(fact.payload).wallet.customer_id for fact in facts]
        await insert_wallet_customers(conn, tenant, opened)

    async def take_requested(conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        for fact in facts:
            await one_off.draft_purchase(conn, tenant, parse_purchase(fact), now=clock.now())

    return {
        WalletOpened.DESCRIPTOR.full_name: take_opened,
        TopUpRequested.DESCRIPTOR.full_name: take_requested,
    }


def parse_due(fact: Fact) -> DuePeriods:
    """Read a BillingPeriodDue."""
    message = BillingPeriodDue.FromString(fact.payload)
    return DuePeriods(
        customer_id=message.customer_id,
        currency=parse_currency(message.currency_code, "currency_code"),
        due_at=parse_timestamp(message.due_at, "due_at"),
        time_zone=parse_zone(message.time_zone, "time_zone"),
        periods=tuple(
            (parse_uuid(period.period_id, "periods.period_id"), read_usage_period(period))
            for period in message.periods
        ),
        headers=fact.headers,
        wanted={
            parse_uuid(period.period_id, "periods.period_id"): period.billing_entity_code
            for period in message.periods
            if period.billing_entity_code
        },
        alone=frozenset(
            parse_uuid(period.period_id, "periods.period_id")
            for period in message.periods
            if period.kind == PERIOD_KIND_INSTANT
        ),
    )


def parse_usage(fact: Fact) -> UsageOf:
    """Read a UsageChanged."""
    message = UsageChanged.FromString(fact.payload)
    return UsageOf(
        message.customer_id,
        parse_currency(message.currency_code, "currency_code"),
        message.subscription_id,
        tuple(parse_uuid(one, "period_ids") for one in message.period_ids),
    )


def parse_crossing(fact: Fact) -> Crossing:
    """Read a UsageThresholdCrossed."""
    message = UsageThresholdCrossed.FromString(fact.payload)
    return Crossing(
        crossing_id=parse_uuid(message.crossing_id, "crossing_id"),
        sequence=message.sequence,
        customer_id=message.customer_id,
        currency=parse_currency(message.currency_code, "currency_code"),
        period_id=parse_uuid(message.period_id, "period_id"),
        period=Period(
            parse_timestamp(message.period.start, "period.start"),
            parse_timestamp(message.period.end, "period.end"),
        ),
        time_zone=parse_zone(message.time_zone, "time_zone"),
        crossed_at=parse_timestamp(message.crossed_at, "crossed_at"),
        headers=fact.headers,
        wanted=message.billing_entity_code,
    )


def parse_changed(fact: Fact) -> ChangedUsage:
    """Read a PeriodUsageChanged."""
    message = PeriodUsageChanged.FromString(fact.payload)
    return ChangedUsage(
        period_id=parse_uuid(message.period_id, "period_id"),
        customer_id=message.customer_id,
        currency=parse_currency(message.currency_code, "currency_code"),
        late_version=message.late_version,
        closed=message.closed,
        commanded=message.commanded,
    )


def parse_purchase(fact: Fact) -> Purchase:
    """Read a TopUpRequested."""
    message = TopUpRequested.FromString(fact.payload)
    return Purchase(
        top_up_id=parse_uuid(message.top_up.top_up_id, "top_up.top_up_id"),
        customer_id=message.customer_id,
        amount=parse_money(message.top_up.paid, "top_up.paid"),
        wallet_name=message.wallet_name,
        requires_payment=message.top_up.requires_payment,
        headers=fact.headers,
    )
