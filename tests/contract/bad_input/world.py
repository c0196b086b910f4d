"""Two tenants that have one of everything: the caller, and one whose things it must not reach."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from uuid import uuid4

from cli.client import SuiteClient
from tally.ingest.v1.event_pb2 import Event
from tally.ingest.v1.ingest_service_pb2 import ListRejectedEventsRequest, RecordEventsRequest
from tally.invoicing.v1.coupon_service_pb2 import ApplyCouponRequest, CreateCouponRequest
from tally.invoicing.v1.credit_note_service_pb2 import CreateCreditNoteRequest
from tally.invoicing.v1.customer_service_pb2 import UpsertCustomerRequest
from tally.invoicing.v1.dunning_service_pb2 import CreatePaymentRequestRequest
from tally.invoicing.v1.invoice_service_pb2 import (
    INVOICE_KIND_SUBSCRIPTION,
    GetInvoiceRequest,
    Invoice,
    InvoiceStatus,
    ListInvoicesRequest,
)
from tally.invoicing.v1.payment_service_pb2 import RecordPaymentRequest, SetPaymentMethodRequest
from tally.invoicing.v1.tax_service_pb2 import CreateTaxRequest
from tally.invoicing.v1.tenant_service_pb2 import (
    CreateBillingEntityRequest,
    UpdateBillingEntityRequest,
)
from tally.rating.v1.alert_service_pb2 import CreateAlertRequest
from tally.rating.v1.entitlement_service_pb2 import CreateFeatureRequest
from tally.rating.v1.instant_fee_pb2 import PaymentStatus
from tally.rating.v1.meter_service_pb2 import CreateMeterRequest
from tally.rating.v1.plan_service_pb2 import CreatePlanRequest
from tally.rating.v1.rating_service_pb2 import ListInstantFeesRequest, ListThresholdCrossingsRequest
from tally.rating.v1.subscription_service_pb2 import (
    CreateSubscriptionRequest,
    ListBillingPeriodsRequest,
)
from tally.wallet.v1.hold_service_pb2 import AuthorizeRequest
from tally.wallet.v1.top_up_rule_service_pb2 import CreateTopUpRuleRequest
from tally.wallet.v1.wallet_service_pb2 import CreateWalletRequest, GrantCreditsRequest
from tests.contract.bad_input.billing import billed_by_hand, drafted
from tests.contract.bad_input.requests import USD, World, good_requests
from tests.contract.bad_input.webhooks import delivery, endpoints
from tests.suite import Suite
from tests.wait import until

NO_CHARGES = {"interval_unit": "INTERVAL_UNIT_MONTH", "interval_count": 1}


@dataclass(frozen=True, slots=True)
class Worlds:
    """The caller's tenant and what it has, and what another tenant has."""

    tenant: int
    mine: World
    other: World


def make_worlds(suite: Suite) -> Worlds:
    """Fill two new tenants of the suite."""

    async def both() -> Worlds:
        tenant, another = suite.new_tenant(), suite.new_tenant()
        async with suite.client(tenant) as mine, suite.client(another) as other:
            return Worlds(tenant, await _fill(mine, "mine"), await _fill(other, "other"))

    return asyncio.run(both())


