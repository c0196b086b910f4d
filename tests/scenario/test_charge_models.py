"""From events to invoice lines with their breakdown: charges of every model, and their options."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from cli.client import SuiteClient
from tally.invoicing.v1.invoice_service_pb2 import Invoice, LineKind
from tally.rating.v1.charge_options_pb2 import ConversionRounding, UnitConversion
from tally.rating.v1.meter_service_pb2 import Aggregation, CreateMeterRequest, Dimension, Meter
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    DimensionFilter,
    FilterBucket,
    IntervalUnit,
    PackagePrice,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
    Tier,
    TieredPrice,
)
from tally.rating.v1.price_models_pb2 import (
    CustomPrice,
    DynamicPrice,
    GraduatedPercentagePrice,
    PercentagePrice,
    RateTier,
)
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.scenario.builders import invoices, record, subscribe, usage
from tests.suite import Suite

JUNE = datetime(2026, 6, 1, tzinfo=UTC)
JULY = datetime(2026, 7, 1, tzinfo=UTC)
CENT = Price(standard=StandardPrice(unit_amount="0.01"))
TIERS = [
    Tier(up_to="100", unit_amount="0.1", flat_amount="5", flat_cap="12"),
    Tier(unit_amount="0.05"),
]
RATES = [RateTier(up_to="200", rate_percent="2"), RateTier(rate_percent="1", flat_amount="0.5")]
EACH = PercentagePrice(
    rate_percent="2", fixed_amount="0.1", free_events=1, event_minimum="0.5", event_maximum="3"
)
FORMULA = "if(dimensions.region = 'eu', 0.02, 0.01) * units + events"

CHARGES = [
    Charge(code="standard", price=CENT),
    Charge(
        code="package",
        price=Price(package=PackagePrice(amount="2", package_size="100", free_units="50")),
    ),
    Charge(code="graduated", price=Price(graduated=TieredPrice(tiers=TIERS))),
    Charge(code="volume", price=Price(volume=TieredPrice(tiers=TIERS))),
    Charge(
        code="percentage",
        price=Price(percentage=PercentagePrice(rate_percent="1.5", fixed_amount="0.25")),
    ),
    Charge(code="each", price=Price(percentage=EACH)),
    Charge(
        code="rates",
        price=Price(graduated_percentage=GraduatedPercentagePrice(tiers=RATES)),
    ),
    Charge(code="dynamic", price=Price(dynamic=DynamicPrice(multiplier="1.2"))),
    Charge(code="custom", price=Price(custom=CustomPrice(expression=FORMULA))),
    Charge(
        code="options",
        price=Price(standard=StandardPrice(unit_amount="10")),
        conversion=UnitConversion(
            divisor="100", rounding=ConversionRounding.CONVERSION_ROUNDING_UP
        ),
        usage_discount="1",
        percentage_discount="20",
        maximum_amount="25",
        buckets=[
            FilterBucket(
                code="eu", filters=[DimensionFilter(key="region", values=["eu"])], price=CENT
            )
        ],
    ),
    Charge(code="minimum", price=CENT, minimum_amount="30"),
    Charge(code="groups", price=Price(volume=TieredPrice(tiers=TIERS)), group_by=["region"]),
]
# 100 and 40 come from eu; by their times 40 is the first event, and 200 the last. Three of them
# bring amounts of their own.
EVENTS = (
    ("100", "eu", 5, "1.5"),
    ("200", "us", 9, "2.25"),
    ("40", "eu", 2, ""),
    ("10", "us", 7, "0.15"),
)

# By charge and bucket: the amount, and of each row its label, units and amount.
EXPECTED: dict[tuple[str, str], tuple[int, list[tuple[str, str, str]]]] = {
    ("standard", ""): (350, [("units", "350", "3.5")]),
    ("package", ""): (600, [("free", "50", "0"), ("package", "3", "6")]),
    ("graduated", ""): (2450, [("tier", "100", "15"), ("cap", "0", "-3"), ("tier", "250", "12.5")]),
    ("volume", ""): (1750, [("tier", "350", "17.5")]),
    ("percentage", ""): (625, [("percentage", "350", "5.25"), ("fixed", "4", "1")]),
    # Free is 40; 100 costs 2.10, 10 costs 0.30 and 200 costs 4.10, the last two within bounds.
    ("each", ""): (
        560,
        [
            ("free", "40", "0"),
            ("percentage", "310", "6.2"),
            ("fixed", "3", "0.3"),
            ("minimum", "0", "0.2"),
            ("maximum", "0", "-1.1"),
        ],
    ),
    ("rates", ""): (600, [("tier", "200", "4"), ("tier", "150", "2")]),
    ("dynamic", ""): (468, [("dynamic", "3.9", "4.68")]),
    ("custom", ""): (890, [("custom", "1", "4.8"), ("custom", "1", "4.1")]),
    # Of 140 two hundreds have begun, one is free; then three of 210, of which one is free.
    ("options", "eu"): (
        1,
        [
            ("converted", "2", "0"),
            ("free", "1", "0"),
            ("units", "1", "0.01"),
            ("discount", "0", "-0.002"),
        ],
    ),
    ("options", ""): (
        1600,
        [
            ("converted", "3", "0"),
            ("free", "1", "0"),
            ("units", "2", "20"),
            ("discount", "0", "-4"),
        ],
    ),
    ("groups", "eu"): (700, [("tier", "140", "7")]),
    ("groups", "us"): (1050, [("tier", "210", "10.5")]),
    ("minimum", ""): (350, [("units", "350", "3.5")]),
    ("minimum", "minimum"): (2650, [("minimum", "1", "30"), ("used", "0", "-3.5")]),
}


async def test_every_charge_model_reaches_the_invoice_with_its_breakdown(suite: Suite) -> None:
    await suite.advance(JUNE)
    async with suite.client(suite.new_tenant()) as client:
        await _sell(client)
        await subscribe(client, "acme", JUNE)
        await suite.advance(JUNE + timedelta(days=20))
        events = [
            usage("acme", JUNE + timedelta(days=day), value, region=region)
            for value, region, day, _ in EVENTS
        ]
        for event, (_, _, _, amount) in zip(events, EVENTS, strict=True):
            event.amount = amount
        assert set(await record(client, events)) == {"ACCEPTED"}
        await suite.settle()
        asked = GetUsageRequest(subscription_id="acme-pro")
        so_far = await client.usage.GetUsage(asked)
        await suite.advance(JULY + timedelta(minutes=11))
        [invoice] = await invoices(client)
    shown = _shown(invoice)
    assert shown == EXPECTED
    # What it has cost so far has no minimum; all else is the same.
    assert so_far.amount.amount_minor == invoice.subtotal_minor - 2650
    assert len(so_far.fees) == len(shown) - 1


async def _sell(client: SuiteClient) -> None:
    dimensions = [Dimension(key="region")]
    meter = Meter(
        code="calls",
        aggregation=Aggregation.AGGREGATION_SUM,
        value_property="value",
        dimensions=dimensions,
    )
    await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    charges = [Charge(meter_code="calls") for _ in CHARGES]
    for charge, wanted in zip(charges, CHARGES, strict=True):
        charge.MergeFrom(wanted)
    version = PlanVersion(interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH, charges=charges)
    plan = Plan(code="pro", name="Pro", currency_code="USD")
    request = CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    answer = await client.plans.CreatePlan(request)
    assert len(answer.version.charges) == len(charges)


def _shown(invoice: Invoice) -> dict[tuple[str, str], tuple[int, list[tuple[str, str, str]]]]:
    found = {}
    for line in invoice.lines:
        part = "".join([line.filter_code, *(group.value for group in line.group_values)])
        part = "minimum" if line.kind == LineKind.LINE_KIND_MINIMUM else part
        rows = [(row.label, row.units, row.amount) for row in line.breakdown]
        assert sum(Decimal(amount) for _, _, amount in rows) == Decimal(line.exact_amount)
        found[line.charge_code, part] = (line.amount_minor, rows)
    return found
