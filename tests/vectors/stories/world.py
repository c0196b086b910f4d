"""The world of a story: a tenant of its own, what is given there, and what each step made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from cli.client import SuiteClient
from libs.period import local_day
from libs.wire import civil_date, timestamp
from tally.invoicing.v1.credit_note_service_pb2 import (
    CreditNote,
    GetCreditNoteRequest,
    ListCreditNotesRequest,
)
from tally.invoicing.v1.customer_service_pb2 import Customer, UpsertCustomerRequest
from tally.invoicing.v1.invoice_service_pb2 import GetInvoiceRequest, Invoice, ListInvoicesRequest
from tally.invoicing.v1.tax_service_pb2 import CreateTaxRequest, Tax
from tally.invoicing.v1.tenant_service_pb2 import (
    BillingEntity,
    UpdateBillingEntityRequest,
    ZeroInvoices,
)
from tally.rating.v1.billing_period_pb2 import BillingPeriod
from tally.rating.v1.meter_service_pb2 import CreateMeterRequest
from tally.rating.v1.plan_service_pb2 import CreatePlanRequest
from tally.rating.v1.subscription_service_pb2 import (
    BillingTime,
    CreateSubscriptionRequest,
    GetSubscriptionRequest,
    ListBillingPeriodsRequest,
    Subscription,
    TerminateSubscriptionRequest,
)
from tests.vectors.given import Given
from tests.vectors.stories.plans import dimensions_of, meter_of, plan_of

PAGE = 1_000
BILLING_TIMES = {
    "calendar": BillingTime.BILLING_TIME_CALENDAR,
    "anniversary": BillingTime.BILLING_TIME_ANNIVERSARY,
}


def instant(text: str) -> datetime:
    """Read an instant as cases write it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def request_id() -> str:
    """Return the id of a new request."""
    return str(uuid4())


