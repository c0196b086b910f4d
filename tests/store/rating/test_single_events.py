"""Prices that look at single events: read from the log, up to where the cells are."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from libs.db import Snapshots
from libs.difference import Difference, Unverified
from libs.errors import Unavailable
from libs.tenant import Tenant
from services.rating.domain.event import Moment, UsageEvent, micros
from services.rating.domain.meter import Aggregation
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.plan import Charge
from services.rating.operations.closing import close_period, close_periods
from services.rating.operations.rating import rate_period
from services.rating.operations.usage import get_usage
from services.rating.operations.verifying_fees import verify_fees
from tally.rating.v1.billing_period_pb2 import Fee
from tests.store.rating.conftest import JANUARY, TENANT, World, a_charge, an_event, instant

FEBRUARY = instant("2024-02-01 00:10")
HALF_FREE = PercentagePrice(Decimal(10), free_events=2, event_maximum=Decimal(5))
HOUR = timedelta(hours=1)


class Watched:
    """The world's log; something may happen whenever events have been read from it."""

    def __init__(self, world: World) -> None:
        self.heads = world.heads
        self.world = world
        self.reads = 0
        self.meanwhile: list[UsageEvent] = []  # One is folded after each reading.

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
        """Give a customer's events as ingest does."""
        self.reads += 1
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
        if self.meanwhile:
            await self.world.fold(self.meanwhile.pop())


def sale(value: str, hours: int, *, customer: str = "acme", subscription: str = "") -> UsageEvent:
    at = JANUARY + hours * HOUR
    amount = Decimal(value)
    return an_event(customer, at, type_="sales", subscription=subscription, value=amount)


async def sell(world: World) -> None:
    """Sell at 10 %, the first two events free, at most 5 for each."""
    await world.create_meter("sales", Aggregation.SUM, value="value")
    charge = Charge("sales", "sales", "", HALF_FREE, ())
    await world.create_plan("sales", [charge, a_charge("calls", "1")])
    await world.subscribe("acme", plan="sales")


def amounts(fees: Iterable[Fee]) -> list[tuple[str, int]]:
    return [(fee.units, fee.amount.amount_minor) for fee in fees]


async def test_events_are_priced_in_the_order_of_their_times_whenever_they_came(
    world: World,
) -> None:
    await sell(world)
    await world.fold(sale("70", 9), sale("30", 5))
    await world.fold(sale("20", 2), an_event("acme", JANUARY, type_="calls"))
    period_id = await world.period_id("acme")
    usage = await get_usage(world.reader, "acme", JANUARY)
    # Those of 2 and 5 o'clock are free; 10 % of 70 are 7, of which 5 are to pay.
    assert amounts(usage.fees) == [
        ("120", 500),
        ("1", 100),
    ]
    assert [row.label for row in usage.fees[0].breakdown] == ["free", "percentage", "maximum"]
    answer = await rate_period(world.app, world, TENANT, period_id)
    assert list(answer.rated.fees) == list(usage.fees)
    await world.announce(FEBRUARY)
    assert list((await world.close(period_id, FEBRUARY)).fees) == list(usage.fees)
    # An older event takes the place of one that was free: 10 % of 30 and 5 of 70.
    await world.fold(sale("1", 1))
    adjustment = await world.adjust(period_id, 1)
    assert amounts(adjustment.fees) == [("1", 300)]


async def test_only_events_that_are_in_the_cells_are_priced(world: World) -> None:
    await sell(world)
    await world.fold(sale("10", 1), sale("10", 2), sale("20", 3))
    world.slice(sale("40", 4))  # In the log, and not folded yet.
    usage = await get_usage(world.reader, "acme", JANUARY)
    assert amounts(usage.fees) == [("40", 200)]


async def test_only_events_of_the_term_and_its_days_are_priced(world: World) -> None:
    await sell(world)
    await world.subscribe("other", plan="sales", customer="acme", start=JANUARY + HOUR)
    await world.fold(
        sale("10", 3, subscription="acme"),
        sale("20", 2, subscription="other"),
        sale("500", 24 * 31, subscription="acme"),
        sale("900", 2, customer="nobody"),
        an_event("acme", JANUARY + 4 * HOUR, type_="sales", value="no number"),
        sale("30", 5),
        sale("40", 6),
    )
    usage = await get_usage(world.reader, "acme", JANUARY)
    assert amounts(usage.fees) == [("80", 400)]


async def test_a_close_reads_again_what_came_while_it_read(world: World) -> None:
    await sell(world)
    await world.fold(sale("10", 1), sale("10", 2), sale("20", 3))
    await world.announce(FEBRUARY)
    period_id = await world.period_id("acme")
    log = Watched(world)
    log.meanwhile = [sale("30", 4)]
    answer = await close_period(world.app, log, TENANT, period_id, now=FEBRUARY)
    assert amounts(answer.rated.fees) == [("70", 500)]
    assert log.reads == 2
    again = await close_period(world.app, log, TENANT, period_id, now=FEBRUARY)
    assert (again, log.reads) == (answer, 2), "what is closed is not read again"


async def test_a_close_gives_up_while_usage_goes_on_and_freezes_nothing(world: World) -> None:
    await sell(world)
    await world.fold(sale("10", 1))
    await world.announce(FEBRUARY)
    log = Watched(world)
    log.meanwhile = [sale("1", hour) for hour in range(2, 9)]
    period_id = await world.period_id("acme")
    with pytest.raises(Unavailable, match="changes while its events are read"):
        await close_period(world.app, log, TENANT, period_id, now=FEBRUARY)
    assert await world.fetch("SELECT * FROM closes") == []
    log.meanwhile = []
    answer = await close_period(world.app, log, TENANT, period_id, now=FEBRUARY)
    assert [fee.event_count for fee in answer.rated.fees] == [4]


async def test_periods_whose_prices_need_no_events_are_closed_without_the_log(
    world: World,
) -> None:
    await sell(world)
    await world.subscribe("bolt")
    calls = [an_event("bolt", JANUARY, type_="calls"), an_event("acme", JANUARY, type_="calls")]
    await world.fold(*calls)
    await world.announce(FEBRUARY)
    log = Watched(world)
    ids = [await world.period_id(customer) for customer in ("acme", "bolt")]
    answer = await close_periods(world.app, log, TENANT, ids, now=FEBRUARY)
    assert [one.amount.amount_minor for one in answer.rated] == [100, 1]
    assert log.reads == 0


async def test_a_closed_period_is_verified_with_its_events(world: World) -> None:
    await sell(world)
    await world.fold(sale("10", 1), sale("10", 2), sale("20", 3))
    await world.announce(FEBRUARY)
    await world.close(await world.period_id("acme"), FEBRUARY)
    assert await _verified(world) == []
    # As if it had happened before the others: another one is not free then.
    world.log[2] = replace(world.log[2], moment=Moment(micros(JANUARY), 0, 1, 2))
    found = await _verified(world)
    assert {one.field for one in found if isinstance(one, Difference)} >= {"amount_minor"}
    del world.log[2]
    [unread] = await _verified(world)
    assert isinstance(unread, Unverified)


async def _verified(world: World) -> list[object]:
    snapshots = Snapshots(world.app, world.worker, None)
    return [one async for one in verify_fees(snapshots, world, Counter())]
