"""Add-ons by units, and prices in credits, from a plan to the lines of invoices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from cli.client import SuiteClient
from tally.invoicing.v1.invoice_service_pb2 import InvoiceLine, LineKind
from tally.rating.v1.billing_period_pb2 import PeriodKind
from tally.rating.v1.charge_options_pb2 import PricingUnit
from tally.rating.v1.meter_service_pb2 import Aggregation, CreateMeterRequest, Meter
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    FixedCharge,
    IntervalUnit,
    Plan,
    PlanVersion,
    PreviewPriceRequest,
    Price,
    StandardPrice,
    Tier,
    TieredPrice,
    Timing,
)
from tally.rating.v1.price_models_pb2 import PreviewedUnits
from tally.rating.v1.rating_service_pb2 import RatePeriodRequest
from tally.rating.v1.subscription_changes_pb2 import UnitsEffective, UpdateFixedUnitsRequest
from tally.rating.v1.subscription_service_pb2 import (
    GetSubscriptionRequest,
    ListBillingPeriodsRequest,
    TerminateSubscriptionRequest,
)
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.scenario.builders import Line, invoices, lines, record, subscribe, usage
from tests.suite import Suite

BILLED = timedelta(minutes=11)
NOW = UnitsEffective.UNITS_EFFECTIVE_NOW
NEXT_PERIOD = UnitsEffective.UNITS_EFFECTIVE_NEXT_PERIOD
LINE_TIERS = [
    Tier(up_to="5", unit_amount="30", flat_amount="0"),
    Tier(unit_amount="15", flat_amount="0"),
]
# April has 30 days: a seat is a dollar a day, and so are the first five lines.
SEATS = FixedCharge(
    code="seats",
    display_name="Seats",
    price=Price(standard=StandardPrice(unit_amount="30")),
    units="5",
    timing=Timing.TIMING_IN_ADVANCE,
    prorated=True,
)
LINES = FixedCharge(
    code="lines",
    price=Price(graduated=TieredPrice(tiers=LINE_TIERS)),
    units="4",
    timing=Timing.TIMING_IN_ARREARS,
    prorated=True,
)
CREDITS = Charge(
    meter_code="calls",
    price=Price(
        graduated=TieredPrice(
            tiers=[Tier(up_to="100", unit_amount="2", flat_amount="10"), Tier(unit_amount="0.5")]
        )
    ),
    pricing_unit=PricingUnit(code="credits", conversion_rate="0.0125"),
    percentage_discount="10",
    minimum_amount="3",
)


def day(month: int, number: int) -> datetime:
    return datetime(2026, month, number, tzinfo=UTC)


async def sell(
    client: SuiteClient, charges: Sequence[Charge], fixed: Sequence[FixedCharge]
) -> None:
    """Create the meter "calls" and the plan "pro"."""
    meter = Meter(code="calls", aggregation=Aggregation.AGGREGATION_SUM, value_property="value")
    await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    month = IntervalUnit.INTERVAL_UNIT_MONTH
    version = PlanVersion(interval_unit=month, charges=charges, fixed_charges=fixed)
    plan = Plan(code="pro", name="Pro", currency_code="USD")
    request = CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    answer = await client.plans.CreatePlan(request)
    assert list(answer.version.fixed_charges) == list(fixed)
    assert [one.pricing_unit for one in answer.version.charges] == [
        one.pricing_unit for one in charges
    ]


async def change(
    client: SuiteClient, code: str, units: str, effective: UnitsEffective.ValueType
) -> None:
    asked = UpdateFixedUnitsRequest(
        request_id=str(uuid4()),
        subscription_id="acme-pro",
        fixed_charge_code=code,
        units=units,
        effective=effective,
    )
    await client.subscriptions.UpdateFixedUnits(asked)


def steps(line: InvoiceLine) -> list[tuple[str, str, str]]:
    """Return label, units and amount of each row, once they add up."""
    in_currency = [Decimal(row.amount) for row in line.breakdown if not row.pricing_unit]
    assert sum(in_currency) == Decimal(line.exact_amount)
    return [(row.label, row.units, row.amount) for row in line.breakdown]


async def test_seats_in_advance_and_lines_in_arrears_from_mid_april_to_may(suite: Suite) -> None:
    await suite.advance(day(4, 16))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, [], [SEATS, LINES])
        await subscribe(client, "acme", day(4, 16))
        await suite.settle()
        [first] = await invoices(client)
        assert lines(first) == [Line("seats", "5", 75_00)]  # 15 of 30 days.
        assert steps(first.lines[0]) == [("units", "5", "150"), ("unbilled", "15", "-75")]

        await suite.advance(day(4, 21) + timedelta(hours=12))
        await change(client, "seats", "8", NOW)
        await change(client, "lines", "6", NOW)
        await change(client, "seats", "2", NEXT_PERIOD)
        told = await client.subscriptions.GetSubscription(
            GetSubscriptionRequest(subscription_id="acme-pro")
        )
        assert [
            (one.fixed_charge_code, one.units, one.from_day.month, one.from_day.day)
            for one in told.fixed_units
        ] == [
            *(("seats", "5", 4, 16), ("seats", "8", 4, 21), ("seats", "2", 5, 1)),
            *(("lines", "4", 4, 16), ("lines", "6", 4, 21)),
        ]
        await suite.advance(day(5, 1) + BILLED)
        [_, second] = await invoices(client)

    assert lines(second) == [
        Line("lines", "6", 75_00),  # 4 a day for 5 days, 5.50 a day for 10.
        Line("seats", "2", 60_00),  # All of May.
        Line("seats", "3", 30_00),  # 3 more for the last 10 days of April.
    ]
    arrears, ahead, raised = second.lines
    assert [arrears.kind, ahead.kind, raised.kind] == [
        LineKind.LINE_KIND_FIXED,
        LineKind.LINE_KIND_FIXED,
        LineKind.LINE_KIND_ADJUSTMENT,
    ]
    assert (arrears.description, ahead.description) == ("lines", "Seats")
    assert steps(arrears) == [
        *(("tier", "4", "120"), ("unbilled", "25", "-100")),
        *(("tier", "5", "150"), ("tier", "1", "15"), ("unbilled", "20", "-110")),
    ]
    assert steps(ahead) == [("units", "2", "60")]
    assert steps(raised) == [
        *(("units", "5", "150"), ("unbilled", "15", "-75")),
        *(("units", "8", "240"), ("held", "0", "-150"), ("unbilled", "20", "-60")),
        ("billed", "-5", "-75"),
    ]
    assert raised.period_id == first.lines[0].period_id


async def test_credits_become_currency_once_wherever_a_price_is_shown(suite: Suite) -> None:
    await suite.advance(day(6, 1))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, [CREDITS], [])
        await subscribe(client, "acme", day(6, 1))
        await suite.advance(day(6, 20))
        await record(client, [usage("acme", day(6, 10), "101")])
        await suite.settle()
        so_far = await client.usage.GetUsage(GetUsageRequest(subscription_id="acme-pro"))
        previewed = await client.plans.PreviewPrice(
            PreviewPriceRequest(
                charge=CREDITS, currency_code="USD", units=PreviewedUnits(units="101")
            )
        )
        asked = ListBillingPeriodsRequest(subscription_id="acme-pro")
        [june, _] = (await client.subscriptions.ListBillingPeriods(asked)).periods
        assert june.kind == PeriodKind.PERIOD_KIND_USAGE
        rated = await client.rating.RatePeriod(RatePeriodRequest(period_id=june.period_id))
        await suite.advance(day(7, 1) + BILLED)
        [invoice] = await invoices(client)

    # 210 and 0.5 credits are 2.63125 dollars; a tenth less, they lack 63 cents of 3 dollars.
    assert lines(invoice) == [Line("calls", "101", 2_37), Line("calls", "0", 63)]
    [line, _] = invoice.lines
    assert steps(line) == [
        ("tier", "100", "210"),
        ("tier", "1", "0.5"),
        ("currency", "210.5", "2.63125"),
        ("discount", "0", "-0.263125"),
    ]
    assert [row.pricing_unit for row in line.breakdown] == ["credits", "credits", "", ""]
    assert line.exact_amount == "2.368125"
    for fee in (so_far.fees[0], previewed.fees[0], rated.rated.fees[0]):
        assert (fee.exact_amount, fee.amount.amount_minor) == ("2.368125", 2_37)
        assert [row.pricing_unit for row in fee.breakdown] == ["credits", "credits", "", ""]
        assert fee.breakdown[2].unit_amount == "0.0125"


async def test_seats_raised_in_the_last_month_are_on_the_last_invoice(suite: Suite) -> None:
    await suite.advance(day(9, 1))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, [], [SEATS])
        await subscribe(client, "acme", day(9, 1))
        await suite.advance(day(9, 21))
        await change(client, "seats", "8", NOW)
        await suite.advance(day(9, 25))
        await client.subscriptions.TerminateSubscription(
            TerminateSubscriptionRequest(request_id=str(uuid4()), subscription_id="acme-pro")
        )
        await suite.advance(day(9, 25) + BILLED)
        [first, last] = await invoices(client)
    assert lines(first) == [Line("seats", "5", 150_00)]
    assert lines(last) == [Line("seats", "3", 30_00)]  # The last 10 days; the month was paid.
