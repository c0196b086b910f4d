"""Changes of units against closes: what they add is in the close, or is announced as late."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from uuid import UUID

from services.rating.domain.plan import FixedCharge, Timing
from services.rating.domain.price import StandardPrice
from services.rating.domain.unit_change import Effective
from services.rating.operations.fixed_units import WantedUnits, update_fixed_units
from tally.rating.v1 import events_pb2
from tests.store.rating.conftest import JANUARY, TENANT, World, a_request, instant

PERIODS = 40
STEPS = 6
SEVENTEENTH = instant("2024-01-17")
SEATS = FixedCharge(
    "seats", "", StandardPrice(Decimal(31)), Decimal(5), Timing.IN_ADVANCE, prorated=True
)


async def test_units_that_change_while_their_period_is_closed_are_never_lost(world: World) -> None:
    await world.create_plan("seats", [], fixed=[SEATS])
    names = [f"s{place:02}" for place in range(PERIODS)]
    for name in names:
        await world.subscribe(name, plan="seats", customer="acme")
    await world.announce(JANUARY)
    periods = {name: await world.period_id(name, kind="fixed") for name in names}

    async def change(name: str) -> None:
        wanted = WantedUnits(name, "seats", Decimal(8), Effective.NOW)
        await update_fixed_units(world.app, TENANT, a_request(), wanted, now=SEVENTEENTH)

    async def close(period_id: UUID, *, later: int) -> int:
        for _ in range(later):  # A change asks for other things first.
            await world.fetch("SELECT 1")
        rated = await world.close(period_id, SEVENTEENTH)
        assert rated.amount.amount_minor == (200_00 if rated.period.late_version else 155_00)
        return rated.period.late_version

    in_the_close = 0
    for place, name in enumerate(names):
        closing = close(periods[name], later=place % STEPS)
        _, version = await asyncio.gather(change(name), closing)
        in_the_close += version
    rows = await world.fetch("SELECT payload FROM outbox WHERE subject LIKE '%PeriodUsageChanged'")
    late = [events_pb2.PeriodUsageChanged.FromString(payload) for (payload,) in rows]
    assert sum(fact.closed for fact in late) == PERIODS - in_the_close, "one was lost"
    assert 0 < in_the_close < PERIODS, "it was no race"
