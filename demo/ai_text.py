"""Story (a): a writing tool resells a language model, by the token."""

from __future__ import annotations

import json
from datetime import date
from zoneinfo import ZoneInfo

from demo.story import DATA, Story, event, flat_charge, month_ends, parse_time, stamp, windows
from libs.period import local_midnight
from tally.invoicing.v1.customer_service_pb2 import Customer
from tally.invoicing.v1.tenant_service_pb2 import Address, BillingEntity
from tally.rating.v1.meter_service_pb2 import Aggregation, Meter
from tally.rating.v1.plan_service_pb2 import IntervalUnit, Plan, PlanVersion, Timing
from tally.rating.v1.subscription_service_pb2 import Subscription

ZONE = "America/New_York"
CUSTOMER = "northwind-press"
FIRST_DAY = date(2014, 10, 1)
MONTHS = 3

SELLER = BillingEntity(
    code="default",
    name="Quill & Token Inc.",
    address=Address(
        lines=["500 Example Street"],
        city="New York",
        postal_code="10001",
        region="NY",
        country_code="US",
    ),
    number_prefix="QUILL",
    time_zone=ZONE,
    net_terms_days=14,
)
METERS = [
    Meter(
        code=f"{side}_tokens",
        name=f"{side.capitalize()} tokens",
        event_type="completion",
        aggregation=Aggregation.AGGREGATION_SUM,
        value_property=f"{side}_tokens",
    )
    for side in ("input", "output")
]
# gpt-4o: $2.50 for a million input tokens, $10.00 for a million output tokens.
PRICES = PlanVersion(
    interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH,
    interval_count=1,
    base_amount="20",
    base_timing=Timing.TIMING_IN_ARREARS,
    charges=[
        flat_charge("input_tokens", "0.0000025", "Input tokens, gpt-4o"),
        flat_charge("output_tokens", "0.00001", "Output tokens, gpt-4o"),
    ],
)


def story() -> Story:
    """Return the story: three months, of which the second has the hour that comes twice."""
    start = local_midnight(FIRST_DAY, ZoneInfo(ZONE))
    requests = json.loads((DATA / "ai_text.json").read_text(encoding="utf-8"))["requests"]
    events = []
    for place, (time, tokens_in, tokens_out) in enumerate(requests):
        tokens = {"input_tokens": str(tokens_in), "output_tokens": str(tokens_out)}
        at = parse_time(time)
        events.append((at, event("completion", CUSTOMER, at, place=place, decimals=tokens)))
    return Story(
        name="ai-text",
        about="A language model by the token: $20 a month, and gpt-4o's price of each token.",
        tenant=1,
        start=start,
        seller=SELLER,
        customer=Customer(
            customer_id=CUSTOMER,
            name="Northwind Press",
            time_zone=ZONE,
            email="ap@example.com",
            address=Address(
                lines=["12 Example Avenue"],
                city="Boston",
                postal_code="02108",
                region="MA",
                country_code="US",
            ),
        ),
        meters=METERS,
        plan=Plan(code="writer", name="Writer", currency_code="USD"),
        version=PRICES,
        subscription=Subscription(
            subscription_id="northwind-writer",
            customer_id=CUSTOMER,
            plan_code="writer",
            start=stamp(start),
            time_zone=ZONE,
        ),
        windows=windows(events, month_ends(FIRST_DAY, MONTHS, ZONE)),
    )
