"""What invoicing asks of rating and wallet. Every question may be asked again."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import grpc

from libs import telemetry
from libs.peer import call, stream
from libs.period import Period
from libs.tenant import Tenant
from libs.wire import parse_timestamp, parse_uuid, period_message, read_date, timestamp
from services.invoicing.domain.invoice import Credit, Invoice, SettledPeriod
from services.invoicing.domain.line import PAID_AS, BreakdownRow, Fee, FeeKind, Line, RatedPeriod
from services.invoicing.domain.upcoming import Upcoming
from tally.rating.v1 import (
    billing_period_pb2,
    fee_explanation_pb2,
    following_pb2,
    meter_service_pb2,
    plan_service_pb2,
    rating_service_pb2,
    subscription_service_pb2,
)
from tally.rating.v1.meter_service_pb2_grpc import MeterServiceStub
from tally.rating.v1.plan_service_pb2_grpc import PlanServiceStub
from tally.rating.v1.rating_service_pb2_grpc import RatingServiceStub
from tally.rating.v1.subscription_service_pb2_grpc import SubscriptionServiceStub
from tally.wallet.v1 import ledger_service_pb2, wallet_service_pb2
from tally.wallet.v1.ledger_service_pb2_grpc import LedgerServiceStub
from tally.wallet.v1.wallet_service_pb2_grpc import WalletServiceStub

FEE_KIND = {
    billing_period_pb2.FEE_KIND_BASE: FeeKind.BASE,
    billing_period_pb2.FEE_KIND_USAGE: FeeKind.USAGE,
    billing_period_pb2.FEE_KIND_MINIMUM: FeeKind.MINIMUM,
    billing_period_pb2.FEE_KIND_FIXED: FeeKind.FIXED,
    billing_period_pb2.FEE_KIND_CORRECTION: FeeKind.CORRECTION,
    billing_period_pb2.FEE_KIND_COMMITMENT: FeeKind.COMMITMENT,
}


SUBSCRIPTIONS_AT_ONCE = 1_000  # And periods.
PAGE_SIZE = 100  # Of the lists that a verification reads.
CLOSED_AT_ONCE = 100  # Periods: folds of their usage wait meanwhile.
EXPLAIN_SECONDS_MAX = 600.0  # For the events of a line, however slowly they are taken.


@dataclass(frozen=True, slots=True)
class FrozenPeriod:
    """A close or an adjustment, as rating keeps it."""

    tenant: int
    rated: RatedPeriod


@dataclass(frozen=True, slots=True)
class Application:
    """What the wallets' ledger paid of an invoice."""

    tenant: int
    invoice_id: UUID
    content_hash: bytes
    credits: tuple[Credit, ...]
    returned: bool = False  # All of it went back.


