"""Clients that spend: they grant credit, place holds, and capture, release or forget them."""

from __future__ import annotations

import asyncio
import random

from google.protobuf.duration_pb2 import Duration

from tally.wallet.v1.hold_service_pb2 import AuthorizeRequest, CaptureRequest, ReleaseRequest
from tests.chaos.calling import GaveUp, Refused, Strange, pause
from tests.chaos.known import CaptureAsked, Fate, HoldAsked
from tests.chaos.world import Purse, World, grant_credits, money, new_id

GRANTS = 0.25  # Of what is done.
IMPATIENT = 0.1  # Of the requests are never sent again when the answer stays away.
PAUSE_SECONDS_MAX = 0.1
AMOUNT_MAX = 60
TTL_SECONDS = (900, 20 * 86_400)  # Some lapse during the round.
EMPTY = frozenset({"INSUFFICIENT_BALANCE"})
LAPSED = frozenset({"HOLD_EXPIRED"})


class Spender:
    """One client; several share the wallets of a world."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng

    async def run(self, stopping: asyncio.Event) -> None:
        """Spend until `stopping`; a hold that was begun is dealt with first."""
        while not stopping.is_set():
            purse = self._rng.choice(self._world.purses)
            try:
                if self._rng.random() < GRANTS:
                    amount = self._rng.randint(1, AMOUNT_MAX)
                    await grant_credits(
                        self._world, purse, amount, self._rng, patient=self._patient()
                    )
                else:
                    await self._spend(purse)
            except (GaveUp, Strange):
                continue  # What is not known stays so.
            await pause(self._rng.uniform(0, PAUSE_SECONDS_MAX))

    def _patient(self) -> bool:
        return self._rng.random() >= IMPATIENT

    async def _spend(self, purse: Purse) -> None:
        hold = HoldAsked(purse.wallet_id, self._rng.randint(1, AMOUNT_MAX))
        self._world.known.holds.append(hold)
        if not await self._authorize(hold, purse):
            return
        await pause(self._rng.uniform(0, PAUSE_SECONDS_MAX))
        dealt = self._rng.random()
        if dealt < 0.6:
            left = hold.amount_minor
            if dealt < 0.2:
                taken = self._rng.randint(0, left)
                if not await self._capture(hold, taken, final=taken == left):
                    return
                left -= taken
            if left:
                await self._capture(hold, self._rng.randint(1, left), final=True)
        elif dealt < 0.8:
            await self._release(hold)

    async def _authorize(self, hold: HoldAsked, purse: Purse) -> bool:
        request = AuthorizeRequest(
            request_id=new_id(self._rng),
            wallet_id=hold.wallet_id,
            amount=money(hold.amount_minor),
            ttl=Duration(seconds=self._rng.choice(TTL_SECONDS)),
        )
        seats = [one for one in self._world.seats if one.customer_id == purse.customer_id]
        if self._rng.random() < 0.3:
            request.subscription_id = self._rng.choice(seats).subscription_id
        else:
            request.standalone = True
        authorize = self._world.client.holds.Authorize
        try:
            answer = await self._world.caller.ask(
                authorize, request, ready_for=EMPTY, patient=self._patient()
            )
        except Refused:
            hold.fate = Fate.REFUSED
            return False
        hold.fate, hold.hold_id = Fate.ACKNOWLEDGED, answer.hold.hold_id
        return True

    async def _capture(self, hold: HoldAsked, amount_minor: int, *, final: bool) -> bool:
        asked = CaptureAsked(amount_minor, final)
        hold.captures.append(asked)
        request = CaptureRequest(
            request_id=new_id(self._rng),
            hold_id=hold.hold_id,
            amount=money(amount_minor),
            final=final,
        )
        capture = self._world.client.holds.Capture
        try:
            await self._world.caller.ask(
                capture, request, ready_for=LAPSED, patient=self._patient()
            )
        except Refused:
            asked.fate = Fate.REFUSED
            return False
        asked.fate = Fate.ACKNOWLEDGED
        return True

    async def _release(self, hold: HoldAsked) -> None:
        hold.released = Fate.UNKNOWN
        request = ReleaseRequest(request_id=new_id(self._rng), hold_id=hold.hold_id)
        release = self._world.client.holds.Release
        try:
            await self._world.caller.ask(
                release, request, ready_for=LAPSED, patient=self._patient()
            )
        except Refused:
            hold.released = Fate.REFUSED
            return
        hold.released = Fate.ACKNOWLEDGED
