"""Pricing events as they come: each once, whatever is repeated, late or killed in between."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

import pytest

from libs.clock import SystemClock
from libs.db import Snapshots, begin_worker
from libs.errors import Unavailable
from libs.tenant import Tenant
from services.rating.domain.columns import Slice
from services.rating.domain.event import Correction, ShardHead, UsageEvent, micros
from services.rating.domain.instant_charge import InstantTerms, Settle
from services.rating.domain.meter import Aggregation
from services.rating.domain.plan import Charge
from services.rating.domain.plan_changing import Change, PlanEffective
from services.rating.domain.price import GraduatedPrice, Tier
from services.rating.loops.instant_rater import InstantRater
from services.rating.operations.instant_rating import price_slice
from services.rating.operations.plan_changes import Named, WantedPlan, change_plan
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.subscriptions import terminate_subscription
from services.rating.operations.usage import get_usage
from services.rating.operations.verifying_fees import verify_fees
from services.rating.store.applied import Lane
from services.rating.store.instant_slices import Unpriced, find_unpriced, note_unpriced
from tests.store.rating.conftest import (
    JANUARY,
    LANE,
    TENANT,
    World,
    a_charge,
    a_request,
    an_event,
    instant,
)

FEBRUARY = instant("2024-02-01 00:10")
DAY_3, DAY_5, DAY_9 = (instant(f"2024-01-{day} 12:00") for day in ("03", "05", "09"))
# 10 units at 10 cents, then a cent.
TIERS = GraduatedPrice(
    (Tier(Decimal(10), Decimal("0.1"), Decimal(0)), Tier(None, Decimal("0.01"), Decimal(0)))
)


@dataclass
class Log:
    """The world's log with its slices; it may be away when single events are read."""

    world: World
    pieces: list[Slice] = field(default_factory=list)
    away: bool = False

    async def heads(self) -> Sequence[ShardHead]:
        """Return the world's heads."""
        return await self.world.heads()

    async def page(self, lane: Lane, *, after: int) -> Sequence[Slice]:
        """Return all slices after a number."""
        assert lane == LANE
        return [piece for piece in self.pieces if piece.number > after]

    async def corrections(self, lane: Lane, *, through: int) -> Sequence[Correction]:
        """Return none: no test asks."""
        raise AssertionError((lane, through))

    async def events(
        self,
        tenant: Tenant,
        customer_id: str,
        *,
        start: datetime,
        end: datetime | None = None,
        event_type: str = "",
        corrected_through: int = 0,
    ) -> AsyncGenerator[Sequence[UsageEvent], None]:
        """Give the world's events."""
        if self.away:
            raise Unavailable("the log is away")
        pages = self.world.events(
            tenant,
            customer_id,
            start=start,
            end=end,
            event_type=event_type,
            corrected_through=corrected_through,
        )
        async for page in pages:
            yield page

    async def fold(self, *events: UsageEvent) -> Slice:
        """Seal and fold `events`."""
        piece = self.world.slice(*events)
        self.pieces.append(piece)
        await self.world.fold_slice(piece)
        return piece

    async def unpriced(self) -> list[Unpriced]:
        """Return what is noted."""
        async with begin_worker(self.world.worker) as conn:
            return await find_unpriced(conn, None, limit=100)

    async def rate(self, now: datetime) -> None:
        """Price all that is noted."""
        for one in await self.unpriced():
            [piece] = [piece for piece in self.pieces if piece.number == one.number]
            await price_slice(self.world.worker, self, one, piece, now=now)

    async def fees(self) -> list[tuple[int, Decimal]]:
        """Return segment and amount of each fee, in the order of the log."""
        rows = await self.world.fetch(
            "SELECT number, exact_amount FROM instant_fees ORDER BY number, place"
        )
        return [(number, amount) for number, amount in rows]

    async def bills(self) -> list[tuple[datetime, int]]:
        """Return due time and cents of each bill."""
        rows = await self.world.fetch(
            "SELECT due_at, amount_minor FROM instant_bills JOIN billing_periods"
            " USING (tenant, period_id) ORDER BY due_at, amount_minor"
        )
        return [(due_at, amount) for due_at, amount in rows]


async def opened(world: World, settle: Settle = Settle.PERIOD, amount: str = "") -> Log:
    """Sell the sum `data` instantly, by the tiers above, to acme."""
    await world.create_meter("data", Aggregation.SUM, value="mb")
    terms = InstantTerms(settle, Decimal(amount) if amount else None)
    charge = Charge("data", "data", "", TIERS, (), instant=terms)
    await world.create_plan("data", [charge])
    await world.subscribe("acme", plan="data")
    return Log(world)


def data(at: datetime, mb: int, customer: str = "acme") -> UsageEvent:
    return an_event(customer, at, type_="data", mb=Decimal(mb))


async def test_a_fold_notes_the_slices_with_events_of_instant_charges(world: World) -> None:
    log = await opened(world)
    await world.subscribe("zeta")
    await log.fold(an_event("zeta", DAY_3))
    await log.fold(an_event("zeta", DAY_3), data(DAY_9, 8), data(DAY_5, 1))
    await log.fold(data(DAY_5, 1, customer="nobody"))
    first = micros(DAY_3)  # Of the tenant's events, whoever's they are.
    assert await log.unpriced() == [Unpriced(TENANT, LANE, 2, first)]


