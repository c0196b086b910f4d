"""Story (d): a year of real electricity readings, billed monthly as a utility would."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from demo.story import (
    DATA,
    Story,
    event,
    flat_charge,
    month_ends,
    parse_time,
    stamp,
    windows,
)
from libs.period import local_midnight
from tally.ingest.v1.event_pb2 import Event
from tally.invoicing.v1.customer_service_pb2 import Customer
from tally.invoicing.v1.tax_service_pb2 import Tax
from tally.invoicing.v1.tenant_service_pb2 import Address, BillingEntity
from tally.rating.v1.meter_service_pb2 import Aggregation, Dimension, Meter
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    DimensionFilter,
    FilterBucket,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
    Tier,
    TieredPrice,
)
from tally.rating.v1.subscription_service_pb2 import Subscription

ZONE = "Australia/Melbourne"
CUSTOMER = "state-of-victoria"
FIRST_DAY = date(2014, 1, 1)
MONTHS = 12
MWH_PER_GW = 500  # Half an hour at one gigawatt.

SELLER = BillingEntity(
    code="default",
    name="Southern Cross Energy Pty Ltd",
    address=Address(
        lines=["80 Example Parade"],
        city="Melbourne",
        postal_code="3000",
        region="VIC",
        country_code="AU",
    ),
    number_prefix="SCE",
    time_zone=ZONE,
    net_terms_days=30,
)
METERS = [
    Meter(
        code="energy_mwh",
        name="Energy (MWh)",
        event_type="reading",
        aggregation=Aggregation.AGGREGATION_SUM,
        value_property="energy_mwh",
        dimensions=[Dimension(key="day_type", values=["workday", "weekend"])],
    ),
    Meter(
        code="peak_gw",
        name="Peak demand (GW)",
        event_type="reading",
        aggregation=Aggregation.AGGREGATION_MAX,
        value_property="demand_gw",
    ),
    Meter(
        code="readings",
        name="Meter readings",
        event_type="reading",
        aggregation=Aggregation.AGGREGATION_COUNT,
    ),
]


def story() -> Story:
    """Return the story: twelve months, and two readings that belong to the thirteenth."""
    start = local_midnight(FIRST_DAY, ZoneInfo(ZONE))
    fences = month_ends(FIRST_DAY, MONTHS, ZONE)
    readings = list(_readings())
    return Story(
        name="electricity",
        about="A year of half-hourly readings: energy by kind of day, peak demand, 10 % GST.",
        tenant=4,
        start=start,
        seller=SELLER,
        customer=Customer(
            customer_id=CUSTOMER,
            name="The State of Victoria",
            time_zone=ZONE,
            email="ap@example.com",
            address=Address(
                lines=["1 Example Place"],
                city="Melbourne",
                postal_code="3002",
                region="VIC",
                country_code="AU",
            ),
            tax_codes=["gst"],
        ),
        taxes=[Tax(code="gst", name="GST", rate_percent="10")],
        meters=METERS,
        plan=Plan(code="grid", name="Grid supply", currency_code="AUD"),
        version=PlanVersion(
            interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH, interval_count=1, charges=_charges()
        ),
        subscription=Subscription(
            subscription_id="victoria-grid",
            customer_id=CUSTOMER,
            plan_code="grid",
            start=stamp(start),
            time_zone=ZONE,
        ),
        windows=windows(readings, fences),
        open_events=[usage for time, usage in readings if time >= fences[-1]],
    )


def _readings() -> Iterator[tuple[datetime, Event]]:
    with (DATA / "electricity_victoria_2014.csv").open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            time = parse_time(row["interval_start_utc"])
            energy = Decimal(row["demand_gw"]) * MWH_PER_GW
            yield (
                time,
                event(
                    "reading",
                    CUSTOMER,
                    time,
                    decimals={"energy_mwh": f"{energy:f}", "demand_gw": row["demand_gw"]},
                    texts={"day_type": "workday" if row["workday"] == "1" else "weekend"},
                ),
            )


def _charges() -> list[Charge]:
    energy = Charge(
        code="energy_mwh",
        meter_code="energy_mwh",
        display_name="Energy (MWh)",
        price=Price(standard=StandardPrice(unit_amount="0")),  # Every reading has a kind of day.
        buckets=[
            _bucket("workday", ("500000", "61.85"), ("2000000", "57.40"), ("", "52.975")),
            _bucket("weekend", ("500000", "48.20"), ("", "41.65")),
        ],
    )
    peak = flat_charge("peak_gw", "125000", "Peak demand (GW)")
    return [energy, peak, flat_charge("readings", "0", "Meter readings")]


def _bucket(day_type: str, *tiers: tuple[str, str]) -> FilterBucket:
    return FilterBucket(
        code=day_type,
        filters=[DimensionFilter(key="day_type", values=[day_type])],
        price=Price(
            graduated=TieredPrice(
                tiers=[Tier(up_to=up_to, unit_amount=amount) for up_to, amount in tiers]
            )
        ),
    )
