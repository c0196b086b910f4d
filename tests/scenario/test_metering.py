"""From events to invoice lines: each aggregation and each charge model, through the public API."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from cli.client import SuiteClient
from libs.wire import timestamp
from tally.ingest.v1.event_pb2 import Event, PropertyValue
from tally.invoicing.v1.invoice_service_pb2 import InvoiceLine
from tally.rating.v1.meter_service_pb2 import (
    Aggregation,
    CreateMeterRequest,
    DayBucket,
    Dimension,
    Meter,
    Rounding,
    RoundingMode,
    ValueInput,
)
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
from tests.scenario.builders import invoices, record, subscribe
from tests.suite import Suite

JAN_1, FEB_1 = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
AGGREGATIONS = {
    "count": Aggregation.AGGREGATION_COUNT,
    "sum": Aggregation.AGGREGATION_SUM,
    "max": Aggregation.AGGREGATION_MAX,
    "latest": Aggregation.AGGREGATION_LATEST,
    "unique": Aggregation.AGGREGATION_UNIQUE_COUNT,
}
TIERS = [
    Tier(up_to="10", unit_amount="1", flat_amount="2"),
    Tier(up_to="20", unit_amount="0.5"),
    Tier(unit_amount="0.25", flat_amount="0.1"),
]


@dataclass(frozen=True, slots=True)
class Billed:
    code: str
    filter: str
    units: str
    events: int
    exact_amount: str
    amount_minor: int


def billed(line: InvoiceLine) -> Billed:
    return Billed(
        line.charge_code,
        line.filter_code,
        line.units,
        line.event_count,
        line.exact_amount,
        line.amount_minor,
    )


def standard(unit_amount: str) -> Price:
    return Price(standard=StandardPrice(unit_amount=unit_amount))


def event(at: datetime, number: str = "", **texts: str) -> Event:
    properties = {name: PropertyValue(text=text) for name, text in texts.items()}
    if number:
        properties["tier"] = PropertyValue(decimal=number)
    return Event(
        id=str(uuid4()),
        type="calls",
        time=timestamp(at),
        customer_id="acme",
        properties=properties,
    )


async def create(client: SuiteClient, meters: list[Meter], charges: list[Charge]) -> None:
    for meter in meters:
        await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    version = PlanVersion(interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH, charges=charges)
    plan = Plan(code="pro", name="Pro", currency_code="USD")
    await client.plans.CreatePlan(
        CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    )


async def test_every_aggregation_and_every_model_reach_the_invoice(suite: Suite) -> None:
    meters = [
        Meter(
            code=code,
            event_type="calls",
            aggregation=aggregation,
            value_property="" if code == "count" else "value",
        )
        for code, aggregation in AGGREGATIONS.items()
    ]
    charges = [Charge(meter_code=code, price=standard("0.0105")) for code in AGGREGATIONS]
    package = PackagePrice(amount="5", package_size="10", free_units="3")
    charges += [
        Charge(code="package", meter_code="sum", price=Price(package=package)),
        Charge(code="graduated", meter_code="sum", price=Price(graduated=TieredPrice(tiers=TIERS))),
        Charge(code="volume", meter_code="sum", price=Price(volume=TieredPrice(tiers=TIERS))),
    ]
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        await create(client, meters, charges)
        await subscribe(client, "acme", JAN_1)
        await suite.advance(FEB_1 - timedelta(hours=1))
        values = {3: "4.5", 9: "12", 5: "-1.25", 31: "9", 20: "9.0", 7: "no number"}
        events = [event(JAN_1 + timedelta(days=day - 1), value=v) for day, v in values.items()]
        assert set(await record(client, [*events, event(JAN_1), *events])) == {
            "ACCEPTED",
            "DUPLICATE",
        }
        await suite.advance(FEB_1 + timedelta(minutes=11))
        [invoice] = await invoices(client)

    # Sum: 4.5 + 12 - 1.25 + 9 + 9 = 33.25 of five events; "no number" and none do not count.
    lines = {line.charge_code: line for line in invoice.lines}
    assert {code: line.units for code, line in lines.items()} == {
        "count": "7",
        "sum": "33.25",
        "max": "12",
        "latest": "9",
        "unique": lines["unique"].units,
        "package": "33.25",
        "graduated": "33.25",
        "volume": "33.25",
    }
    assert billed(lines["sum"]) == Billed("sum", "", "33.25", 5, "0.349125", 35)
    # 30.25 units begin 4 packages.
    assert billed(lines["package"]) == Billed("package", "", "33.25", 5, "20", 2000)
    # 2 + 10 x 1, 10 x 0.5, 0.1 + 13.25 x 0.25
    assert billed(lines["graduated"]) == Billed("graduated", "", "33.25", 5, "20.4125", 2041)
    assert [(row.units, row.amount) for row in lines["graduated"].breakdown] == [
        ("10", "12"),
        ("10", "5"),
        ("13.25", "3.4125"),
    ]
    assert billed(lines["volume"]) == Billed("volume", "", "33.25", 5, "8.4125", 841)


async def test_filters_send_usage_to_buckets_with_prices_of_their_own(suite: Suite) -> None:
    dimensions = [Dimension(key="region", values=["eu", "us", "ap"]), Dimension(key="tier")]
    meter = Meter(code="calls", aggregation=Aggregation.AGGREGATION_COUNT, dimensions=dimensions)
    europe = DimensionFilter(key="region", values=["eu"])
    gold = DimensionFilter(key="tier", values=["gold", "1"])
    charge = Charge(
        meter_code="calls",
        price=standard("1"),
        buckets=[
            FilterBucket(code="eu", filters=[europe], price=standard("2")),
            FilterBucket(code="eu-gold", filters=[europe, gold], price=standard("0")),
        ],
    )
    await suite.advance(datetime(2026, 3, 1, tzinfo=UTC))
    march = datetime(2026, 3, 5, tzinfo=UTC)
    async with suite.client(suite.new_tenant()) as client:
        await create(client, [meter], [charge])
        await subscribe(client, "acme", datetime(2026, 3, 1, tzinfo=UTC))
        await suite.advance(march)
        await record(
            client,
            [
                event(march, region="eu"),
                event(march, region="eu", tier="gold"),
                event(march, "1.0", region="eu"),  # Numbers match in canonical form.
                event(march, region="us", tier="gold"),
                event(march),
                event(march, region=""),  # Empty is missing.
            ],
        )
        await suite.advance(datetime(2026, 4, 1, 0, 11, tzinfo=UTC))
        [invoice] = await invoices(client)
    found = {line.filter_code: billed(line) for line in invoice.lines}
    assert found == {
        "eu": Billed("calls", "eu", "1", 1, "2", 200),
        "eu-gold": Billed("calls", "eu-gold", "2", 2, "0", 0),
        "": Billed("calls", "", "3", 3, "3", 300),
    }


SETS = ValueInput.VALUE_INPUT_LEVEL
SLOW, BUSIEST = Aggregation.AGGREGATION_PERCENTILE, DayBucket.DAY_BUCKET_MAX
WEIGHTED, MEAN = Aggregation.AGGREGATION_WEIGHTED_SUM, Aggregation.AGGREGATION_AVG


def measuring(code: str, aggregation: Aggregation.ValueType, **options: Any) -> Meter:
    value_property = "" if "expression" in options else "value"
    return Meter(
        code=code,
        event_type="calls",
        aggregation=aggregation,
        value_property=value_property,
        **options,
    )


async def test_levels_means_and_computed_values_reach_the_invoices(suite: Suite) -> None:
    added = Aggregation.AGGREGATION_SUM
    up = Rounding(mode=RoundingMode.ROUNDING_MODE_CEIL, places=1)
    meters = [
        measuring("least", Aggregation.AGGREGATION_MIN),
        measuring("mean", MEAN, rounding=up),
        measuring("rising", WEIGHTED, recurring=True),
        measuring("set", WEIGHTED, value_input=SETS),
        measuring("slow", SLOW, percentile=90),
        measuring("seats", added, recurring=True),
        measuring("busiest", added, day_bucket=BUSIEST),
        measuring("computed", added, expression="if(event.properties.value > 10, 100, 1) / 8"),
    ]
    may, june, july = (datetime(2026, month, 1, tzinfo=UTC) for month in (5, 6, 7))
    async with suite.client(suite.new_tenant()) as client:
        await suite.advance(may)
        await create(
            client, meters, [Charge(meter_code=one.code, price=standard("1")) for one in meters]
        )
        await subscribe(client, "acme", may)
        # With 31, 15.5 and 15.5 days left of 31.
        noon = may + timedelta(days=15, hours=12)
        used = [(may, "4"), (noon, "20"), (noon + timedelta(hours=1), "no number"), (noon, "8")]
        await suite.advance(june - timedelta(hours=1))
        await record(client, [event(at, value=value) for at, value in used])
        await suite.advance(june + timedelta(minutes=11))
        await suite.advance(july + timedelta(minutes=11))
        [of_may, of_june] = await invoices(client)
    found = {line.charge_code: (line.units, line.amount_minor) for line in of_may.lines}
    assert found == {
        "least": ("4", 400),
        "mean": ("10.7", 1070),  # 32 / 3, up.
        "rising": ("18", 1800),  # 4 + 28 / 2
        "set": ("6", 600),  # 4 / 2 + 8 / 2: of two at an instant the last one counts.
        "slow": ("20", 2000),
        "seats": ("32", 3200),
        "busiest": ("28", 2800),
        "computed": ("12.75", 1275),  # 102 / 8
    }
    carried = {line.charge_code: (line.units, line.amount_minor) for line in of_june.lines}
    assert carried == {"rising": ("32", 3200), "seats": ("32", 3200)}
