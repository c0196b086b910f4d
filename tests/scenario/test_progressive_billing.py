"""Usage that is billed before its week ends: how the analytics company bills a large customer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cli.client import SuiteClient
from tally.common.v1.money_pb2 import Money
from tally.invoicing.v1.credit_note_service_pb2 import ListCreditNotesRequest
from tally.invoicing.v1.invoice_service_pb2 import (
    Invoice,
    InvoiceKind,
    RenderInvoiceRequest,
    VerifyInvoicesRequest,
)
from tally.invoicing.v1.tax_service_pb2 import CreateTaxRequest, Tax
from tally.invoicing.v1.tenant_service_pb2 import BillingEntity, UpdateBillingEntityRequest
from tally.rating.v1.meter_service_pb2 import Aggregation, CreateMeterRequest, Meter
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
from tally.rating.v1.threshold_pb2 import UsageThresholds
from tally.wallet.v1.wallet_service_pb2 import (
    CreateWalletRequest,
    GetBalanceRequest,
    Grant,
    GrantCreditsRequest,
    GrantKind,
    Wallet,
)
from tests.scenario.builders import invoices, record, retract, subscribe, usage
from tests.suite import Suite

MONDAY = datetime(2027, 3, 1, tzinfo=UTC)
PROGRESSIVE = InvoiceKind.INVOICE_KIND_PROGRESSIVE
SUBSCRIPTION = InvoiceKind.INVOICE_KIND_SUBSCRIPTION


async def sell(client: SuiteClient) -> None:
    """Sell a week of reports: 30 dollars and one for each, billed at 50 and then at each 100."""
    tax = Tax(code="vat", name="VAT", rate_percent="10")
    await client.taxes.CreateTax(CreateTaxRequest(request_id=str(uuid4()), tax=tax))
    entity = BillingEntity(name="Insights Inc.", default_tax_codes=["vat"])
    await client.tenants.UpdateBillingEntity(
        UpdateBillingEntityRequest(request_id=str(uuid4()), billing_entity=entity)
    )
    meter = Meter(code="calls", aggregation=Aggregation.AGGREGATION_SUM, value_property="value")
    await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    version = PlanVersion(
        interval_unit=IntervalUnit.INTERVAL_UNIT_WEEK,
        base_amount="30",
        base_timing=Timing.TIMING_IN_ARREARS,
        charges=[Charge(meter_code="calls", price=Price(standard=StandardPrice(unit_amount="1")))],
        usage_thresholds=UsageThresholds(amounts=["50", "100"]),
    )
    plan = Plan(code="pro", name="Reports", currency_code="USD")
    await client.plans.CreatePlan(
        CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    )


async def fill_wallet(client: SuiteClient) -> str:
    """Give the customer 40 dollars ahead, and return the wallet's id."""
    wallet = Wallet(customer_id="acme", currency_code="USD", name="Prepaid")
    made = await client.wallets.CreateWallet(
        CreateWalletRequest(request_id=str(uuid4()), wallet=wallet)
    )
    grant = Grant(
        wallet_id=made.wallet.wallet_id,
        amount=Money(currency_code="USD", amount_minor=40_00),
        kind=GrantKind.GRANT_KIND_PURCHASED,
    )
    await client.wallets.GrantCredits(GrantCreditsRequest(request_id=str(uuid4()), grant=grant))
    return made.wallet.wallet_id


def shown(invoice: Invoice) -> tuple[int, int, int, int, int]:
    """What an invoice bills: its lines, and how these come to what is left to pay."""
    return (
        sum(line.amount_minor for line in invoice.lines),
        invoice.progressive_credit_minor,
        invoice.tax_minor,
        invoice.credits_minor,
        invoice.total_minor,
    )


async def test_a_week_is_billed_in_parts_and_its_invoice_credits_them(suite: Suite) -> None:
    await suite.advance(MONDAY)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        wallet_id = await fill_wallet(client)
        await subscribe(client, "acme", MONDAY)
        await suite.settle()

        async def reserved() -> int:
            balance = await client.wallets.GetBalance(GetBalanceRequest(wallet_id=wallet_id))
            return balance.balance.reserved.amount_minor

        await record(client, [usage("acme", MONDAY, "20")])
        await suite.settle()
        assert await reserved() == 22_00
        await record(client, [usage("acme", MONDAY, "40")])
        await suite.settle()
        assert await reserved() == 0, "it was billed"
        more = usage("acme", MONDAY + timedelta(days=1), "90")
        await suite.advance(MONDAY + timedelta(days=2))
        await record(client, [more])
        await suite.settle()
        early = await invoices(client, "acme")
        assert [one.kind for one in early] == [PROGRESSIVE] * 2
        assert [shown(one) for one in early] == [
            (60_00, 0, 6_00, 40_00, 26_00),
            (150_00, 60_00, 9_00, 0, 99_00),
        ]
        assert early[1].progressive_credits[0].number == early[0].number
        await record(client, [usage("acme", MONDAY + timedelta(days=2), "20")])
        await suite.advance(MONDAY + timedelta(days=7, minutes=11))
        *_, week = await invoices(client, "acme")
        assert week.kind == SUBSCRIPTION
        assert shown(week) == (200_00, 150_00, 5_00, 0, 55_00)
        assert [one.progressive_credit_minor for one in week.lines] == [0, 150_00]
        asked = RenderInvoiceRequest(invoice_id=week.invoice_id)
        assert (await client.invoices.RenderInvoice(asked)).document
        await retract(client, more)
        await suite.advance(MONDAY + timedelta(days=8))
        listed = await client.credit_notes.ListCreditNotes(ListCreditNotesRequest())
        notes = {one.invoice_number: one.total_minor for one in listed.credit_notes}
        assert notes == {week.number: 22_00, early[1].number: 77_00}, "what each billed of it"
        verified = client.invoices.VerifyInvoices(VerifyInvoicesRequest())
        found = [one.difference async for one in verified if one.HasField("difference")]
        assert not found
