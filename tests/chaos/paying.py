"""A client that lists the fees that go on no invoice, and pays them one by one."""

from __future__ import annotations

import asyncio
import random

from tally.rating.v1.instant_fee_pb2 import PaymentStatus
from tally.rating.v1.rating_service_pb2 import (
    ListInstantFeesRequest,
    SetInstantFeePaymentRequest,
)
from tests.chaos.calling import GaveUp, Strange, pause
from tests.chaos.known import FeeTold
from tests.chaos.world import World, new_id

FAILED_FIRST = 0.2  # Of the payments.
IMPATIENT = 0.1  # Of the requests are never sent again when the answer stays away.
PAID_AT_ONCE = 3
PAUSE_SECONDS_MAX = 0.3
PENDING = PaymentStatus.PAYMENT_STATUS_PENDING


class Payer:
    """The only one who pays: nobody else changes what it has been told."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng

    async def run(self, stopping: asyncio.Event) -> None:
        """List and pay until `stopping`."""
        while not stopping.is_set():
            try:
                for fee_id in await self._list():
                    await self._pay(fee_id)
            except (GaveUp, Strange):
                continue  # What is not known stays so.
            await pause(self._rng.uniform(0, PAUSE_SECONDS_MAX))

    async def _list(self) -> list[str]:
        """Return some fees that wait for their payment."""
        world = self._world
        request = ListInstantFeesRequest(payment_status=PENDING, page_size=100)
        listed = (await world.caller.ask(world.client.rating.ListInstantFees, request)).fees
        for fee in listed:
            told = FeeTold(fee.exact_amount, {payment_name(PENDING)})
            if world.known.fees.setdefault(fee.fee_id, told).exact_amount != fee.exact_amount:
                world.caller.strange.append(f"instant fee {fee.fee_id} was {told.exact_amount}")
        # Only of those whose payment is known to have been left alone.
        waiting = [one.fee_id for one in listed if len(world.known.fees[one.fee_id].payments) == 1]
        return self._rng.sample(waiting, min(PAID_AT_ONCE, len(waiting)))

    async def _pay(self, fee_id: str) -> None:
        if self._rng.random() < FAILED_FIRST:
            await self._set(fee_id, PaymentStatus.PAYMENT_STATUS_FAILED)
        await self._set(fee_id, PaymentStatus.PAYMENT_STATUS_SUCCEEDED)

    async def _set(self, fee_id: str, status: PaymentStatus.ValueType) -> None:
        world, told = self._world, self._world.known.fees[fee_id]
        told.payments.add(payment_name(status))
        request = SetInstantFeePaymentRequest(
            request_id=new_id(self._rng), fee_id=fee_id, payment_status=status
        )
        await world.caller.ask(
            world.client.rating.SetInstantFeePayment,
            request,
            patient=self._rng.random() >= IMPATIENT,
        )
        told.payments = {payment_name(status)}


def payment_name(status: PaymentStatus.ValueType) -> str:
    """Return a status, short: "pending"."""
    return PaymentStatus.Name(status).removeprefix("PAYMENT_STATUS_").lower()
