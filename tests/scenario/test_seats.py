"""Seats paid in advance over two months and a change of plan, from events to invoice lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cli.client import SuiteClient
from libs.wire import timestamp
from tally.invoicing.v1.invoice_service_pb2 import InvoiceLine
from tally.rating.v1.charge_options_pb2 import Settle
from tally.rating.v1.meter_service_pb2 import Aggregation, CreateMeterRequest, Meter
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
)
from tally.rating.v1.rating_service_pb2 import ListInstantFeesRequest
from tally.rating.v1.subscription_service_pb2 import (
    CreateSubscriptionRequest,
    Subscription,
    TerminateSubscriptionRequest,
)
from tally.rating.v1.usage_service_pb2 import VerifyUsageRequest
from tests.scenario.builders import invoices, record, usage
from tests.suite import Suite

JUN_1, JUN_10 = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 10, tzinfo=UTC)
JUL_1, JUL_17, JUL_22 = (datetime(2026, 7, day, tzinfo=UTC) for day in (1, 17, 22))
AUG_1 = datetime(2026, 8, 1, tzinfo=UTC)
BILLED = timedelta(minutes=11)  # After the collection delay.

# Of a line: charge, units, cents, and each row's label, units and amount.
Shown = tuple[str, str, int, list[tuple[str, str, str]]]


async def test_seats_are_renewed_each_month_and_not_charged_again_by_an_upgrade(
    suite: Suite,
) -> None:
    await suite.advance(JUN_1)
    async with suite.client(suite.new_tenant()) as client:
        await _sell(client)
        await _subscribe(client, "team", JUN_1)
        await suite.advance(JUN_10)
        await record(client, [usage("acme", JUN_10, "5")])
        await suite.settle()
        # 5 seats at 31 for 21 of 30 days.
        at_once = [("early", "3.5", 10850, [("instant", "0", "108.5")])]
        assert await _shown(client) == [at_once]

        await suite.advance(JUL_1 + BILLED)
        june = ("whole", "3.5", 10850, [("prorated", "3.5", "0"), ("units", "3.5", "108.5")])
        renewed = ("early", "5", 15500, [("instant", "0", "155")])
        assert sorted((await _shown(client))[1:]) == [[renewed], [june]]

        await suite.advance(JUL_17)
        await record(client, [usage("acme", JUL_17, "2")])  # For 15 of 31 days: 30.
        await suite.settle()
        await record(client, [usage("acme", JUL_17, "-1")])
        await suite.advance(JUL_22)
        await _upgrade(client, JUL_22)
        await record(client, [usage("acme", JUL_22, "1")])  # For 10 of 31 days: 20.
        await suite.settle()
        before = await _shown(client)
        # What is below a cent is left to the end; the seat that went gives nothing back.
        assert before[3:] == [[_early("0.96775", "30.00025")], [_early("0.32259", "20.00058")]]

        await suite.advance(AUG_1 + BILLED)
        of_team, of_big, renewed_again = sorted((await _shown(client))[5:], key=_place)
        assert of_team[0] == (
            "whole",
            "5.96775",
            18500,
            [("prorated", "5.96775", "0"), ("units", "5.96775", "185.00025")],
        )
        # Of seven seats six were paid for by the old plan.
        assert of_big[0] == (
            "whole",
            "0.32259",
            2000,
            [
                ("prorated", "6.32259", "0"),
                ("units", "6.32259", "392.00058"),
                ("held", "-6", "-372"),
            ],
        )
        assert [(line[0], line[2]) for line in (of_team[1], of_big[1])] == [("early", 0)] * 2
        assert renewed_again == [("early", "7", 43400, [("instant", "0", "434")])]
        await _check_fees(client)
        verified = [one async for one in client.usage.VerifyUsage(VerifyUsageRequest())]
        assert not [one for one in verified if one.HasField("difference")]


async def _check_fees(client: SuiteClient) -> None:
    """What is renewed has a fee that names no event."""
    asked = ListInstantFeesRequest(subscription_id="acme", charge_code="early")
    fees = (await client.rating.ListInstantFees(asked)).fees
    renewed = [(fee.units, fee.amount.amount_minor) for fee in fees if not fee.HasField("position")]
    assert sorted(renewed) == [("5", 15500), ("7", 43400)]
    assert len(fees) == 5


def _early(units: str, exact: str) -> Shown:
    """Return the line of an event's bill: whole cents."""
    whole, below = exact[:-3], exact[-3:]
    rows = [("instant", "0", exact), ("carried", "0", f"-0.00{below}")]
    return "early", units, int(whole.replace(".", "")), rows


def _place(lines: list[Shown]) -> int:
    """Sort the old plan's last bill first, what is renewed last."""
    return lines[0][2] if lines[0][0] == "early" else -lines[0][2]


async def _shown(client: SuiteClient) -> list[list[Shown]]:
    return [[_line(line) for line in invoice.lines] for invoice in await invoices(client)]


def _line(line: InvoiceLine) -> Shown:
    rows = [(row.label, row.units, row.amount) for row in line.breakdown]
    return line.charge_code, line.units, line.amount_minor, rows


async def _sell(client: SuiteClient) -> None:
    """Create seats at 31 in the plan "team" and at 62 in "big", billed early and at the end."""
    meter = Meter(
        code="calls",
        aggregation=Aggregation.AGGREGATION_SUM,
        value_property="value",
        recurring=True,
    )
    await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    for code, amount in (("team", "31"), ("big", "62")):
        charges = [
            Charge(
                code=name,
                meter_code="calls",
                price=Price(standard=StandardPrice(unit_amount=amount)),
                prorated=True,
                pay_in_advance=True,
                settle=settle,
            )
            for name, settle in (("whole", Settle.SETTLE_PERIOD), ("early", Settle.SETTLE_EVENT))
        ]
        version = PlanVersion(interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH, charges=charges)
        plan = Plan(code=code, name=code, currency_code="USD")
        await client.plans.CreatePlan(
            CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
        )


async def _subscribe(client: SuiteClient, plan: str, start: datetime) -> None:
    subscription = Subscription(
        subscription_id="acme", customer_id="acme", plan_code=plan, start=timestamp(start)
    )
    await client.subscriptions.CreateSubscription(
        CreateSubscriptionRequest(request_id=str(uuid4()), subscription=subscription)
    )


async def _upgrade(client: SuiteClient, at: datetime) -> None:
    """Go on with the other plan."""
    await client.subscriptions.TerminateSubscription(
        TerminateSubscriptionRequest(request_id=str(uuid4()), subscription_id="acme")
    )
    await _subscribe(client, "big", at)
