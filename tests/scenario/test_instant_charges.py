"""Charges whose events are priced as they come, from an event to the invoices that bill it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cli.client import SuiteClient
from tally.invoicing.v1.invoice_service_pb2 import Invoice, LineKind
from tally.rating.v1.charge_options_pb2 import Settle
from tally.rating.v1.instant_fee_pb2 import PaymentStatus
from tally.rating.v1.meter_service_pb2 import Aggregation, CreateMeterRequest, Meter
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    Tier,
    TieredPrice,
)
from tally.rating.v1.rating_service_pb2 import ListInstantFeesRequest, SetInstantFeePaymentRequest
from tally.rating.v1.usage_service_pb2 import GetUsageRequest, VerifyUsageRequest
from tests.scenario.builders import invoices, record, subscribe, usage
from tests.suite import Suite

JUN_1, JUL_1 = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
BILLED = timedelta(minutes=11)  # After the collection delay.
# 10 units at 10 cents, then a cent.
TIERED = Price(
    graduated=TieredPrice(tiers=[Tier(up_to="10", unit_amount="0.10"), Tier(unit_amount="0.01")])
)
CHARGES = [
    Charge(code="whole"),
    Charge(code="daily", settle=Settle.SETTLE_DAILY),
    Charge(code="amount", settle=Settle.SETTLE_AMOUNT, settle_amount="1"),
    Charge(code="event", settle=Settle.SETTLE_EVENT),
    Charge(code="apart", not_invoiced=True),
    Charge(code="again"),
]

Shown = list[tuple[str, int]]  # Charge and amount of each line.


async def test_instant_fees_are_billed_when_their_charge_says_and_corrected_at_the_end(
    suite: Suite,
) -> None:
    await suite.advance(JUN_1)
    async with suite.client(suite.new_tenant()) as client:
        await _sell(client)
        await subscribe(client, "acme", JUN_1)
        await suite.advance(JUN_1 + 9 * DAY)
        await record(client, [usage("acme", JUN_1 + 9 * DAY, "8")])
        await suite.settle()
        assert await _billed(client) == [[("event", 80)]]
        await suite.advance(JUN_1 + 19 * DAY)
        assert await _billed(client) == [[("event", 80)], [("daily", 80)]]

        # Dated before the other, it is priced without it: 5 at 10 cents.
        await record(client, [usage("acme", JUN_1 + 2 * DAY, "5")])
        await suite.settle()
        so_far = await client.usage.GetUsage(GetUsageRequest(subscription_id="acme-pro"))
        # All 13 cost 1.03, whenever they are billed.
        assert [fee.amount.amount_minor for fee in so_far.fees] == [103] * 6
        before = await _billed(client)
        assert sorted(before[2:]) == [[("amount", 130)], [("event", 50)]]
        await suite.advance(JUN_1 + 20 * DAY)
        assert (await _billed(client))[4:] == [[("daily", 50)]]

        await suite.advance(JUL_1 + BILLED)
        *_, june = await invoices(client)
        early = [("daily", -27), ("amount", -27), ("event", -27), ("apart", -27)]
        assert _shown(june) == [("whole", 103), *early, ("again", 103)]
        kinds = {line.kind for line in june.lines[1:5]}
        assert kinds == {LineKind.LINE_KIND_CORRECTION}
        rows = [(row.label, row.amount) for row in june.lines[1].breakdown]
        assert rows == [("tier", "1"), ("tier", "0.03"), ("billed", "-1.3")]
        verified = [one async for one in client.usage.VerifyUsage(VerifyUsageRequest())]
        assert not [one for one in verified if one.HasField("difference")]
        await _check_payments(client)


async def _check_payments(client: SuiteClient) -> None:
    """Fees that go on no invoice are listed, and paid one by one."""
    pending = PaymentStatus.PAYMENT_STATUS_PENDING
    asked = ListInstantFeesRequest(subscription_id="acme-pro", payment_status=pending, page_size=1)
    first = await client.rating.ListInstantFees(asked)
    asked.page_token = first.next_page_token
    second = await client.rating.ListInstantFees(asked)
    fees = [*first.fees, *second.fees]
    assert [(fee.charge_code, fee.amount.amount_minor) for fee in fees] == [
        ("apart", 80),
        ("apart", 50),
    ]
    assert not second.next_page_token
    paid = SetInstantFeePaymentRequest(
        request_id=str(uuid4()),
        fee_id=fees[0].fee_id,
        payment_status=PaymentStatus.PAYMENT_STATUS_SUCCEEDED,
    )
    answer = await client.rating.SetInstantFeePayment(paid)
    assert await client.rating.SetInstantFeePayment(paid) == answer
    asked.page_token = ""
    assert list((await client.rating.ListInstantFees(asked)).fees) == [fees[1]]


async def _billed(client: SuiteClient) -> list[Shown]:
    return [_shown(invoice) for invoice in await invoices(client)]


def _shown(invoice: Invoice) -> Shown:
    return [(line.charge_code, line.amount_minor) for line in invoice.lines]


async def _sell(client: SuiteClient) -> None:
    meter = Meter(code="calls", aggregation=Aggregation.AGGREGATION_SUM, value_property="value")
    await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    charges = [Charge(meter_code="calls", price=TIERED, pay_in_advance=True) for _ in CHARGES]
    for charge, wanted in zip(charges, CHARGES, strict=True):
        charge.MergeFrom(wanted)
    version = PlanVersion(interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH, charges=charges)
    plan = Plan(code="pro", name="Pro", currency_code="USD")
    request = CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    answer = await client.plans.CreatePlan(request)
    assert [one.settle_amount for one in answer.version.charges] == ["", "", "1", "", "", ""]