async def _fill(client: SuiteClient, name: str) -> World:
    named = ["meter", "plan", "subscription", "customer", "event", "retracted"]
    named += ["idle_meter", "idle_plan", "idle_feature"]  # To archive.
    named += ["feature", "unpaying", "coupon", "idle_coupon", "billing_entity"]
    world = {key: f"{name}-{key}" for key in named}
    world |= dict.fromkeys(
        (
            "rejected",
            "wallet",
            "other_wallet",
            "spare_wallet",  # To end.
            "rule",
            "ending_rule",  # To archive.
            "hold",
            "released",
            "invoice",
            "to_void",
            "voided",
            "voided_line",
            "draft",
            "due_draft",
            "draft_line",
            "line",
            "payment",
            "payment_request",
            "webhook_endpoint",
            "deleted_endpoint",
            "webhook_delivery",
            "credit_note",
            "applied_coupon",
            "period",
            "ending",
            "instant_fee",
            "alert",
            "deleted_alert",
            "threshold_crossing",
        ),
        "",
    )
    good = good_requests(world)
    meter = good["rating.v1.MeterService.CreateMeter"]
    meter["meter"]["code"] = world["meter"]
    del meter["meter"]["rounding"]  # Prices that look at single events go without.
    await client.meters.CreateMeter(CreateMeterRequest(**meter))
    plan = good["rating.v1.PlanService.CreatePlan"]
    plan["plan"]["code"] = world["plan"]
    await client.plans.CreatePlan(CreatePlanRequest(**plan))
    await _idle(client, world)
    customer = good["invoicing.v1.CustomerService.UpsertCustomer"]
    for key in ("unpaying", "customer"):
        customer["customer"]["customer_id"] = world[key]
        customer["request_id"] = str(uuid4())
        await client.customers.UpsertCustomer(UpsertCustomerRequest(**customer))
    seller = good["invoicing.v1.TenantService.UpdateBillingEntity"]
    seller["billing_entity"] |= {"number_prefix": name.upper()}  # Numbers of its own.
    await client.tenants.UpdateBillingEntity(UpdateBillingEntityRequest(**seller))
    second = good["invoicing.v1.TenantService.CreateBillingEntity"]
    second["billing_entity"] |= {"code": world["billing_entity"], "number_prefix": "TAKEN"}
    await client.tenants.CreateBillingEntity(CreateBillingEntityRequest(**second))
    for key in ("subscription", "ending"):
        world[key] = await _subscribe(client, world, f"{name}-{key}")
    world["tax"] = await _tax(client, world, name)
    events = [
        Event(id=world[key], type="calls", customer_id=world["customer"])
        for key in ("event", "retracted")
    ]
    events.append(Event(id="without a type", customer_id=world["customer"]))
    counted = Event(id="counted", type=world["meter"], customer_id=world["customer"])
    counted.properties["value"].decimal = "2"
    events.append(counted)
    await client.ingest.RecordEvents(RecordEventsRequest(events=events))
    rejected = await client.ingest.ListRejectedEvents(ListRejectedEventsRequest())
    world["rejected"] = rejected.events[0].rejected_event_id
    world["instant_fee"] = await _instant_fee(client)
    world |= await _entitle(client, world)
    world["threshold_crossing"] = await _threshold_crossing(client)
    world |= await billed_by_hand(client, world)
    world["applied_coupon"] = await _coupons(client, world)
    world |= await endpoints(client, world)
    world |= await _wallet(client, world) | await _billed(client, world)
    world["webhook_delivery"] = await delivery(client)
    return world | await drafted(client, world, name)


async def _idle(client: SuiteClient, world: World) -> None:
    """Create what is archived: nothing else goes by it."""
    good = good_requests(world)
    meter = good["rating.v1.MeterService.CreateMeter"]
    meter["meter"]["code"] = world["idle_meter"]
    await client.meters.CreateMeter(CreateMeterRequest(**meter))
    plan = {**good["rating.v1.PlanService.CreatePlan"], "version": NO_CHARGES}
    plan["plan"]["code"] = world["idle_plan"]
    await client.plans.CreatePlan(CreatePlanRequest(**plan))


async def _entitle(client: SuiteClient, world: World) -> World:
    """Create features and alerts; return the ids of these."""
    for key in ("feature", "idle_feature"):
        made = good_requests(world)["rating.v1.EntitlementService.CreateFeature"]
        made["feature"]["code"] = world[key]
        await client.entitlements.CreateFeature(CreateFeatureRequest(**made))
    found = {}
    for key in ("alert", "deleted_alert"):
        made = good_requests(world)["rating.v1.AlertService.CreateAlert"]
        answer = await client.alerts.CreateAlert(CreateAlertRequest(**made))
        found[key] = answer.alert.alert_id
    return found


async def _instant_fee(client: SuiteClient) -> str:
    """Wait for the event that a charge of no invoice prices as it comes."""

    async def rated() -> str:
        pending = PaymentStatus.PAYMENT_STATUS_PENDING
        asked = ListInstantFeesRequest(payment_status=pending)
        fees = (await client.rating.ListInstantFees(asked)).fees
        return fees[0].fee_id if fees else ""

    return await until(rated, describe=lambda: "no event was priced")


async def _threshold_crossing(client: SuiteClient) -> str:
    """Wait for that event to cross the threshold of its plan."""

    async def crossed() -> str:
        found = (
            await client.rating.ListThresholdCrossings(ListThresholdCrossingsRequest())
        ).crossings
        return found[0].crossing_id if found else ""

    return await until(crossed, describe=lambda: "no threshold was crossed")


async def _subscribe(client: SuiteClient, world: World, subscription_id: str) -> str:
    fields = good_requests(world)["rating.v1.SubscriptionService.CreateSubscription"]
    fields["subscription"] |= {
        "subscription_id": subscription_id,
        "customer_id": world["customer"],
    }
    await client.subscriptions.CreateSubscription(CreateSubscriptionRequest(**fields))
    return subscription_id


