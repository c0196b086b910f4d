"""Folding against closing: usage is in the fees of the close, or it is announced as late.

Neither may pass the other by: a fold that still takes the period for open, and a close that does
not see its cells yet, lose the usage between them. The lock on the period's row is what prevents
it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import pytest

from services.rating.operations import announcing
from services.rating.store.due import DueGroup
from tally.rating.v1 import events_pb2
from tests.store.rating.conftest import TENANT, World, an_event, instant

NOON = instant("2024-01-10 12:00")
FEBRUARY, DUE = instant("2024-02-01"), instant("2024-02-01 00:10")
PERIODS = 80
AT_ONCE = 4  # Periods that are folded into in one transaction, while each is closed in its own.


@dataclass(frozen=True, slots=True)
class Billing:
    """A customer's period that is due."""

    customer: str
    period_id: UUID
    group: DueGroup


@pytest.fixture
async def billings(world: World) -> Sequence[Billing]:
    """Periods whose collection delay is over; every second one is announced already."""
    customers = [f"c{place:03}" for place in range(PERIODS)]
    for start in range(0, PERIODS, AT_ONCE):
        await asyncio.gather(*(world.subscribe(one) for one in customers[start : start + AT_ONCE]))
    rows = await world.fetch(
        "SELECT customer_id, period_id FROM billing_periods WHERE usage_end = :end", end=FEBRUARY
    )
    periods: dict[str, UUID] = {customer: period_id for customer, period_id in rows}
    groups = {
        group.customer_id: group for group in await announcing.load_due_groups(world.worker, DUE)
    }
    for customer in customers[::2]:
        assert await announcing.announce(world.worker, [groups[customer]], DUE)
    await world.catalogs.load_customers(world.worker, {(TENANT, one) for one in customers})
    return [Billing(one, periods[one], groups[one]) for one in customers]


async def test_what_is_folded_while_its_period_is_closed_is_never_lost(
    world: World, billings: Sequence[Billing]
) -> None:
    for start in range(0, PERIODS, AT_ONCE):
        await race(world, billings[start : start + AT_ONCE])
    announced = await late_versions(world)
    in_the_close, late, lost = 0, 0, []
    for one in billings:
        closed = await world.close(one.period_id, DUE)
        if closed.amount.amount_minor == 1:
            in_the_close += 1
        elif announced.get(str(one.period_id), 0) > closed.period.late_version:
            late += 1
            adjustment = await world.adjust(one.period_id, 1)
            assert adjustment.amount.amount_minor == 1
        else:
            lost.append(one.customer)
    assert not lost, f"{len(lost)} of {PERIODS} periods lost usage"
    assert in_the_close and late, "it was no race"


async def race(world: World, billings: Sequence[Billing]) -> None:
    """Fold an event into each period, while each is announced and closed."""
    barrier = asyncio.Barrier(len(billings) + 1)
    piece = world.slice(*(an_event(one.customer, NOON) for one in billings))

    async def fold() -> None:
        await barrier.wait()
        await world.fold_slice(piece)

    async def close(billing: Billing) -> None:
        await barrier.wait()
        await announcing.announce(world.worker, [billing.group], DUE)
        await world.close(billing.period_id, DUE)

    await asyncio.gather(fold(), *(close(one) for one in billings))


async def late_versions(world: World) -> dict[str, int]:
    """Return the newest version that was announced of each period after its close."""
    rows = await world.fetch("SELECT payload FROM outbox WHERE subject LIKE '%PeriodUsageChanged'")
    facts = [events_pb2.PeriodUsageChanged.FromString(payload) for (payload,) in rows]
    newest: dict[str, int] = {}
    for fact in facts:
        if fact.closed:
            newest[fact.period_id] = max(fact.late_version, newest.get(fact.period_id, 0))
    return newest
