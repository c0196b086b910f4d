"""Story (c): an enterprise pays every week for the data it had processed, the more the cheaper."""

from __future__ import annotations

import json
from datetime import date
from zoneinfo import ZoneInfo

from demo.story import DATA, Story, event, parse_time, stamp, week_ends, windows
from libs.period import local_midnight
from tally.invoicing.v1.customer_service_pb2 import Customer
from tally.invoicing.v1.tenant_service_pb2 import Address, BillingEntity
from tally.rating.v1.meter_service_pb2 import Aggregation, Meter
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    Tier,
    TieredPrice,
)
from tally.rating.v1.subscription_service_pb2 import Subscription

ZONE = "Europe/Berlin"
CUSTOMER = "lindenberg-versicherung"
MONDAY = date(2014, 3, 10)
WEEKS = 6

SELLER = BillingEntity(
    code="default",
    name="Spalte Analytics GmbH",
    address=Address(lines=["Beispielweg 4"], city="Berlin", postal_code="10115", country_code="DE"),
    number_prefix="SPALTE",
    time_zone=ZONE,
    net_terms_days=7,
)
METER = Meter(
    code="gigabytes",
    name="Data processed (GB)",
    event_type="job",
    aggregation=Aggregation.AGGREGATION_SUM,
    value_property="gigabytes",
)
PRICES = PlanVersion(
    interval_unit=IntervalUnit.INTERVAL_UNIT_WEEK,
    interval_count=1,
    charges=[
        Charge(
            code="gigabytes",
            meter_code="gigabytes",
            display_name="Data processed (GB)",
            price=Price(
                graduated=TieredPrice(
                    tiers=[
                        Tier(up_to="500", unit_amount="0.095"),
                        Tier(up_to="2000", unit_amount="0.0725"),
                        Tier(unit_amount="0.05"),
                    ]
                )
            ),
        )
    ],
)


def story() -> Story:
    """Return the story: a contract of six weeks, one of which lacks an hour."""
    start = local_midnight(MONDAY, ZoneInfo(ZONE))
    jobs = json.loads((DATA / "analytics_weekly.json").read_text(encoding="utf-8"))["jobs"]
    events = []
    for place, (time, gigabytes) in enumerate(jobs):
        at = parse_time(time)
        usage = event("job", CUSTOMER, at, place=place, decimals={"gigabytes": gigabytes})
        events.append((at, usage))
    fences = week_ends(MONDAY, WEEKS, ZONE)
    return Story(
        name="analytics-weekly",
        about="Data processing for an enterprise, billed by the week in graduated tiers.",
        tenant=3,
        start=start,
        seller=SELLER,
        customer=Customer(
            customer_id=CUSTOMER,
            name="Lindenberg Versicherung AG",
            time_zone=ZONE,
            email="rechnung@example.com",
            address=Address(
                lines=["Musterallee 100"],
                city="Köln",
                postal_code="50667",
                country_code="DE",
            ),
        ),
        meters=[METER],
        plan=Plan(code="enterprise", name="Enterprise", currency_code="EUR"),
        version=PRICES,
        subscription=Subscription(
            subscription_id="lindenberg-enterprise",
            customer_id=CUSTOMER,
            plan_code="enterprise",
            start=stamp(start),
            end=stamp(fences[-1]),
            time_zone=ZONE,
        ),
        windows=windows(events, fences),
    )