class Rating:
    """The service that knows what usage costs."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = RatingServiceStub(channel)
        self._subscriptions = SubscriptionServiceStub(channel)

    async def rate(self, tenant: Tenant, period_id: UUID) -> RatedPeriod:
        """Return what a period costs as of now."""
        request = rating_service_pb2.RatePeriodRequest(period_id=str(period_id))
        answer = await call(self._stub.RatePeriod, request, tenant=tenant)
        return read_rated(answer.rated)

    async def upcoming(
        self, tenant: Tenant, customer_id: str, subscription_id: str
    ) -> list[Upcoming]:
        """Return the periods of a customer, or of one subscription, that are not due yet.

        Raises:
            NotFound: there is no such subscription.
        """
        ids = [subscription_id]
        if not subscription_id:
            asked = subscription_service_pb2.ListSubscriptionsRequest(
                customer_id=customer_id, page_size=SUBSCRIPTIONS_AT_ONCE
            )
            listed = await call(self._subscriptions.ListSubscriptions, asked, tenant=tenant)
            ids = sorted({one.subscription_id for one in listed.subscriptions})
        found: list[Upcoming] = []
        for one in ids:
            request = subscription_service_pb2.ListBillingPeriodsRequest(
                subscription_id=one, page_size=SUBSCRIPTIONS_AT_ONCE
            )
            while True:
                page = await call(self._subscriptions.ListBillingPeriods, request, tenant=tenant)
                found += [
                    read_upcoming(period)
                    for period in page.periods
                    if period.status == billing_period_pb2.PERIOD_STATUS_OPEN
                ]
                if not page.next_page_token:
                    break
                request.page_token = page.next_page_token
        return found

    async def follow(self, tenant: Tenant, customer_id: str) -> None:
        """Have changes of a customer's usage announced from now on; a repeat changes nothing."""
        request = following_pb2.FollowUsageRequest(customer_id=customer_id)
        await call(self._stub.FollowUsage, request, tenant=tenant)

    async def close(self, tenant: Tenant, period_ids: Sequence[UUID]) -> dict[UUID, RatedPeriod]:
        """Freeze the fees of due periods and return them, by id; a repeat returns the same."""
        closed: dict[UUID, RatedPeriod] = {}
        for at in range(0, len(period_ids), CLOSED_AT_ONCE):
            asked = [str(one) for one in period_ids[at : at + CLOSED_AT_ONCE]]
            request = rating_service_pb2.ClosePeriodsRequest(period_ids=asked)
            answer = await call(self._stub.ClosePeriods, request, tenant=tenant)
            for one in map(read_rated, answer.rated):
                closed[one.period_id] = one
        return closed

    async def adjust(self, tenant: Tenant, period_id: UUID, sequence: int) -> RatedPeriod:
        """Freeze what changed in a closed period and return it; a repeat returns the same."""
        request = rating_service_pb2.CloseAdjustmentRequest(
            period_id=str(period_id), sequence=sequence
        )
        answer = await call(self._stub.CloseAdjustment, request, tenant=tenant)
        return read_rated(answer.adjustment, sequence=sequence)

    async def crossing(self, tenant: Tenant, crossing_id: UUID) -> RatedPeriod:
        """Return what usage of a period cost when it crossed thresholds: always the same."""
        request = rating_service_pb2.GetThresholdCrossingRequest(crossing_id=str(crossing_id))
        answer = await call(self._stub.GetThresholdCrossing, request, tenant=tenant)
        return replace(read_rated(answer.crossing.rated), settles=False)

    def explain(
        self, tenant: Tenant, line: Line
    ) -> AsyncGenerator[fee_explanation_pb2.ExplainFeeResponse, None]:
        """Give as of when the usage fee that a line shows was priced, and then its events."""
        request = fee_explanation_pb2.ExplainFeeRequest(
            period_id=str(line.period_id),
            sequence=line.adjustment_sequence,
            charge_code=line.fee.charge_code,
            filter_code=line.fee.filter_code,
            group_values=[
                billing_period_pb2.GroupValue(key=key, value=value)
                for key, value in line.fee.group_values
            ],
        )
        method, seconds = self._stub.ExplainFee, EXPLAIN_SECONDS_MAX
        return stream(method, request, tenant=tenant, timeout=seconds)

    async def closes(
        self, tenant: Tenant | None, period_ids: Sequence[UUID]
    ) -> AsyncGenerator[FrozenPeriod, None]:
        """Give what was frozen of periods, or of all if none are named; freeze nothing.

        `tenant` None asks for all tenants.
        """
        for asked in batches(period_ids):
            request = rating_service_pb2.ListClosesRequest(period_ids=asked, page_size=PAGE_SIZE)
            while True:
                answer = await call(self._stub.ListCloses, request, tenant=tenant)
                for one in answer.closes:
                    yield FrozenPeriod(one.tenant, read_rated(one.rated, sequence=one.sequence))
                if not answer.next_page_token:
                    break
                request.page_token = answer.next_page_token


class Catalog:
    """The meters and plans that rating knows."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._meters = MeterServiceStub(channel)
        self._plans = PlanServiceStub(channel)

    async def check_meters(self, tenant: Tenant, codes: Sequence[str]) -> None:
        """Check that there are meters of these codes.

        Raises:
            NotFound: there is none of one of them; reason METER_NOT_FOUND.
        """
        for code in codes:
            request = meter_service_pb2.GetMeterRequest(code=code)
            await call(self._meters.GetMeter, request, tenant=tenant)

    async def check_plans(self, tenant: Tenant, codes: Sequence[str]) -> None:
        """Check that there are plans of these codes.

        Raises:
            NotFound: there is none of one of them; reason PLAN_NOT_FOUND.
        """
        for code in codes:
            request = plan_service_pb2.GetPlanRequest(code=code)
            await call(self._plans.GetPlan, request, tenant=tenant)


class Wallet:
    """The service that knows what customers paid in advance."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = WalletServiceStub(channel)
        self._ledger = LedgerServiceStub(channel)

    async def apply_credits(
        self,
        tenant: Tenant,
        invoice: Invoice,
        settled: Sequence[SettledPeriod],
        *,
        now: datetime,
    ) -> list[Credit]:
        """Pay a frozen invoice from the customer's wallets as of `now`; a repeat returns the same.

        What was captured for the `settled` periods and is not needed goes back.
        """
        request = wallet_service_pb2.ApplyCreditsRequest(
            invoice_id=str(invoice.invoice_id),
            content_hash=invoice.content_hash,
            customer_id=invoice.customer_id,
            currency_code=invoice.currency,
            lines=[
                wallet_service_pb2.CreditLine(
                    line_id=str(line.line_id),
                    fee_kind=PAID_AS[line.fee.kind],
                    meter_code=line.fee.meter_code,
                    amount_minor=line.payable_minor,
                    period=period_message(line.period.start, line.period.end),
                    subscription_id=line.subscription_id,
                )
                for line in invoice.lines
            ],
            settled_periods=[
                wallet_service_pb2.SettledPeriod(
                    period_id=str(one.period_id),
                    subscription_id=one.subscription_id,
                    period=period_message(one.period.start, one.period.end),
                )
                for one in settled
            ],
            as_of=timestamp(now),
        )
        answer = await call(self._stub.ApplyCredits, request, tenant=tenant)
        return [read_credit(credit) for credit in answer.credits]

    async def return_credits(
        self, tenant: Tenant, invoice_id: UUID, *, voided_at: datetime
    ) -> None:
        """Have wallets take back what they paid of an invoice; a repeat does nothing."""
        request = wallet_service_pb2.ReturnCreditsRequest(
            invoice_id=str(invoice_id), as_of=timestamp(voided_at)
        )
        await call(self._stub.ReturnCredits, request, tenant=tenant)

    async def applications(
        self, tenant: Tenant | None, invoice_ids: Sequence[UUID]
    ) -> AsyncGenerator[Application, None]:
        """Give what was paid of invoices, or of all if none are named.

        `tenant` None asks for all tenants.
        """
        for asked in batches(invoice_ids):
            request = ledger_service_pb2.ListApplicationsRequest(
                invoice_ids=asked, page_size=PAGE_SIZE
            )
            while True:
                answer = await call(self._ledger.ListApplications, request, tenant=tenant)
                for one in answer.applications:
                    yield Application(
                        tenant=one.tenant,
                        invoice_id=parse_uuid(one.invoice_id, "invoice_id"),
                        content_hash=one.content_hash,
                        credits=tuple(read_credit(credit) for credit in one.credits),
                        returned=one.returned,
                    )
                if not answer.next_page_token:
                    break
                request.page_token = answer.next_page_token


