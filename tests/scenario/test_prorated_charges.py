"""Seats that come and go within two months, from events to invoice lines with their breakdown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from cli.client import SuiteClient
from tally.ingest.v1.event_pb2 import Event
from tally.invoicing.v1.invoice_service_pb2 import Invoice
from tally.rating.v1.meter_service_pb2 import Aggregation, CreateMeterRequest, Meter
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
    Tier,
    TieredPrice,
)
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.scenario.builders import invoices, record, subscribe, usage
from tests.suite import Suite

MAY, JUNE, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (5, 6, 7))
BILLED = timedelta(minutes=11)
METERS = [
    Meter(
        code="seats",
        event_type="calls",
        aggregation=Aggregation.AGGREGATION_SUM,
        value_property="value",
        recurring=True,
    ),
    Meter(
        code="users",
        event_type="calls",
        aggregation=Aggregation.AGGREGATION_UNIQUE_COUNT,
        value_property="user",
        recurring=True,
    ),
]
# The first user costs 12 a month, each other 9.30, and 1 once there are others.
TIERED = TieredPrice(
    tiers=[Tier(up_to="1", unit_amount="12"), Tier(unit_amount="9.3", flat_amount="1")]
)
CHARGES = [
    Charge(code="seats", meter_code="seats", price=Price(standard=StandardPrice(unit_amount="1"))),
    Charge(code="tiers", meter_code="users", price=Price(graduated=TIERED)),
    Charge(code="volume", meter_code="users", price=Price(volume=TIERED)),
]
EVENTS = [
    (MAY.replace(day=1), "2", "ann", "add"),
    (MAY.replace(day=17), "0", "bea", "add"),  # With 15 days of 31 left.
    (MAY.replace(day=22), "31", "", ""),  # With 10 days left.
    (JUNE.replace(day=10), "0", "bea", "remove"),  # The tenth day is the last one.
    (JUNE.replace(day=16), "-30", "", ""),  # With 15 of 30 days left.
]

Shown = dict[str, tuple[str, int, list[tuple[str, str, str, str]]]]
# By charge the units and the cents, and of each row its label, units, amount and bound.
IN_MAY: Shown = {
    "seats": ("12", 1200, [("prorated", "12", "0", "33"), ("units", "12", "12", "")]),
    # 12, and 9.30 x 15 / 31 + 1; the weighed units of a tier need not end.
    "tiers": (
        "1.48388",
        1750,
        [
            ("prorated", "1.48388", "0", "2"),
            ("tier", "1", "12", "1"),
            ("tier", "0.483870967741935483870967741935", "5.5", ""),
        ],
    ),
    "volume": (
        "1.48388",
        1480,
        [("prorated", "1.48388", "0", "2"), ("tier", "1.48388", "14.800084", "")],
    ),
}
IN_JUNE: Shown = {
    # 33 for all of June, and 30 fewer for half of it.
    "seats": ("18", 1800, [("prorated", "18", "0", "3"), ("units", "18", "18", "")]),
    "tiers": (
        "1.33334",
        1610,
        [
            ("prorated", "1.33334", "0", "1"),
            ("tier", "1", "12", "1"),
            ("tier", "0.333333333333333333333333333333", "4.1", ""),
        ],
    ),
    # One user is left at the end: the first tier.
    "volume": (
        "1.33334",
        1600,
        [("prorated", "1.33334", "0", "1"), ("tier", "1.33334", "16.00008", "1")],
    ),
}


async def test_seats_are_billed_for_the_days_on_which_they_are_there(suite: Suite) -> None:
    await suite.advance(MAY)
    async with suite.client(suite.new_tenant()) as client:
        await _sell(client)
        await subscribe(client, "acme", MAY)
        await suite.advance(JUNE - timedelta(hours=1))
        # The newest first: the order in which they come does not matter.
        in_may = [a_change(*each) for each in reversed(EVENTS) if each[0] < JUNE]
        assert set(await record(client, in_may)) == {"ACCEPTED"}
        await suite.settle()
        so_far = await client.usage.GetUsage(GetUsageRequest(subscription_id="acme-pro"))
        await suite.advance(JULY - timedelta(hours=1))
        await record(client, [a_change(*each) for each in EVENTS if each[0] > JUNE])
        await suite.advance(JULY + BILLED)
        of_may, of_june = await invoices(client)
    assert shown(of_may) == IN_MAY
    assert shown(of_june) == IN_JUNE
    assert so_far.amount.amount_minor == of_may.subtotal_minor == 1200 + 1750 + 1480


async def _sell(client: SuiteClient) -> None:
    for meter in METERS:
        await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    charges = [Charge(prorated=True) for _ in CHARGES]
    for charge, wanted in zip(charges, CHARGES, strict=True):
        charge.MergeFrom(wanted)
    version = PlanVersion(interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH, charges=charges)
    plan = Plan(code="pro", name="Pro", currency_code="USD")
    request = CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    answer = await client.plans.CreatePlan(request)
    assert all(charge.prorated for charge in answer.version.charges)


def a_change(at: datetime, seats: str, user: str, operation: str) -> Event:
    texts = {"user": user, "operation_type": operation}
    return usage("acme", at, seats, **{name: text for name, text in texts.items() if text})


def shown(invoice: Invoice) -> Shown:
    found = {}
    for line in invoice.lines:
        rows = [(row.label, row.units, row.amount, row.up_to) for row in line.breakdown]
        assert sum(Decimal(amount) for _, _, amount, _ in rows) == Decimal(line.exact_amount)
        found[line.charge_code] = (line.units, line.amount_minor, rows)
    return found