async def _tax(client: SuiteClient, world: World, name: str) -> str:
    fields = good_requests(world)["invoicing.v1.TaxService.CreateTax"]
    fields["tax"]["code"] = f"{name}-tax"
    await client.taxes.CreateTax(CreateTaxRequest(**fields))
    return f"{name}-tax"


async def _coupons(client: SuiteClient, world: World) -> str:
    """Create coupons, and give the customer one; return its id."""
    for key in ("coupon", "idle_coupon"):
        made = good_requests(world)["invoicing.v1.CouponService.CreateCoupon"]
        made["coupon"]["code"] = world[key]
        await client.coupons.CreateCoupon(CreateCouponRequest(**made))
    given = good_requests(world)["invoicing.v1.CouponService.ApplyCoupon"]
    answer = await client.coupons.ApplyCoupon(ApplyCouponRequest(**given))
    return answer.applied_coupon.applied_coupon_id


async def _wallet(client: SuiteClient, world: World) -> World:
    named = {}
    for key in ("wallet", "other_wallet", "spare_wallet"):
        made = good_requests(world)["wallet.v1.WalletService.CreateWallet"]
        opened = await client.wallets.CreateWallet(CreateWalletRequest(**made))
        named[key] = opened.wallet.wallet_id
    world = {**world, **named}
    grant = good_requests(world)["wallet.v1.WalletService.GrantCredits"]
    grant["grant"] = {**grant["grant"], "amount": {**USD, "amount_minor": 1_000_000}}
    await client.wallets.GrantCredits(GrantCreditsRequest(**grant))
    for key in ("rule", "ending_rule"):
        rule = good_requests(world)["wallet.v1.TopUpRuleService.CreateTopUpRule"]
        made_rule = await client.top_up_rules.CreateTopUpRule(CreateTopUpRuleRequest(**rule))
        named[key] = made_rule.rule.rule_id
    holds = []
    for _ in range(2):
        fields = good_requests(world)["wallet.v1.HoldService.Authorize"]
        fields["amount"] = {**USD, "amount_minor": 10_000}
        holds.append((await client.holds.Authorize(AuthorizeRequest(**fields))).hold.hold_id)
    return {**named, "hold": holds[0], "released": holds[1]}


async def _billed(client: SuiteClient, world: World) -> World:
    """Wait for the base fee in advance to be invoiced."""

    async def finalized() -> Invoice | None:
        asked = ListInvoicesRequest(status=InvoiceStatus.INVOICE_STATUS_FINALIZED)
        found = (await client.invoices.ListInvoices(asked)).invoices
        of_periods = [one for one in found if one.kind == INVOICE_KIND_SUBSCRIPTION]
        return of_periods[0] if of_periods else None

    invoice = await until(finalized, describe=lambda: "no invoice was finalized")
    assert invoice is not None
    asked = GetInvoiceRequest(invoice_id=invoice.invoice_id)
    periods = await client.subscriptions.ListBillingPeriods(
        ListBillingPeriodsRequest(subscription_id=world["subscription"])
    )
    line = (await client.invoices.GetInvoice(asked)).invoice.lines[0]
    world = {**world, "invoice": invoice.invoice_id, "line": line.line_id}
    fields = good_requests(world)["invoicing.v1.CreditNoteService.CreateCreditNote"]
    made = await client.credit_notes.CreateCreditNote(CreateCreditNoteRequest(**fields))
    money = good_requests(world)["invoicing.v1.PaymentService.RecordPayment"]
    paid = await client.payments.RecordPayment(RecordPaymentRequest(**money))
    method = good_requests(world)["invoicing.v1.PaymentService.SetPaymentMethod"]
    await client.payments.SetPaymentMethod(SetPaymentMethodRequest(**method))
    asking = good_requests(world)["invoicing.v1.DunningService.CreatePaymentRequest"]
    asked_for = await client.dunning.CreatePaymentRequest(CreatePaymentRequestRequest(**asking))
    return {
        "payment": paid.payment.payment_id,
        "payment_request": asked_for.payment_request.payment_request_id,
        "invoice": invoice.invoice_id,
        "line": line.line_id,
        "invoice_number": invoice.number,
        "credit_note": made.credit_note.credit_note_id,
        "credit_note_number": made.credit_note.number,
        "period": periods.periods[0].period_id,
    }