def batches(ids: Sequence[UUID]) -> list[list[str]]:
    """Return ids as requests may name them: at most 1,000 at once, and one without any for all."""
    texts = [str(one) for one in ids]
    return [texts[at : at + 1_000] for at in range(0, max(len(texts), 1), 1_000)]


def read_rated(message: rating_service_pb2.RatedPeriod, *, sequence: int = 0) -> RatedPeriod:
    """Read a rated period; the present trace is the one that rated it."""
    period = message.period
    return RatedPeriod(
        period_id=parse_uuid(period.period_id, "period_id"),
        late_version=period.late_version,
        sequence=sequence,
        subscription_id=period.subscription_id,
        plan_code=period.plan_code,
        plan_name=period.plan_name,
        plan_version=period.plan_version,
        period=read_usage_period(period),
        first_day=read_date(period.fee_days.first_day),
        end_day=read_date(period.fee_days.end_day),
        time_zone=period.fee_days.time_zone,
        fees=tuple(read_fee(fee) for fee in message.fees),
        usage_traceparents=tuple(message.usage_traceparents),
        trace_id=telemetry.trace_id(),
        settles=period.kind != billing_period_pb2.PERIOD_KIND_INSTANT,
    )


def read_upcoming(message: billing_period_pb2.BillingPeriod) -> Upcoming:
    """Read a period that is not due yet."""
    return Upcoming(
        period_id=parse_uuid(message.period_id, "period_id"),
        customer_id=message.customer_id,
        currency=message.currency_code,
        period=read_usage_period(message),
        due_at=parse_timestamp(message.due_at, "due_at"),
        time_zone=message.fee_days.time_zone,
        instant=message.kind == billing_period_pb2.PERIOD_KIND_INSTANT,
    )


def read_usage_period(message: billing_period_pb2.BillingPeriod) -> Period:
    """Read the instants that a billing period bills."""
    usage = message.usage_period
    return Period(
        parse_timestamp(usage.start, "usage_period.start"),
        parse_timestamp(usage.end, "usage_period.end"),
    )


def read_fee(message: billing_period_pb2.Fee) -> Fee:
    """Read a fee."""
    return Fee(
        kind=FEE_KIND[message.kind],
        charge_code=message.charge_code,
        filter_code=message.filter_code,
        meter_code=message.meter_code,
        description=message.display_name,
        units=Decimal(message.units or 0),
        event_count=message.event_count,
        exact_amount=Decimal(message.exact_amount or 0),
        amount_minor=message.amount.amount_minor,
        breakdown=tuple(read_row(row) for row in message.breakdown),
        group_values=tuple((one.key, one.value) for one in message.group_values),
        tax_codes=tuple(message.tax_codes),
    )


def read_row(message: billing_period_pb2.BreakdownRow) -> BreakdownRow:
    """Read one step of a price; an empty amount is nothing."""
    return BreakdownRow(
        label=message.label,
        units=Decimal(message.units or 0),
        unit_amount=Decimal(message.unit_amount or 0),
        flat_amount=Decimal(message.flat_amount or 0),
        amount=Decimal(message.amount or 0),
        up_to=Decimal(message.up_to) if message.up_to else None,
        pricing_unit=message.pricing_unit,
    )


def read_credit(message: wallet_service_pb2.AppliedCredit) -> Credit:
    """Read a part of a line that a wallet paid."""
    return Credit(
        line_id=parse_uuid(message.line_id, "line_id"),
        wallet_id=parse_uuid(message.wallet_id, "wallet_id"),
        grant_id=parse_uuid(message.grant_id, "grant_id"),
        amount_minor=message.amount_minor,
        captured=message.captured,
    )
