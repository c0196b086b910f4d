"""Trials, minimum commitments, overrides and usage thresholds, from a plan to its invoices."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cli.client import SuiteClient
from tally.invoicing.v1.invoice_service_pb2 import Invoice, LineKind
from tally.rating.v1.meter_service_pb2 import Aggregation, CreateMeterRequest, Meter
from tally.rating.v1.overrides_pb2 import ChargeOverride, Overrides
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
    Timing,
    UsageThresholds,
)
from tally.rating.v1.rating_service_pb2 import (
    GetThresholdCrossingRequest,
    ListThresholdCrossingsRequest,
    ThresholdCrossing,
)
from tally.rating.v1.subscription_service_pb2 import (
    GetSubscriptionRequest,
    UpdateOverridesRequest,
)
from tests.scenario.builders import invoices, record, subscribe, usage
from tests.suite import Suite
from tests.wait import until

BILLED = timedelta(minutes=11)
ADVANCE, ARREARS = Timing.TIMING_IN_ADVANCE, Timing.TIMING_IN_ARREARS


def day(month: int, number: int) -> datetime:
    return datetime(2026, month, number, tzinfo=UTC)


def price(amount: str) -> Price:
    return Price(standard=StandardPrice(unit_amount=amount))


async def sell(client: SuiteClient, version: PlanVersion) -> None:
    """Create the meter "calls" and the monthly plan "pro" of a dollar a call, in euros."""
    meter = Meter(code="calls", aggregation=Aggregation.AGGREGATION_SUM, value_property="value")
    await client.meters.CreateMeter(CreateMeterRequest(request_id=str(uuid4()), meter=meter))
    version.interval_unit = IntervalUnit.INTERVAL_UNIT_MONTH
    version.charges.append(Charge(meter_code="calls", price=price("1")))
    plan = Plan(code="pro", name="Pro", currency_code="EUR")
    request = CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    stored = (await client.plans.CreatePlan(request)).version
    assert stored.trial_days == version.trial_days
    assert stored.minimum_commitment == version.minimum_commitment
    assert stored.usage_thresholds == version.usage_thresholds


def shown(invoice: Invoice) -> dict[str, int]:
    """Return the amounts of an invoice by what they are for."""
    return {
        LineKind.Name(line.kind).removeprefix("LINE_KIND_"): line.amount_minor
        for line in invoice.lines
    }


async def test_a_trial_that_ends_on_billing_day_does_not_shelter_it(suite: Suite) -> None:
    start = datetime(2026, 3, 22, 1, 12, tzinfo=UTC)
    await suite.advance(start)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, PlanVersion(base_amount="30", base_timing=ADVANCE, trial_days=10))
        # In Paris the trial ends on the first of April at 3:12; in UTC, and so in London, on the
        # second for who starts a day later.
        await subscribe(client, "paris", start, time_zone="Europe/Paris")
        await suite.advance(start + timedelta(days=1))
        await subscribe(client, "london", start + timedelta(days=1))
        at = day(3, 23) + timedelta(hours=2)
        await record(client, [usage(who, at, "7") for who in ("paris", "london")])
        await suite.advance(day(3, 31) + timedelta(hours=22) + BILLED)
        [first] = await invoices(client)
        assert (first.customer_id, shown(first)) == ("paris", {"BASE": 30_00, "USAGE": 7_00})
        await suite.advance(day(4, 2))
        [_, usage_alone] = await invoices(client)
        assert (usage_alone.customer_id, shown(usage_alone)) == ("london", {"USAGE": 7_00})
        await suite.advance(day(4, 2) + timedelta(hours=1, minutes=13))
        [*_, rest] = await invoices(client)
        assert (rest.customer_id, shown(rest)) == ("london", {"BASE": 29_00})  # 29 of 30 days.


async def test_a_commitment_is_reached_in_arrears_and_in_advance(suite: Suite) -> None:
    await suite.advance(day(4, 16))
    async with (
        suite.client(suite.new_tenant()) as arrears,
        suite.client(suite.new_tenant()) as advance,
    ):
        for client, timing in ((arrears, ARREARS), (advance, ADVANCE)):
            version = PlanVersion(base_amount="30", base_timing=timing, minimum_commitment="300")
            await sell(client, version)
            await subscribe(client, "acme", day(4, 16))
            await record(client, [usage("acme", day(4, 16), "10")])
        await suite.advance(day(5, 1) + BILLED)
        # 15 of 30 days: 150 committed, less 15 of base fee and 10 of usage.
        may = {"USAGE": 10_00, "COMMITMENT": 125_00}
        assert [shown(one) for one in await invoices(arrears)] == [{"BASE": 15_00, **may}]
        assert [shown(one) for one in await invoices(advance)] == [
            *({"BASE": 15_00}, {"BASE": 30_00, **may}),
        ]
        # Late usage takes from the commitment what it adds.
        await record(arrears, [usage("acme", day(4, 20), "25")])
        await suite.advance(day(6, 1) + BILLED)
        [*_, june] = await invoices(arrears)
        assert june.subtotal_minor == 300_00


async def test_a_subscription_pays_prices_of_its_own(suite: Suite) -> None:
    await suite.advance(day(6, 2))
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, PlanVersion(base_amount="30", base_timing=ARREARS))
        await subscribe(client, "acme", day(6, 1))
        await subscribe(client, "zeta", day(6, 1))
        await record(client, [usage(who, day(6, 1), "4") for who in ("acme", "zeta")])
        await suite.advance(day(6, 20))
        own = Overrides(
            base_amount="15",
            minimum_commitment="40",
            charges=[ChargeOverride(code="calls", price=price("2"))],
        )
        changed = await client.subscriptions.UpdateOverrides(
            UpdateOverridesRequest(
                request_id=str(uuid4()), subscription_id="acme-pro", overrides=own
            )
        )
        got = await client.subscriptions.GetSubscription(
            GetSubscriptionRequest(subscription_id="acme-pro")
        )
        assert got.own_prices == changed.prices
        assert (got.subscription.plan_version, got.own_prices.version) == (1, 1)
        await suite.advance(day(7, 1) + BILLED)
        found = {one.customer_id: shown(one) for one in await invoices(client)}
    assert found == {
        "acme": {"BASE": 15_00, "USAGE": 8_00, "COMMITMENT": 17_00},
        "zeta": {"BASE": 30_00, "USAGE": 4_00},
    }


async def test_a_flood_of_events_crosses_a_threshold_once(suite: Suite) -> None:
    await suite.advance(day(8, 1))
    tenant = suite.new_tenant()
    async with suite.client(tenant) as client, suite.internal(tenant) as internal:
        thresholds = UsageThresholds(amounts=["100", "150"], step="1000")
        await sell(client, PlanVersion(usage_thresholds=thresholds))
        await subscribe(client, "acme", day(8, 1))

        async def crossings() -> Sequence[ThresholdCrossing]:
            asked = ListThresholdCrossingsRequest(subscription_id="acme-pro")
            return (await client.rating.ListThresholdCrossings(asked)).crossings

        await record(client, [usage("acme", day(8, 1), "99")])
        await suite.settle()
        assert not await crossings()
        flood = [[usage("acme", day(8, 1)) for _ in range(100)] for _ in range(5)]
        await asyncio.gather(*(record(client, events) for events in flood))
        found = await until(crossings, describe=lambda: "nothing was crossed")
        await suite.settle()
        found = await crossings()
        crossed = [one.amount for crossing in found for one in crossing.crossed]
        assert sorted(crossed, key=int) == ["100", "150"], "each once, together or not"
        got = await internal.rating.GetThresholdCrossing(
            GetThresholdCrossingRequest(crossing_id=found[-1].crossing_id)
        )
        [fee] = got.crossing.rated.fees
        assert fee.amount == got.crossing.amount == found[-1].amount
        assert 150_00 <= fee.amount.amount_minor <= 599_00
