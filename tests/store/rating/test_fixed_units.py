"""Units of fixed charges: stored once each, and billed in whatever state they find a period."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs import db
from libs.db import Snapshots
from libs.errors import FieldInvalid
from libs.requests import Request, RequestIdReused
from services.rating.domain.plan import FixedCharge, IntervalUnit, PlanVersion, Timing
from services.rating.domain.price import GraduatedPrice, StandardPrice, Tier
from services.rating.domain.price_options import PriceOptions, PricingUnit
from services.rating.domain.simulation import Candidate, StoredVersion
from services.rating.domain.subscription import SubscriptionTerminated
from services.rating.domain.unit_change import Effective, FixedChargeNotFound
from services.rating.operations.fixed_units import WantedUnits, update_fixed_units
from services.rating.operations.simulating import simulate_plan
from services.rating.operations.subscriptions import get_subscription, terminate_subscription
from services.rating.operations.usage import get_usage, get_usage_before
from services.rating.operations.verifying_fees import verify_fees
from services.rating.store.plans import load_plan
from services.rating.store.simulation import Selection
from tally.rating.v1 import events_pb2
from tests.store.rating.conftest import (
    JANUARY,
    TENANT,
    World,
    a_charge,
    a_request,
    an_event,
    instant,
)

SEVENTEENTH = instant("2024-01-17 12:00")  # 15 of 31 days are left, with this one.
FEBRUARY = instant("2024-02-01 00:10")
STORED = StoredVersion("fixed", 0)
# A dollar a day, each.
SEATS = FixedCharge(
    "seats", "Seats", StandardPrice(Decimal(31)), Decimal(5), Timing.IN_ADVANCE, prorated=True
)
LINES = replace(SEATS, code="lines", timing=Timing.IN_ARREARS, display_name="")


@pytest.fixture(autouse=True)
async def plan(world: World) -> None:
    """A plan of nothing but fixed charges."""
    await world.create_plan("fixed", [], fixed=[SEATS, LINES])


async def change(
    world: World,
    units: str,
    *,
    code: str = "seats",
    now: datetime = SEVENTEENTH,
    effective: Effective = Effective.NOW,
    request: Request | None = None,
) -> str:
    wanted = WantedUnits("acme", code, Decimal(units), effective)
    asked = request or a_request()
    answer = await update_fixed_units(world.app, TENANT, asked, wanted, now=now)
    day = answer.fixed_units.from_day
    return str(date(day.year, day.month, day.day))


async def late(world: World) -> list[tuple[str, int, bool]]:
    """Return what was announced of late periods."""
    rows = await world.fetch(
        "SELECT payload FROM outbox WHERE subject LIKE '%UsageChanged' ORDER BY id"
    )
    changed = [events_pb2.PeriodUsageChanged.FromString(payload) for (payload,) in rows]
    return [(each.period_id, each.late_version, each.closed) for each in changed]


async def verified(world: World) -> list[object]:
    snapshots = Snapshots(world.app, world.worker, TENANT)
    return [one async for one in verify_fees(snapshots, world, Counter())]


async def test_more_units_of_a_closed_period_are_an_adjustment_of_it(world: World) -> None:
    await world.subscribe("acme", plan="fixed")
    period_id = await world.period_id("acme", kind="fixed")
    await world.announce(JANUARY)
    assert (await world.close(period_id, JANUARY)).amount.amount_minor == 155_00
    assert await change(world, "8") == "2024-01-17"
    assert await late(world) == [(str(period_id), 1, True)]
    [fee] = (await world.adjust(period_id, 1)).fees
    assert (fee.units, fee.amount.amount_minor, fee.exact_amount) == ("3", 45_00, "45")
    assert [row.label for row in fee.breakdown] == [
        *("units", "units", "held", "unbilled", "billed")
    ]
    assert await change(world, "2") == "2024-01-17"
    assert not (await world.adjust(period_id, 2)).fees, "nothing is given back"
    assert await verified(world) == []


async def test_units_changed_before_the_close_are_in_it(world: World) -> None:
    await world.subscribe("acme", plan="fixed")
    period_id = await world.period_id("acme", kind="fixed")
    await change(world, "6", now=JANUARY + timedelta(hours=1))
    assert await late(world) == [], "the period is open"
    await world.announce(JANUARY)
    await change(world, "8")
    assert await late(world) == [(str(period_id), 1, False)]
    rated = await world.close(period_id, FEBRUARY)
    assert (rated.amount.amount_minor, rated.period.late_version) == (186_00 + 30_00, 1)
    # February begins with them: 8 x 31.
    await world.announce(FEBRUARY)
    february = await world.period_id("acme", kind="fixed", n=1)
    assert (await world.close(february, FEBRUARY)).amount.amount_minor == 248_00
    assert await verified(world) == []


async def test_arrears_are_priced_by_their_days_when_the_period_ends(world: World) -> None:
    await world.subscribe("acme", plan="fixed")
    await change(world, "8", code="lines")
    await change(world, "1", code="lines", effective=Effective.NEXT_PERIOD)
    assert await late(world) == []
    whole = await get_usage(world.reader, "acme", SEVENTEENTH)
    part = await get_usage_before(world.reader, "acme", SEVENTEENTH, SEVENTEENTH)
    assert (list(whole.fees), list(part.fees)) == ([], []), "they are no usage"
    await world.announce(FEBRUARY)
    rated = await world.close(await world.period_id("acme"), FEBRUARY)
    [fee] = rated.fees
    assert (fee.charge_code, fee.display_name, fee.units) == ("lines", "lines", "8")
    assert fee.amount.amount_minor == 5 * 16_00 + 8 * 15_00
    assert await verified(world) == []
    rows = await world.fetch("SELECT count(*) FROM closes")
    assert rows == [(1,)], "fixed charges in arrears are in the usage period"


async def test_a_subscription_that_starts_and_ends_within_a_month_pays_its_days(
    world: World,
) -> None:
    await world.subscribe("acme", plan="fixed", start=instant("2024-01-11 09:00"))
    await terminate_subscription(
        world.app,
        TENANT,
        a_request(),
        subscription_id="acme",
        end=instant("2024-01-20 15:00"),
        now=instant("2024-01-12"),
    )
    await change(world, "7")
    await world.announce(FEBRUARY)
    usage = await world.close(await world.period_id("acme"), FEBRUARY)
    assert usage.amount.amount_minor == 50_00, "10 days, its first and last included"
    fixed = await world.close(await world.period_id("acme", kind="fixed"), FEBRUARY)
    assert fixed.amount.amount_minor == 58_00, "and 2 more seats for the last 4"


async def test_a_repeated_request_changes_units_once(world: World) -> None:
    await world.subscribe("acme", plan="fixed")
    request = a_request()
    for _ in range(2):
        assert await change(world, "8", request=request) == "2024-01-17"
    with pytest.raises(RequestIdReused):
        await change(world, "9", request=replace(request, digest=b"other"))
    rows = "SELECT charge_code, number, from_day, units FROM fixed_unit_changes"
    assert await world.fetch(rows) == [("seats", 1, SEVENTEENTH.date(), 8)]
    for attempt in ("UPDATE fixed_unit_changes SET units = 1", "DELETE FROM fixed_unit_changes"):
        with pytest.raises(DBAPIError, match="written once"):
            async with db.begin_worker(world.worker) as conn:
                await conn.execute(text(attempt))


async def test_what_cannot_be_changed_is_refused(world: World) -> None:
    await world.subscribe("acme", plan="fixed")
    with pytest.raises(FixedChargeNotFound):
        await change(world, "8", code="chairs")
    with pytest.raises(FieldInvalid, match="at most 10000000000000"):
        await change(world, "1e12")
    await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id="acme", end=None, now=SEVENTEENTH
    )
    with pytest.raises(SubscriptionTerminated):
        await change(world, "8", now=SEVENTEENTH)
    assert await world.fetch("SELECT * FROM fixed_unit_changes") == []


async def test_the_history_is_by_charge_and_day(world: World) -> None:
    await world.subscribe("acme", plan="fixed", start=instant("2024-01-03"))
    await change(world, "9", effective=Effective.NEXT_PERIOD)
    await change(world, "8.5")
    answer = await get_subscription(world.app, TENANT, "acme")
    assert [
        (one.fixed_charge_code, one.units, one.from_day.month, one.from_day.day)
        for one in answer.fixed_units
    ] == [("seats", "5", 1, 3), ("seats", "8.5", 1, 17), ("seats", "9", 2, 1), ("lines", "5", 1, 3)]
    made = [one.HasField("changed_at") for one in answer.fixed_units]
    assert made == [False, True, True, False]


async def test_a_plan_is_tried_with_the_units_that_subscriptions_have(world: World) -> None:
    await world.subscribe("acme", plan="fixed", now=FEBRUARY)
    await change(world, "7", now=instant("2024-01-01"))
    credits = PriceOptions(pricing_unit=PricingUnit("credits", Decimal("0.5")))
    tiers = GraduatedPrice((Tier(None, Decimal(1), Decimal(3)),))
    version = PlanVersion(
        plan_version_id=UUID(int=9),
        version=1,
        interval_unit=IntervalUnit.MONTH,
        base_amount=Decimal(2),
        base_timing=Timing.IN_ARREARS,
        charges=(replace(a_charge("calls", "0.02"), options=credits),),
        created_at=JANUARY,
        fixed_charges=(replace(SEATS, price=tiers),),
    )
    await world.fold(an_event("acme", SEVENTEENTH))
    selection = Selection(JANUARY, instant("2024-02-01"), [], "")
    snapshots = Snapshots(world.app, world.worker, TENANT)
    tried: list[Candidate | StoredVersion] = [Candidate("Tried", "USD", version), STORED]
    answers = simulate_plan(snapshots, world, TENANT, tried, selection, with_periods=False)
    [result] = [one.subscription async for one in answers if one.HasField("subscription")]
    assert result.before.amount_minor == 7 * 31_00 + 5 * 31_00
    # 2 of base, and 3 and 7 for the seats; stored is what it has.
    assert [one.amount.amount_minor for one in result.after] == [12_00, 372_00]
    assert result.period_count == 1


async def stored(world: World, code: str) -> PlanVersion:
    """Return a plan's version as it is read again."""
    async with db.begin(world.app, TENANT) as conn:
        _, version = await load_plan(conn, TENANT, code, 0)
    return version


async def test_a_version_is_read_as_it_was_written(world: World) -> None:
    credits = PriceOptions(pricing_unit=PricingUnit("credits", Decimal("0.05")))
    await world.create_plan(
        "credits", [replace(a_charge("calls", "0.02"), options=credits)], fixed=[SEATS, LINES]
    )
    version = await stored(world, "credits")
    assert version.fixed_charges == (SEATS, LINES)
    assert version.charges[0].options == credits