@dataclass(slots=True)
class World:
    """What a story needs to act and to look; `now` is the suite's time."""

    client: SuiteClient
    now: datetime
    zones: dict[str, ZoneInfo] = field(default_factory=dict)  # By customer.
    customers: dict[str, str] = field(default_factory=dict)  # By subscription.
    plans: dict[str, list[str]] = field(default_factory=dict)  # Of a subscription, oldest first.
    meters: dict[str, str] = field(default_factory=dict)  # How they aggregate, by code.
    wallets: dict[str, Given] = field(default_factory=dict)  # As defined, by name.
    wallet_ids: dict[str, str] = field(default_factory=dict)  # Of those that were opened.
    made: list[list[str]] = field(default_factory=list)  # Invoices by step, oldest first.

    async def give(self, given: Given) -> None:
        """Create what the story begins with."""
        common = _rate_of_all_charges(given.value("plans"))
        for one in given.each("customers"):
            await self._give_customer(one, common)
        if given.has("wallets"):
            self.wallets = {one.text("id"): one for one in given.each("wallets")}
        if given.has("meters"):
            used = dimensions_of(given.value("plans"))
            for one in given.each("meters"):
                meter = meter_of(one, used.get(one.text("code"), ()))
                self.meters[meter.code] = one.text("aggregation")
                await self.client.meters.CreateMeter(
                    CreateMeterRequest(request_id=request_id(), meter=meter)
                )
        for one in given.each("plans"):
            plan, version = plan_of(one)
            await self.client.plans.CreatePlan(
                CreatePlanRequest(request_id=request_id(), plan=plan, version=version)
            )

    async def _give_customer(self, given: Given, common: Sequence[str]) -> None:
        customer_id = given.text("id")
        zone = given.text("timezone") if given.has("timezone") else "UTC"
        self.zones[customer_id] = ZoneInfo(zone)
        codes: list[str] = []
        for rate in given.value("tax_rates") or common:
            codes.append(f"tax-{len(codes) + 1}-{customer_id}")
            tax = Tax(code=codes[-1], name="Tax", rate_percent=rate)
            await self.client.taxes.CreateTax(CreateTaxRequest(request_id=request_id(), tax=tax))
        profile = Customer(customer_id=customer_id, time_zone=zone, tax_codes=codes)
        await self.client.customers.UpsertCustomer(
            UpsertCustomerRequest(request_id=request_id(), customer=profile)
        )
        grace = "invoice_grace_period_days"
        entity = BillingEntity(
            grace_days=int(given.value(grace)) if given.has(grace) else 0,
            zero_invoices=ZeroInvoices.ZERO_INVOICES_FINALIZE,
        )
        await self.client.tenants.UpdateBillingEntity(
            UpdateBillingEntityRequest(request_id=request_id(), billing_entity=entity)
        )

    async def subscribe(
        self,
        subscription_id: str,
        customer_id: str,
        plan_code: str,
        billing_time: str,
        *,
        start: datetime,
        anchor: datetime | None = None,
        end: datetime | None = None,
    ) -> None:
        """Put a customer on a plan; all is billed as soon as it may be."""
        zone = self.zones[customer_id]
        self.customers[subscription_id] = customer_id
        self.plans.setdefault(subscription_id, []).append(plan_code)
        subscription = Subscription(
            subscription_id=subscription_id,
            customer_id=customer_id,
            plan_code=plan_code,
            start=timestamp(start),
            end=None if end is None else timestamp(end),
            time_zone=zone.key,
            billing_time=BILLING_TIMES[billing_time],
            anchor_day=None if anchor is None else civil_date(local_day(anchor, zone)),
            collection_delay_s=0,
        )
        await self.client.subscriptions.CreateSubscription(
            CreateSubscriptionRequest(request_id=request_id(), subscription=subscription)
        )

    async def end(self) -> None:
        """End what goes on: the suite would bill it through the other stories."""
        for subscription_id in self.customers:
            asked = GetSubscriptionRequest(subscription_id=subscription_id)
            found = (await self.client.subscriptions.GetSubscription(asked)).subscription
            if not found.HasField("end"):
                ending = TerminateSubscriptionRequest(
                    request_id=request_id(), subscription_id=subscription_id
                )
                await self.client.subscriptions.TerminateSubscription(ending)

    @property
    def customer_id(self) -> str:
        """The one customer."""
        [found] = self.zones
        return found

    def day(self, at: datetime) -> date:
        """Return the customer's local day of an instant."""
        return local_day(at, self.zones[self.customer_id])

    async def list_invoices(self) -> list[Invoice]:
        """Return all invoices with their lines, oldest first."""
        found = (
            await self.client.invoices.ListInvoices(ListInvoicesRequest(page_size=PAGE))
        ).invoices
        asked = [GetInvoiceRequest(invoice_id=one.invoice_id) for one in reversed(found)]
        return [(await self.client.invoices.GetInvoice(one)).invoice for one in asked]

    async def list_notes(self) -> list[CreditNote]:
        """Return all credit notes, oldest first."""
        asked = ListCreditNotesRequest(page_size=PAGE)
        found = (await self.client.credit_notes.ListCreditNotes(asked)).credit_notes
        ids = [GetCreditNoteRequest(credit_note_id=one.credit_note_id) for one in reversed(found)]
        return [(await self.client.credit_notes.GetCreditNote(one)).credit_note for one in ids]

    async def list_periods(self, subscription_id: str) -> Sequence[BillingPeriod]:
        """Return the billing periods of a subscription, by due time."""
        asked = ListBillingPeriodsRequest(subscription_id=subscription_id, page_size=PAGE)
        return (await self.client.subscriptions.ListBillingPeriods(asked)).periods


def _rate_of_all_charges(plans: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return the tax rates that all charges have alike: so they may be the customer's."""
    rates = {tuple(one.get("tax_rates", ())) for plan in plans for one in plan["charges"]}
    if len(rates) > 1:
        raise ValueError(f"charges with taxes of their own are unknown: {rates}")
    return rates.pop() if rates else ()