async def test_a_slice_is_priced_once_however_often_it_is_tried(world: World) -> None:
    log = await opened(world, Settle.EVENT)
    piece = await log.fold(data(DAY_5, 8), data(DAY_9, 4))
    [noted] = await log.unpriced()
    tries = [price_slice(world.worker, log, noted, piece, now=DAY_9) for _ in range(3)]
    await asyncio.gather(*tries)
    assert await log.fees() == [(1, Decimal("0.8")), (1, Decimal("0.22"))]
    assert await log.bills() == [(DAY_9, 22), (DAY_9, 80)]
    assert (await world.subjects()).count("InstantFeesRated") == 1
    assert await log.unpriced() == []


async def test_a_rater_goes_on_where_one_was_killed(world: World) -> None:
    log = await opened(world, Settle.DAILY)
    await log.fold(data(DAY_9, 8))
    await log.rate(DAY_9)
    await log.fold(data(DAY_5, 5))
    log.away = True  # The late event is in the database's hands when the log cannot be read.
    with pytest.raises(Unavailable):
        await log.rate(DAY_9)
    assert await log.fees() == [(1, Decimal("0.8"))]
    assert [one.number for one in await log.unpriced()] == [2]
    log.away = False
    await log.rate(DAY_9)
    assert await log.fees() == [(1, Decimal("0.8")), (2, Decimal("0.5"))]
    assert await log.bills() == [(instant("2024-01-10 00:00"), 130)]


async def test_a_late_event_is_priced_without_those_dated_after_it_and_counts_for_the_next(
    world: World,
) -> None:
    log = await opened(world)
    for at, mb in ((DAY_5, 4), (DAY_3, 8), (DAY_9, 2)):
        await log.fold(data(at, mb))
    await log.rate(DAY_9)
    # 4 at 10 cents; 8 as if they were alone; then there are 12 already. The third slice was in the
    # log when the second was priced, but it counts when its own turn comes.
    assert [amount for _, amount in await log.fees()] == [Decimal(n) / 100 for n in (40, 80, 2)]
    [(units,)] = await world.fetch("SELECT units FROM instant_states")
    assert units == 14
    usage = await get_usage(world.reader, "acme", DAY_5)
    assert [(fee.units, fee.exact_amount) for fee in usage.fees] == [("14", "1.04")]


async def test_a_late_event_has_its_fee_while_other_partitions_of_its_segment_wait(
    world: World,
) -> None:
    log = await opened(world)
    await log.fold(data(DAY_5, 4))
    await log.fold(data(DAY_3, 8))
    own = await log.unpriced()
    async with begin_worker(world.worker) as conn:
        await note_unpriced(conn, [replace(own[1], lane=Lane(LANE.shard, LANE.partition + 1))])
    for one, piece in zip(own, log.pieces, strict=True):
        await price_slice(world.worker, log, one, piece, now=DAY_9)
    assert await log.fees() == [(1, Decimal("0.4")), (2, Decimal("0.8"))]


async def test_a_day_is_billed_at_its_end_and_the_next_one_anew(world: World) -> None:
    log = await opened(world, Settle.DAILY)
    for at in (DAY_3, instant("2024-01-03 23:59"), DAY_5):
        await log.fold(data(at, 2))
        await log.rate(at)
    days = [instant("2024-01-04 00:00"), instant("2024-01-06 00:00")]
    assert await log.bills() == [(days[0], 40), (days[1], 20)]
    assert await world.announce(days[0]) == 1
    rated = await world.close(await world.period_id("acme", kind="instant"), days[0])
    assert [(fee.units, fee.amount.amount_minor) for fee in rated.fees] == [("4", 40)]


async def test_what_is_billed_of_a_day_stays_when_the_subscription_ends(world: World) -> None:
    log = await opened(world, Settle.DAILY)
    await log.fold(data(DAY_3, 2))
    await log.rate(DAY_3)
    await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id="acme", end=None, now=DAY_3
    )
    assert await log.bills() == [(instant("2024-01-04 00:00"), 20)]
    ended = await world.fetch("SELECT kind FROM billing_periods ORDER BY kind")
    assert ended == [("instant",), ("usage",)]


async def test_an_amount_is_billed_as_often_as_it_is_reached(world: World) -> None:
    log = await opened(world, Settle.AMOUNT, "0.5")
    for at, mb in ((JANUARY, 3), (DAY_3, 3), (DAY_5, 3), (DAY_9, 9)):
        await log.fold(data(at, mb))
        await log.rate(at)
    # 30 and 60 cents; then 30, and 10 cents with 8 cents more.
    assert await log.bills() == [(DAY_3, 60)]
    await log.fold(data(DAY_9, 2))
    await log.rate(DAY_9)
    assert await log.bills() == [(DAY_3, 60), (DAY_9, 50)]


