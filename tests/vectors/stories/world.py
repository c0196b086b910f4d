"""The world of a story: a tenant of its own, what is given there, and what each step made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from cli.client import SuiteClient
from libs.period import local_day
from libs.wire import civil_date, timestamp
from tally.common.v1.money_pb2 import Money
from tally.invoicing.v1.billing_service_pb2 import FinalizeInvoiceRequest
from tally.invoicing.v1.coupon_service_pb2 import (
    ApplyCouponRequest,
    Coupon,
    CouponFrequency,
    CreateCouponRequest,
)
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
    CreateBillingEntityRequest,
    Numbering,
    UpdateBillingEntityRequest,
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
from tests.vectors.stories.plans import dimensions_of, meter_of, plan_of, rates_of, tax_code

PAGE = 1_000
ENTITIES = "billing_entities"
GRACE = "invoice_grace_period_days"
GRACE_DAYS_MAX = 60
NUMBERINGS = {
    "per_customer": Numbering.NUMBERING_PER_CUSTOMER,
    "per_billing_entity": Numbering.NUMBERING_PER_ENTITY,
}
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
    profiles: dict[str, Customer] = field(default_factory=dict)  # By customer.
    entities: dict[str, BillingEntity] = field(default_factory=dict)  # By code.
    graces: dict[str, timedelta] = field(default_factory=dict)  # By customer.
    events_at: datetime | None = None  # When events come that say no time; None: now.

    async def give(self, given: Given) -> None:
        """Create what the story begins with."""
        await self._give_entities(given.each("billing_entities") if given.has(ENTITIES) else [])
        for one in given.each("customers"):
            await self._give_customer(one)
        for rate in sorted(rates_of(given.value("plans"))):
            await self._give_tax(tax_code(rate), rate)
        if given.has("coupons"):
            for one in given.each("coupons"):
                await self._give_coupon(one)
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

    async def _give_tax(self, code: str, rate: str) -> None:
        tax = Tax(code=code, name="Tax", rate_percent=rate)
        await self.client.taxes.CreateTax(CreateTaxRequest(request_id=request_id(), tax=tax))

    async def _give_coupon(self, given: Given) -> None:
        """Give a customer a coupon of an amount, once; others are not known here."""
        if (given.text("type"), given.text("frequency")) != ("fixed_amount", "once"):
            raise ValueError(f"the coupon {given.text('id')} is unknown")
        off = Money(
            currency_code=given.text("currency"), amount_minor=int(given.value("amount_cents"))
        )
        coupon = Coupon(
            code=given.text("id"),
            name="Coupon",
            amount_off=off,
            frequency=CouponFrequency.COUPON_FREQUENCY_ONCE,
        )
        await self.client.coupons.CreateCoupon(
            CreateCouponRequest(request_id=request_id(), coupon=coupon)
        )
        applying = ApplyCouponRequest(
            request_id=request_id(), customer_id=given.text("customer"), coupon_code=coupon.code
        )
        await self.client.coupons.ApplyCoupon(applying)

    async def _give_customer(self, given: Given) -> None:
        customer_id = given.text("id")
        zone = given.text("timezone") if given.has("timezone") else "UTC"
        self.zones[customer_id] = ZoneInfo(zone)
        codes: list[str] = []
        for rate in given.value("tax_rates"):
            codes.append(f"tax-{len(codes) + 1}-{customer_id}")
            await self._give_tax(codes[-1], rate)
        profile = Customer(
            customer_id=customer_id,
            time_zone=zone,
            tax_codes=codes,
            self_billed=given.has("account_type") and given.text("account_type") == "partner",
        )
        if given.has(GRACE):
            # What is due is finalized when the story says so: only then do jobs run there.
            self.graces[customer_id] = timedelta(days=int(given.value(GRACE)))
            profile.grace_days = GRACE_DAYS_MAX
        if given.has("billing_entity"):
            profile.billing_entity_code = given.text("billing_entity")
        await self.save_customer(profile)

    async def _give_entities(self, given: Sequence[Given]) -> None:
        """Create billing entities; the first one is the default."""
        for one in given:
            entity = BillingEntity(
                code=one.text("id"),
                number_prefix=one.text("prefix"),
                numbering=NUMBERINGS[one.text("numbering")],
                time_zone=one.text("timezone") if one.has("timezone") else "UTC",
                is_default=not self.entities,
            )
            self.entities[entity.code] = entity
            await self.client.tenants.CreateBillingEntity(
                CreateBillingEntityRequest(request_id=request_id(), billing_entity=entity)
            )

    async def save_entity(self, entity: BillingEntity) -> None:
        """Change a billing entity."""
        await self.client.tenants.UpdateBillingEntity(
            UpdateBillingEntityRequest(request_id=request_id(), billing_entity=entity)
        )

    async def save_customer(self, profile: Customer) -> None:
        """Create or change a customer."""
        self.profiles[profile.customer_id] = profile
        await self.client.customers.UpsertCustomer(
            UpsertCustomerRequest(request_id=request_id(), customer=profile)
        )

    async def finalize(self, invoice_id: str) -> None:
        """Finalize a draft now."""
        await self.client.billing.FinalizeInvoice(
            FinalizeInvoiceRequest(request_id=request_id(), invoice_id=invoice_id)
        )

    async def find(self, reference: Mapping[str, Any]) -> Invoice:
        """Return the newest invoice that a step made, of a customer if it is named."""
        place = reference["created_in_step"]
        known = {one for of_step in self.made for one in of_step}
        found = await self.list_invoices()
        if place < len(self.made):
            wanted = [one for one in found if one.invoice_id in self.made[place]]
        else:  # The present step: what it made is not listed yet.
            wanted = [one for one in found if one.invoice_id not in known]
        if "customer" in reference:
            wanted = [one for one in wanted if one.customer_id == reference["customer"]]
        return wanted[-1]

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
        entity_code: str = "",
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
            billing_entity_code=entity_code,
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

    def day(self, at: datetime, customer_id: str = "") -> date:
        """Return the local day of an instant, of a customer or else of the first one."""
        return local_day(at, self.zones[customer_id or next(iter(self.zones))])

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
