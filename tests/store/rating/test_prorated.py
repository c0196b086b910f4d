"""Prorated charges, from events in any order to fees, against living through them one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from random import Random
from zoneinfo import ZoneInfo

import pytest

from libs.db import Snapshots
from services.rating.domain.charge_price import ChargePrice
from services.rating.domain.event import UsageEvent, instant_of
from services.rating.domain.meter import Aggregation
from services.rating.domain.plan import Charge
from services.rating.domain.price import GraduatedPrice, StandardPrice, Tier, VolumePrice
from services.rating.domain.rounding import round_units
from services.rating.operations.rating import rate_period
from services.rating.operations.usage import get_usage
from services.rating.operations.verifying_cells import verify_cells
from services.rating.operations.verifying_fees import verify_fees
from tally.rating.v1.billing_period_pb2 import Fee
from tests.store.rating.conftest import TENANT, World, an_event, instant
from tests.store.rating.test_recurring import move_calendar
from tests.store.rating.test_verifying import Log

D = Decimal
BERLIN = ZoneInfo("Europe/Berlin")
START = instant("2024-01-10 10:00")
FEB, MARCH = instant("2024-02-02"), instant("2024-03-01 00:10")
# 10 each up to 3, and 7 flat; 4 each above, and 5 flat.
TIERS = (Tier(D(3), D(10), D(7)), Tier(None, D(4), D(5)))
PRICES: dict[str, ChargePrice] = {
    "standard": StandardPrice(D(1)),
    "tiers": GraduatedPrice(TIERS),
    "volume": VolumePrice(TIERS),
}
METERS = {"seats": Aggregation.SUM, "users": Aggregation.UNIQUE_COUNT}


@dataclass(frozen=True)
class Month:
    """The days billed, those of the whole month, and for how many what came before counts."""

    first: date
    end: date
    of_days: int
    held: int

    def left(self, day: date) -> int:
        return (self.end - max(day, self.first)).days


# From the tenth at 11:00 on.
JANUARY = Month(date(2024, 1, 10), date(2024, 2, 1), of_days=31, held=22)
FEBRUARY = Month(date(2024, 2, 1), date(2024, 3, 1), of_days=29, held=29)
Step = tuple[Decimal, Fraction]  # By how much units change, and for how much of the month.


@pytest.fixture(autouse=True)
async def sold(world: World) -> None:
    """The plan "all": both meters that can be prorated, by each price that can be."""
    for code, aggregation in METERS.items():
        await world.create_meter(code, aggregation, value="v", recurring=True)
    await world.create_plan(
        "all",
        [
            Charge(f"{meter}-{model}", meter, "", price, (), prorated=True)
            for meter in METERS
            for model, price in PRICES.items()
        ],
    )


def a_change(at: datetime, code: str, value: str, operation: str = "add") -> UsageEvent:
    return an_event("", at, type_=code, v=value, operation_type=operation)


def a_story(random: Random) -> list[UsageEvent]:
    """Return two months of changes, no two of them at one instant; often several on a day."""
    days = [random.randrange(52) for _ in range(14)]
    minutes = random.sample(range(24 * 60), 60)
    changes = []
    for minute in minutes:
        at = START + timedelta(days=random.choice(days), minutes=minute)
        changes.append(a_change(at, "seats", random.choice(["2", "0.5", "-1", "-3", "1"])))
        operation = random.choice(["add", "add", "remove"])
        changes.append(a_change(at, "users", random.choice("abcdef"), operation))
    return changes


def day_of(event: UsageEvent) -> date:
    return instant_of(event.moment.time).astimezone(BERLIN).date()


def seat_steps(events: Sequence[UsageEvent], month: Month) -> list[Step]:
    carried, steps = D(0), []
    for event in events:
        value, day = D(str(event.properties["v"])), day_of(event)
        if day < month.first:
            carried += value
        elif day < month.end:
            steps.append((value, Fraction(month.left(day), month.of_days)))
    return [(carried, Fraction(month.held, month.of_days)), *steps]


def user_steps(events: Sequence[UsageEvent], month: Month) -> list[Step]:
    """Drop what is undone on its day, then what changes nothing; weigh what is left."""
    found: list[tuple[int, Step]] = []
    for value in {event.properties["v"] for event in events}:
        own = [
            each for each in events if each.properties["v"] == value and day_of(each) < month.end
        ]
        left: list[UsageEvent] = []
        for place, event in enumerate(own):
            back = (one for one in own[place:] if adds(one) and day_of(one) == day_of(event))
            if (adds(event) or not any(back)) and adds(event) != (left != [] and adds(left[-1])):
                left.append(event)
        for place in range(0, len(left), 2):
            stay = left[place : place + 2]
            gone = month.end if len(stay) == 1 else day_of(stay[1]) + timedelta(days=1)
            days = (gone - max(day_of(stay[0]), month.first)).days
            if days > 0:
                weights = (Fraction(days, month.of_days), Fraction(0))
                for event, weight in zip(stay, weights, strict=False):
                    found.append((event.moment.time, (D(1 if adds(event) else -1), weight)))
    return [step for _, step in sorted(found, key=lambda each: each[0])]


def adds(event: UsageEvent) -> bool:
    return event.properties["operation_type"] == "add"


def rounded_up(exact: Fraction) -> Decimal:
    return D(ceil(exact * 100_000)) / 100_000


def graduated(steps: Sequence[Step]) -> Fraction:
    """Move through the tiers step by step."""
    if not sum(units * weight for units, weight in ((Fraction(u), w) for u, w in steps)):
        return Fraction(7)
    position, highest, cost = Fraction(0), Fraction(0), Fraction(0)
    for units, weight in steps:
        after = position + Fraction(units)
        cost += weight * (flatless(after) - flatless(position))
        position, highest = after, max(highest, after)
    if position < 0:
        return Fraction(0)
    return max(cost, Fraction(0)) + (12 if highest > 3 else 7)


def flatless(units: Fraction) -> Fraction:
    return units * 10 if units <= 3 else 30 + (units - 3) * 4


def expected(steps: Sequence[Step]) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
    """Return prorated units, full units, and the exact amount by model."""
    units = rounded_up(sum((Fraction(u) * weight for u, weight in steps), Fraction(0)))
    full = sum((u for u, _ in steps), D(0))
    billed = max(units, D(0))
    amounts = {
        "standard": billed,
        "tiers": round_units(graduated(steps), None),
        "volume": billed * 10 + 7 if full <= 3 else billed * 4 + 5,
    }
    return {model: (units, full, amount) for model, amount in amounts.items()}


def shown(fees: Sequence[Fee]) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
    found = {}
    for fee in fees:
        weighed = fee.breakdown[0]
        assert (weighed.label, weighed.units, weighed.amount) == ("prorated", fee.units, "0")
        numbers = (D(fee.units), D(weighed.up_to), D(fee.exact_amount))
        found[fee.charge_code] = numbers
    return found


def oracle(story: Sequence[UsageEvent], month: Month) -> dict[str, tuple[Decimal, ...]]:
    ordered = sorted(story, key=lambda event: event.moment.time)
    found: dict[str, tuple[Decimal, ...]] = {}
    for meter, steps_of in (("seats", seat_steps), ("users", user_steps)):
        steps = steps_of([event for event in ordered if event.type == meter], month)
        if steps:
            found |= {f"{meter}-{model}": each for model, each in expected(steps).items()}
    return found


@pytest.mark.parametrize("seed", range(2))
async def test_fees_are_those_of_events_lived_through_one_by_one(world: World, seed: int) -> None:
    random, log = Random(seed), Log(world)
    story = a_story(random)
    for customer in ("ordered", "mixed"):
        await world.subscribe(customer, plan="all", start=START, now=START, zone="Europe/Berlin")
    await move_calendar(world, FEB)
    in_order = sorted(story, key=lambda event: event.moment.time)
    await log.fold(*(replace(event, customer_id="ordered") for event in in_order))
    mixed = random.sample(story, len(story))
    while mixed:
        batch = random.randrange(1, 25)
        await log.fold(*(replace(event, customer_id="mixed") for event in mixed[:batch]))
        del mixed[:batch]
    for n, (month, at) in enumerate(((JANUARY, START), (FEBRUARY, FEB))):
        lived = oracle(story, month)
        assert lived.keys() == {f"{meter}-{model}" for meter in METERS for model in PRICES}
        for customer in ("ordered", "mixed"):
            usage = await get_usage(world.reader, customer, at)
            assert shown(usage.fees) == lived
            period_id = await world.period_id(customer, n=n)
            rated = (await rate_period(world.app, world, TENANT, period_id)).rated
            assert list(rated.fees) == list(usage.fees)
    snapshots = Snapshots(world.app, world.worker, TENANT)
    await world.announce(MARCH)
    for n in range(2):
        await world.close(await world.period_id("mixed", n=n), MARCH)
    assert [one async for one in verify_cells(snapshots, log, Counter())] == []
    assert [one async for one in verify_fees(snapshots, world, Counter())] == []
