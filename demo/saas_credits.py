"""Story (b): an API with a monthly fee and a pack of credits that pays calls, never the fee."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from demo.story import DATA, Pack, Story, event, flat_charge, month_ends, stamp, windows
from libs.period import local_midnight
from tally.common.v1.money_pb2 import Money
from tally.ingest.v1.event_pb2 import Event
from tally.invoicing.v1.customer_service_pb2 import Customer
from tally.invoicing.v1.tenant_service_pb2 import Address, BillingEntity
from tally.rating.v1.meter_service_pb2 import Aggregation, Meter
from tally.rating.v1.plan_service_pb2 import IntervalUnit, Plan, PlanVersion, Timing
from tally.rating.v1.subscription_service_pb2 import Subscription
from tally.wallet.v1.wallet_service_pb2 import Grant, GrantKind, Wallet, WalletScope

ZONE = "Europe/London"
CUSTOMER = "quayside-logistics"
FIRST_DAY = date(2014, 10, 1)
MONTHS = 3

SELLER = BillingEntity(
    code="default",
    name="Waypoint Routing Ltd",
    address=Address(
        lines=["1 Example Wharf"], city="London", postal_code="E1 6AN", country_code="GB"
    ),
    number_prefix="WAY",
    time_zone=ZONE,
    net_terms_days=14,
)
METER = Meter(code="api_calls", name="API calls", aggregation=Aggregation.AGGREGATION_COUNT)
PRICES = PlanVersion(
    interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH,
    interval_count=1,
    base_amount="99",
    base_timing=Timing.TIMING_IN_ARREARS,
    charges=[flat_charge("api_calls", "0.01", "API calls")],
)
PACK = Pack(
    wallet=Wallet(
        customer_id=CUSTOMER,
        currency_code="USD",
        name="Prepaid calls",
        scope=WalletScope(fee_kinds=["usage"]),
    ),
    grant=Grant(
        kind=GrantKind.GRANT_KIND_PURCHASED,
        amount=Money(currency_code="USD", amount_minor=5_000),
        reference="order-1001",
    ),
)


def story() -> Story:
    """Return the story: the pack pays all calls of October and some of November's."""
    start = local_midnight(FIRST_DAY, ZoneInfo(ZONE))
    return Story(
        name="saas-credits",
        about="An API: $99 a month, $0.01 a call, and a $50 pack that pays for calls first.",
        tenant=2,
        start=start,
        seller=SELLER,
        customer=Customer(
            customer_id=CUSTOMER,
            name="Quayside Logistics",
            time_zone=ZONE,
            email="ap@example.com",
            address=Address(
                lines=["Example Docks"],
                city="Felixstowe",
                postal_code="IP11 3SY",
                country_code="GB",
            ),
        ),
        meters=[METER],
        plan=Plan(code="pro", name="Pro", currency_code="USD"),
        version=PRICES,
        subscription=Subscription(
            subscription_id="quayside-pro",
            customer_id=CUSTOMER,
            plan_code="pro",
            start=stamp(start),
            time_zone=ZONE,
        ),
        pack=PACK,
        windows=windows(_calls(), month_ends(FIRST_DAY, MONTHS, ZONE)),
    )


def _calls() -> Iterator[tuple[datetime, Event]]:
    """Yield each day's calls, the first at midnight and the others evenly over 23 hours.

    No local day is shorter than that.
    """
    days = json.loads((DATA / "saas_credits.json").read_text(encoding="utf-8"))["days"]
    for day, calls in days:
        midnight = local_midnight(date.fromisoformat(day), ZoneInfo(ZONE))
        for n in range(calls):
            time = midnight + timedelta(hours=23) * n // calls
            yield time, event("api_calls", CUSTOMER, time)
