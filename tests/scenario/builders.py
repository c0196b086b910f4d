"""Short ways to say what a scenario needs, all through the public API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from cli.client import SuiteClient
from libs.wire import timestamp
from tally.ingest.v1.event_pb2 import Event, PropertyValue, Verdict
from tally.ingest.v1.ingest_service_pb2 import (
    AmendEventRequest,
    RecordEventsRequest,
    RetractEventRequest,
)
from tally.invoicing.v1.invoice_service_pb2 import (
    GetInvoiceRequest,
    Invoice,
    InvoiceStatus,
    ListInvoicesRequest,
)
from tally.rating.v1.meter_service_pb2 import (
    Aggregation,
    CreateMeterRequest,
    Dimension,
    Meter,
)
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
    Timing,
)
from tally.rating.v1.subscription_service_pb2 import (
    BillingTime,
    CreateSubscriptionRequest,
    Subscription,
)


@dataclass(frozen=True, slots=True)
class Line:
    """What a scenario looks at in an invoice line."""

    code: str  # The charge; "" for the base fee.
    units: str
    amount_minor: int


async def sell(
    client: SuiteClient,
    *,
    price: Price | None = None,
    base_amount: str = "",
    base_timing: Timing.ValueType = Timing.TIMING_IN_ARREARS,
    interval: IntervalUnit.ValueType = IntervalUnit.INTERVAL_UNIT_MONTH,
    aggregation: Aggregation.ValueType = Aggregation.AGGREGATION_SUM,
    currency: str = "USD",
    group_by: str = "",
) -> None:
    """Create the meter "calls" (of `value`) and the plan "pro" that charges it, a cent each."""
    counts = aggregation == Aggregation.AGGREGATION_COUNT
    keys = [group_by] if group_by else []
    meter = Meter(
        code="calls",
        aggregation=aggregation,
        value_property="" if counts else "value",
        dimensions=[Dimension(key=key) for key in keys],
    )
    await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    cent = Price(standard=StandardPrice(unit_amount="0.01"))
    version = PlanVersion(
        interval_unit=interval,
        base_amount=base_amount,
        base_timing=base_timing if base_amount else Timing.TIMING_UNSPECIFIED,
        charges=[Charge(meter_code="calls", price=price or cent, group_by=keys)],
    )
    plan = Plan(code="pro", name="Pro", currency_code=currency)
    await client.plans.CreatePlan(
        CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    )


async def subscribe(
    client: SuiteClient,
    customer_id: str,
    start: datetime,
    *,
    subscription_id: str = "",
    time_zone: str = "UTC",
    billing_time: BillingTime.ValueType = BillingTime.BILLING_TIME_UNSPECIFIED,
) -> Subscription:
    """Put the customer on "pro" from `start` on."""
    subscription = Subscription(
        subscription_id=subscription_id or f"{customer_id}-pro",
        customer_id=customer_id,
        plan_code="pro",
        start=timestamp(start),
        time_zone=time_zone,
        billing_time=billing_time,
    )
    answer = await client.subscriptions.CreateSubscription(
        CreateSubscriptionRequest(request_id=str(uuid4()), subscription=subscription)
    )
    return answer.subscription


def usage(customer_id: str, at: datetime, value: str = "1", **texts: str) -> Event:
    """Return a new event that "calls" counts."""
    properties: Mapping[str, PropertyValue] = {"value": PropertyValue(decimal=value)} | {
        name: PropertyValue(text=text) for name, text in texts.items()
    }
    return Event(
        id=str(uuid4()),
        type="calls",
        time=timestamp(at),
        customer_id=customer_id,
        properties=properties,
    )


async def record(client: SuiteClient, events: Iterable[Event]) -> list[str]:
    """Record events; return their verdicts' names: "ACCEPTED"."""
    answer = await client.ingest.RecordEvents(RecordEventsRequest(events=events))
    return [Verdict.Name(one.verdict).removeprefix("VERDICT_") for one in answer.verdicts]


async def amend(client: SuiteClient, event: Event) -> None:
    """Give a recorded event new content."""
    await client.ingest.AmendEvent(AmendEventRequest(request_id=str(uuid4()), event=event))


async def retract(client: SuiteClient, event: Event) -> None:
    """Take a recorded event back."""
    asked = RetractEventRequest(request_id=str(uuid4()), source=event.source, id=event.id)
    await client.ingest.RetractEvent(asked)


async def invoices(client: SuiteClient, customer_id: str = "") -> list[Invoice]:
    """Return the finalized invoices with their lines, oldest first."""
    asked = ListInvoicesRequest(
        customer_id=customer_id, status=InvoiceStatus.INVOICE_STATUS_FINALIZED
    )
    found = (await client.invoices.ListInvoices(asked)).invoices
    return [
        (await client.invoices.GetInvoice(GetInvoiceRequest(invoice_id=one.invoice_id))).invoice
        for one in reversed(found)
    ]


def lines(invoice: Invoice) -> list[Line]:
    """Return the invoice's lines, short."""
    return [Line(one.charge_code, one.units, one.amount_minor) for one in invoice.lines]


def document(invoice: Invoice) -> Invoice:
    """Return what stands of an invoice, whatever comes of its payment."""
    standing = Invoice()
    standing.CopyFrom(invoice)
    for field in ("payment_status", "paid_minor", "due_minor", "overdue", "disputed"):
        standing.ClearField(field)
    return standing
