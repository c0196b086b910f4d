"""A client that changes the units of add-ons."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal

from tally.rating.v1.subscription_changes_pb2 import UnitsEffective, UpdateFixedUnitsRequest
from tests.chaos.calling import GaveUp, Strange, pause
from tests.chaos.expected import TARIFFS, Seat
from tests.chaos.known import Fate, UnitsAsked
from tests.chaos.world import World, new_id

IMPATIENT = 0.1  # Of the requests are never sent again when the answer stays away.
NEXT_WEEK = 0.2  # Of the changes are for the week to come.
PAUSE_SECONDS_MAX = 0.4
UNITS_MAX = 9


class Raiser:
    """One client for all add-ons in advance."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng

    async def run(self, stopping: asyncio.Event) -> None:
        """Change units until `stopping`."""
        while not stopping.is_set():
            try:
                await self.change(self._rng.choice(_seated(self._world)))
            except (GaveUp, Strange):
                continue  # What is not known stays so.
            await pause(self._rng.uniform(0, PAUSE_SECONDS_MAX))

    async def change_all(self) -> None:
        """Change the units of each subscription once."""
        for seat in _seated(self._world):
            await self.change(seat)

    async def change(self, seat: Seat) -> None:
        """Give a subscription other units.

        Raises:
            GaveUp, Strange: see `Caller.ask`.
        """
        world, later = self._world, self._rng.random() < NEXT_WEEK
        [code] = TARIFFS[seat.tariff].add_ons
        units = Decimal(self._rng.randint(0, UNITS_MAX * 100)) / 100
        asked = UnitsAsked(seat.subscription_id, code, units)
        world.known.units.append(asked)
        request = UpdateFixedUnitsRequest(
            request_id=new_id(self._rng),
            subscription_id=seat.subscription_id,
            fixed_charge_code=code,
            units=str(units),
            effective=(
                UnitsEffective.UNITS_EFFECTIVE_NEXT_PERIOD
                if later
                else UnitsEffective.UNITS_EFFECTIVE_NOW
            ),
        )
        patient = self._rng.random() >= IMPATIENT
        update = world.client.subscriptions.UpdateFixedUnits
        await world.caller.ask(update, request, patient=patient)
        asked.fate = Fate.ACKNOWLEDGED


def _seated(world: World) -> list[Seat]:
    """Return the subscriptions whose add-ons are billed in advance."""
    return [
        seat
        for seat in world.seats
        if any(add_on.in_advance for add_on in TARIFFS[seat.tariff].add_ons.values())
    ]
