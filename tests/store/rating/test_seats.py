"""Seats: renewed once as a period starts, corrected by its close, held over a plan change.

A seat costs 30 a month: a dollar for each day that is left of June.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from libs import db
from libs.clock import SystemClock
from libs.db import Snapshots
from services.rating.domain.event import UsageEvent
from services.rating.domain.instant_charge import InstantTerms, Settle
from services.rating.domain.meter import Aggregation
from services.rating.domain.plan import Charge
from services.rating.domain.price import StandardPrice
from services.rating.loops.renewer import Renewer
from services.rating.operations import renewing, transitions
from services.rating.operations.folding import Catalogs
from services.rating.operations.idling import check_idle
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.subscriptions import terminate_subscription
from services.rating.operations.verifying_fees import verify_fees
from tests.store.rating.conftest import TENANT, World, a_request, an_event, instant
from tests.store.rating.test_instant_rating import Log

JUN_1, JUN_16, JUN_19, JUL_1 = (
    instant(f"2024-{day} 00:00") for day in ("06-01", "06-16", "06-19", "07-01")
)
JULY, AUGUST = instant("2024-07-01 00:10"), instant("2024-08-01 00:10")

Fees = Sequence[tuple[datetime, int, Decimal]]


async def opened(world: World, settle: Settle = Settle.EVENT, *, invoiced: bool = True) -> Log:
    """Sell the recurring sum `seats` in advance at 30 and 60, and put acme on the first plan."""
    await world.create_meter(
        "seats", Aggregation.SUM, value="n", dimensions=["team"], recurring=True
    )
    terms = InstantTerms(settle, invoiced=invoiced)
    cheap = Charge("seats", "seats", "", StandardPrice(Decimal(30)), (), instant=terms)
    cheap = replace(cheap, prorated=True)
    await world.create_plan("seats", [cheap])
    await world.create_plan("more", [replace(cheap, price=StandardPrice(Decimal(60)))])
    await world.subscribe("acme", plan="seats", start=JUN_1, now=JUN_1)
    return Log(world)


def change(at: datetime, n: int, team: str = "") -> UsageEvent:
    return an_event("acme", at, type_="seats", n=Decimal(n), team=team)


async def come(log: Log, *events: UsageEvent) -> None:
    """Fold and price events as they come."""
    await log.fold(*events)
    await log.rate(JUL_1)


async def start(log: Log, now: datetime, *, through: datetime | None = None) -> int:
    """Write periods ahead, and renew what is due by `now` as far as usage is in."""
    async with db.begin_worker(log.world.worker) as conn:
        await transitions.extend_due(conn, now)
    owned = await renewing.load_to_renew(log.world.worker, now)
    return await renewing.renew(log.world.worker, log, owned, through or now, now=now)


async def fees(log: Log) -> Fees:
    """Return date, shard and amount of each fee, in the order of time."""
    rows = await log.world.fetch(
        "SELECT to_timestamp(time_us / 1000000), shard, exact_amount FROM instant_fees"
        " ORDER BY time_us, shard, exact_amount"
    )
    return [(at, shard, amount) for at, shard, amount in rows]


async def cents(world: World, *, n: int) -> list[int]:
    """Close the n-th usage period, and return what it bills."""
    rated = await world.close(await world.period_id("acme", n=n), AUGUST)
    return [fee.amount.amount_minor for fee in rated.fees]


async def verified(world: World) -> bool:
    found = verify_fees(Snapshots(world.app, world.worker, TENANT), world, Counter())
    return [one async for one in found] == []


async def test_a_level_is_renewed_once_and_the_close_corrects_what_came_late(world: World) -> None:
    log = await opened(world)
    await come(log, change(JUN_16, 5))
    assert await start(log, JULY) == 2  # June has carried nothing.
    assert await start(log, JULY) == 0
    renewed = [(JUN_16, 0, Decimal(75)), (JUL_1, -1, Decimal(150))]
    assert await fees(log) == renewed
    assert sorted(amount for _, amount in await log.bills()) == [7500, 15000]
    assert (await world.subjects()).count("InstantFeesRated") == 2
    # Late: 12 days of June, and all of July, which was renewed without it.
    await come(log, change(JUN_19, 1))
    assert await fees(log) == [renewed[0], (JUN_19, 0, Decimal(12)), renewed[1]]
    await start(log, AUGUST)
    assert await world.announce(AUGUST) == 3  # The events' bills; June, and what July renews; July.
    assert await cents(world, n=0) == []
    assert await cents(world, n=1) == [3000]
    assert await verified(world)
    # And after the close it is an adjustment, of both months.
    await come(log, change(JUN_19, 1))
    for n, expected in enumerate((1200, 3000)):
        adjusted = await world.adjust(await world.period_id("acme", n=n), 1)
        assert [fee.amount.amount_minor for fee in adjusted.fees] == [expected]
    assert await verified(world)


async def test_a_period_is_renewed_once_its_usage_before_is_in_whoever_is_first(
    world: World,
) -> None:
    log = await opened(world)
    await come(log, change(JUN_16, 5))
    assert await start(log, JULY, through=JUN_19) == 1
    idle = await check_idle(world.worker, world, JULY)
    assert "1 billing periods are to renew what they carry" in idle.busy
    await start(log, JULY, through=JUN_19)
    waiting = await world.fetch(
        "SELECT usage_start FROM billing_periods WHERE renews_at <= :n", n=JULY
    )
    assert waiting == [(JUL_1,)]
    assert sum(await asyncio.gather(*(start(log, JULY) for _ in range(3)))) >= 1
    assert [amount for _, _, amount in await fees(log)] == [75, 150]
    idle = await check_idle(world.worker, world, JULY)
    assert not [reason for reason in idle.busy if "renew" in reason]


async def test_no_period_is_announced_before_it_is_renewed(world: World) -> None:
    log = await opened(world)
    await come(log, change(JUN_16, 5))
    assert await world.announce(JULY) == 0
    await start(log, JULY)
    assert await world.announce(JULY) == 2  # The event's bill; June, and what July renews.


async def test_what_is_removed_is_not_renewed(world: World) -> None:
    log = await opened(world, invoiced=False, settle=Settle.PERIOD)
    await come(log, change(JUN_16, 5, "a"), change(JUN_16, 2, "b"), change(JUN_19, -4, "a"))
    await come(log, change(JUN_19, 3, "a"))
    await start(log, JULY)
    assert [amount for _, _, amount in await fees(log)] == [30, 75, 180]
    statuses = await world.fetch("SELECT DISTINCT payment_status FROM instant_fees")
    assert statuses == [("pending",)]
    await start(log, AUGUST)
    await world.announce(AUGUST)
    assert [await cents(world, n=n) for n in range(2)] == [[], []]  # All of it is paid alone.


async def test_another_plan_does_not_charge_what_it_takes_over_until_it_is_renewed(
    world: World,
) -> None:
    log = await opened(world)
    await come(log, change(JUN_16, 5))
    await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id="acme", end=None, now=JUN_19
    )
    await world.subscribe("acme", plan="more", start=JUN_19, now=JUN_19)
    await come(log, change(JUN_19, 1))  # For 12 of 30 days: 24.
    await start(log, JULY)
    renewed = [(JUN_16, 0, Decimal(75)), (JUN_19, 0, Decimal(24)), (JUL_1, -1, Decimal(360))]
    assert await fees(log) == renewed
    await come(log, change(JUN_16, 1))  # Late, but before the change: nothing of it is held twice.
    await start(log, AUGUST)
    await world.announce(AUGUST)
    assert [await cents(world, n=n) for n in range(3)] == [[], [], [6000]]
    assert [amount for _, _, amount in await fees(log)] == [15, 75, 24, 360, 420]
    assert await verified(world)


async def test_a_life_after_a_gap_pays_for_what_it_finds(world: World) -> None:
    log = await opened(world)
    await come(log, change(JUN_1, 5))
    await terminate_subscription(
        world.app, TENANT, a_request(), subscription_id="acme", end=None, now=JUN_16
    )
    await world.subscribe("acme", plan="more", start=JUN_19, now=JUN_19)
    await start(log, JULY)
    found = [(at, int(amount)) for at, _, amount in await fees(log)]
    assert found == [(JUN_1, 150), (JUN_19, 120), (JUL_1, 300)]


async def test_a_backdated_subscription_is_renewed_once_its_usage_is_known(world: World) -> None:
    log = await opened(world)
    await log.fold(replace(change(JUN_16, 5), customer_id="zeta"))
    await world.subscribe("zeta", plan="seats", start=JUN_1, now=JULY)
    assert await start(log, JULY) == 2  # Two months of acme.
    while await reattribute_next(world.worker, world, cells_per_day_max=10_000):
        pass
    assert await start(log, JULY) == 2
    assert await fees(log) == [(JUL_1, -1, Decimal(150))]


async def test_what_is_carried_is_found_in_the_log(world: World) -> None:
    world.catalogs = Catalogs(cells_per_day_max=1)
    log = await opened(world, settle=Settle.DAILY)
    await come(log, change(JUN_16, 5, "a"), change(JUN_16, 2, "b"))
    await come(log, change(JUL_1, 1, "b"))
    assert await world.fetch("SELECT bool_or(in_log) FROM cells") == [(True,)]
    await start(log, JULY)
    expected = [(JUN_16, 30), (JUN_16, 75), (JUL_1, 30), (JUL_1, 210)]
    assert sorted((at, int(amount)) for at, _, amount in await fees(log)) == expected
    await start(log, AUGUST)
    await world.announce(AUGUST)
    assert [await cents(world, n=n) for n in range(2)] == [[], []]
    assert await verified(world)


async def test_the_loop_renews_what_is_due(world: World) -> None:
    log = await opened(world)
    await come(log, change(JUN_16, 5))
    async with db.begin_worker(world.worker) as conn:
        await transitions.extend_due(conn, JULY)
    told: list[str] = []
    renewer = Renewer(
        world.worker,
        log,
        SystemClock(),
        ask_folder=lambda: told.append("folder"),
        renewed=lambda: told.append("renewed"),
    )
    world.through = JUN_16
    assert await renewer.step()  # June only.
    assert await renewer.step()
    assert told == ["renewed", "folder"]
    world.through = JULY
    while told[-1] != "renewed":
        assert await renewer.step()
    assert [amount for _, _, amount in await fees(log)] == [75, 150]
