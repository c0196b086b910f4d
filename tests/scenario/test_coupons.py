"""Coupons over months, and taxes by level: of a charge, of its plan, of nobody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import grpc
import pytest

from cli.client import SuiteClient, refusal
from tally.common.v1.money_pb2 import Money
from tally.invoicing.v1.billing_service_pb2 import VoidInvoiceRequest
from tally.invoicing.v1.coupon_service_pb2 import (
    AppliedCoupon,
    AppliedCouponStatus,
    ApplyCouponRequest,
    ArchiveCouponRequest,
    Coupon,
    CouponFrequency,
    CreateCouponRequest,
    ListAppliedCouponsRequest,
    ListCouponsRequest,
)
from tally.invoicing.v1.credit_note_service_pb2 import CreateCreditNoteRequest, CreditNoteItem
from tally.invoicing.v1.customer_service_pb2 import Customer, UpsertCustomerRequest
from tally.invoicing.v1.invoice_service_pb2 import Invoice, VerifyInvoicesRequest
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
from tests.scenario.builders import invoices, record, subscribe, usage
from tests.suite import Suite

JAN_1, FEB_1, MAR_1, APR_1 = (datetime(2026, n, 1, tzinfo=UTC) for n in range(1, 5))
BILLED = timedelta(minutes=11)  # After the collection delay.
USED = AppliedCouponStatus.APPLIED_COUPON_STATUS_USED
ACTIVE = AppliedCouponStatus.APPLIED_COUPON_STATUS_ACTIVE


async def sell_taxed(client: SuiteClient) -> None:
    """Sell 100.00 a month, taxed with 20 %, and calls for 1.00 each, taxed with 5 %.

    All else bears 10 %.
    """
    for code, rate in (("vat", "10"), ("plan", "20"), ("reduced", "5")):
        tax = Tax(code=code, name=code, rate_percent=rate)
        await client.taxes.CreateTax(CreateTaxRequest(request_id=str(uuid4()), tax=tax))
    entity = BillingEntity(name="Seller", default_tax_codes=["vat"])
    await client.tenants.UpdateBillingEntity(
        UpdateBillingEntityRequest(request_id=str(uuid4()), billing_entity=entity)
    )
    meter = Meter(code="calls", aggregation=Aggregation.AGGREGATION_SUM, value_property="value")
    await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    dollar = Price(standard=StandardPrice(unit_amount="1"))
    version = PlanVersion(
        interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH,
        base_amount="100",
        base_timing=Timing.TIMING_IN_ARREARS,
        charges=[Charge(meter_code="calls", price=dollar, tax_codes=["reduced"])],
        tax_codes=["plan"],
    )
    plan = Plan(code="pro", name="Pro", currency_code="USD")
    await client.plans.CreatePlan(
        CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    )


async def give(client: SuiteClient, customer_id: str, coupon: Coupon) -> None:
    """Create a coupon, and give it to a customer."""
    await client.coupons.CreateCoupon(CreateCouponRequest(request_id=str(uuid4()), coupon=coupon))
    await client.coupons.ApplyCoupon(
        ApplyCouponRequest(
            request_id=str(uuid4()), customer_id=customer_id, coupon_code=coupon.code
        )
    )


async def standing(client: SuiteClient) -> dict[str, AppliedCoupon]:
    """Return the coupons of customers, by their codes."""
    asked = ListAppliedCouponsRequest(customer_id="acme")
    found = (await client.coupons.ListAppliedCoupons(asked)).applied_coupons
    return {one.coupon.code: one for one in found}


def sums(invoice: Invoice) -> tuple[int, int, int, int]:
    """Return what coupons took off, what that leaves, its tax, and the total."""
    assert sum(line.coupons_minor for line in invoice.lines) == invoice.coupons_minor
    return (
        invoice.coupons_minor,
        invoice.subtotal_minor,
        invoice.tax_minor,
        invoice.total_minor,
    )


async def test_a_coupon_of_two_periods_is_taken_off_before_the_taxes_of_each_level(
    suite: Suite,
) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        await sell_taxed(client)
        for customer in (
            Customer(customer_id="acme"),
            Customer(customer_id="embassy", reverse_charge=True, tax_exempt_reason="Article 196"),
        ):
            await client.customers.UpsertCustomer(
                UpsertCustomerRequest(request_id=str(uuid4()), customer=customer)
            )
        periods = CouponFrequency.COUPON_FREQUENCY_PERIODS
        quarter = Coupon(code="quarter", percent="25", frequency=periods, periods=2)
        ten = Money(currency_code="USD", amount_minor=1_000)
        await give(client, "acme", quarter)
        await give(client, "acme", Coupon(code="ten", amount_off=ten, meter_codes=["calls"]))
        for customer_id in ("acme", "embassy"):
            await subscribe(client, customer_id, JAN_1)
        await suite.advance(JAN_1 + timedelta(days=9))
        calls = usage("acme", JAN_1 + timedelta(days=3), "40")
        assert await record(client, [calls]) == ["ACCEPTED"]

        await suite.advance(FEB_1 + BILLED)
        found = {one.customer_id: one for one in await invoices(client)}
        # 10.00 off of 40.00, then a quarter of 130.00; 20 % of 75.00 and 5 % of 22.50.
        january = found["acme"]
        assert sums(january) == (4_250, 9_750, 1_613, 11_363)
        assert [(one.coupon_code, one.amount_minor) for one in january.coupons] == [
            ("ten", 1_000),
            ("quarter", 3_250),
        ]
        assert [(one.tax_code, one.base_minor, one.amount_minor) for one in january.taxes] == [
            ("plan", 7_500, 1_500),
            ("reduced", 2_250, 113),
        ]
        assert {line.charge_code: list(line.tax_codes) for line in january.lines} == {
            "": ["plan"],
            "calls": ["reduced"],
        }
        assert sums(found["embassy"]) == (0, 10_000, 0, 10_000)
        assert found["embassy"].tax_note == "Reverse charge: Article 196"
        coupons = await standing(client)
        assert (coupons["ten"].status, coupons["ten"].left_minor) == (USED, 0)
        assert (coupons["quarter"].status, coupons["quarter"].periods_left) == (ACTIVE, 1)

        base = next(line for line in january.lines if not line.charge_code)
        note = await client.credit_notes.CreateCreditNote(
            CreateCreditNoteRequest(
                request_id=str(uuid4()),
                invoice_id=january.invoice_id,
                items=[CreditNoteItem(line_id=base.line_id, amount_minor=10_000)],
                validate_only=True,
            )
        )
        assert (note.credit_note.subtotal_minor, note.credit_note.tax_minor) == (7_500, 1_500)

        await suite.advance(MAR_1 + BILLED)
        february = [one for one in await invoices(client) if one.customer_id == "acme"][-1]
        assert sums(february) == (2_500, 7_500, 1_500, 9_000)
        assert (await standing(client))["quarter"].status == USED
        await client.billing.VoidInvoice(
            VoidInvoiceRequest(
                request_id=str(uuid4()), invoice_id=february.invoice_id, reason="Wrong month"
            )
        )
        assert (await standing(client))["quarter"].periods_left == 1
        await suite.advance(APR_1 + BILLED)
        march = [one for one in await invoices(client) if one.customer_id == "acme"][-1]
        assert sums(march) == (2_500, 7_500, 1_500, 9_000)
        told = [one async for one in client.invoices.VerifyInvoices(VerifyInvoicesRequest())]
        assert [one.WhichOneof("result") for one in told] == ["verification"], told


async def test_an_archived_coupon_is_given_to_nobody_else(suite: Suite) -> None:
    async with suite.client(suite.new_tenant()) as client:
        customer = Customer(customer_id="acme")
        await client.customers.UpsertCustomer(
            UpsertCustomerRequest(request_id=str(uuid4()), customer=customer)
        )
        await give(client, "acme", Coupon(code="half", percent="50"))
        archived = await client.coupons.ArchiveCoupon(
            ArchiveCouponRequest(request_id=str(uuid4()), code="half")
        )
        again = ApplyCouponRequest(request_id=str(uuid4()), customer_id="acme", coupon_code="half")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.coupons.ApplyCoupon(again)
        assert refusal(caught.value).reason == "COUPON_ARCHIVED"
        assert (await standing(client))["half"].status == ACTIVE
        assert not (await client.coupons.ListCoupons(ListCouponsRequest())).coupons
        every = await client.coupons.ListCoupons(ListCouponsRequest(include_archived=True))
        assert list(every.coupons) == [archived.coupon]
        nowhere = Coupon(code="nowhere", percent="50", plan_codes=["gone"])
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.coupons.CreateCoupon(
                CreateCouponRequest(request_id=str(uuid4()), coupon=nowhere)
            )
        assert refusal(caught.value).reason == "PLAN_NOT_FOUND"