async def test_a_period_is_not_announced_while_events_of_it_are_unpriced(world: World) -> None:
    log = await opened(world, Settle.EVENT)
    await log.fold(data(DAY_5, 8))
    assert await world.announce(FEBRUARY) == 0
    await log.rate(FEBRUARY)
    await log.fold(data(FEBRUARY, 1))  # Of the next period: it does not hold up this one.
    assert await world.announce(FEBRUARY) == 1
    kinds = await world.fetch("SELECT kind FROM billing_periods WHERE status = 'due' ORDER BY kind")
    assert kinds == [("instant",), ("usage",)]


async def test_refunds_beyond_what_a_period_costs_are_left_to_an_adjustment(world: World) -> None:
    log = await opened(world, Settle.EVENT)
    await log.fold(data(DAY_5, 8))
    await log.fold(data(DAY_3, 5))
    await log.rate(DAY_9)
    assert [cents for _, cents in await log.bills()] == [50, 80]
    await world.announce(FEBRUARY)
    period_id = await world.period_id("acme")
    rated = await world.close(period_id, FEBRUARY)
    assert list(rated.fees) == []
    assert (await world.subjects())[-1] == "PeriodUsageChanged"
    adjustment = await world.adjust(period_id, 1)
    assert [fee.amount.amount_minor for fee in adjustment.fees] == [-27]  # 13 cost 1.03, not 1.30.
    assert list((await world.adjust(period_id, 2)).fees) == []


async def test_events_of_a_closed_period_have_no_fee_and_are_adjusted(world: World) -> None:
    log = await opened(world, Settle.EVENT)
    await log.fold(data(DAY_5, 12))
    await log.rate(DAY_9)
    await world.announce(FEBRUARY)
    period_id = await world.period_id("acme")
    assert list((await world.close(period_id, FEBRUARY)).fees) == []  # 1.02 was billed already.
    await log.fold(data(DAY_3, 5))
    await log.rate(FEBRUARY)
    assert await log.fees() == [(1, Decimal("1.02"))]
    adjustment = await world.adjust(period_id, 1)
    assert [(fee.units, fee.amount.amount_minor) for fee in adjustment.fees] == [("5", 5)]
    snapshots = Snapshots(world.app, world.worker, TENANT)
    assert [one async for one in verify_fees(snapshots, world, Counter())] == []


async def test_distinct_values_are_paid_once_however_often_they_come(world: World) -> None:
    await world.create_meter("seats", Aggregation.UNIQUE_COUNT, value="user")
    charge = replace(Charge("seats", "seats", "", TIERS, ()), instant=InstantTerms())
    await world.create_plan("seats", [charge])
    await world.subscribe("acme", plan="seats")
    log = Log(world)

    def seat(at: datetime, user: str, does: str = "add") -> UsageEvent:
        return an_event("acme", at, type_="seats", user=user, operation_type=does)

    await log.fold(seat(DAY_3, "ann"), seat(DAY_5, "bob"))
    await log.fold(seat(DAY_9, "ann", "remove"))
    await log.fold(seat(DAY_9, "ann"), seat(DAY_9, "cid"))
    await log.rate(DAY_9)
    assert [number for number, _ in await log.fees()] == [1, 1, 3]


async def test_the_loop_prices_what_is_noted_in_the_order_of_the_log(world: World) -> None:
    log = await opened(world)
    for mb in (8, 4, 1):
        await log.fold(data(DAY_5, mb))
    told: list[str] = []
    rater = InstantRater(
        world.worker,
        log,
        SystemClock(),
        partitions=[0],
        rated=lambda: told.append("rated"),
    )
    assert await rater.step()
    assert await log.fees() == [(n, Decimal(c)) for n, c in ((1, "0.8"), (2, "0.22"), (3, "0.01"))]
    assert not await rater.step()
    assert told == ["rated"]
    log.pieces.clear()
    await world.fold(data(DAY_5, 1))
    with pytest.raises(Unavailable, match="slice 4"):
        await rater.step()


async def test_a_period_whose_fees_were_billed_outlives_its_term_and_gives_them_back(
    world: World,
) -> None:
    log = await opened(world, Settle.EVENT)
    await world.create_plan("flat", [a_charge("data", "0.5")])
    await log.fold(data(JANUARY, 8))
    await log.rate(JANUARY)
    wanted = WantedPlan(Named("acme"), "flat", 0, Change(PlanEffective.NOW))
    await change_plan(
        world.app, TENANT, a_request(), wanted, now=JANUARY, validate_only=False
    )  # As it starts: the first term is as if it never was.
    while await reattribute_next(world.worker, log):
        pass
    await log.rate(FEBRUARY)
    await world.announce(FEBRUARY)
    [(kept,)] = await world.fetch(
        "SELECT period_id FROM billing_periods JOIN plan_versions USING (tenant, plan_version_id)"
        " WHERE kind = 'usage' AND plan_code = 'data'"
    )
    assert (await world.close(kept, FEBRUARY)).amount.amount_minor == 0
    assert (await world.adjust(kept, 1)).amount.amount_minor == -80
