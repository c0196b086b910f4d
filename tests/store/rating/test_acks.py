"""A read that names a write waits until usage has it, and no longer."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Callable, Sequence

import pytest

from libs import db
from libs.errors import FieldInvalid
from libs.partition import partition_of
from services.rating.domain.event import ShardHead
from services.rating.operations.acks import Ack, Acks, Positions, UsageNotYetApplied, parse_ack
from services.rating.operations.log import Log
from services.rating.operations.reattributing import reattribute_next
from services.rating.store.applied import Lane, move, open_lanes
from tests.store.rating.conftest import JANUARY, LANE, TENANT, World, an_event, instant

LATE_SECONDS, SOON_SECONDS = 0.05, 20.0


def acks(world: World, *, log: Log | None = None, ask: Callable[[], None] = lambda: None) -> Acks:
    return Acks(world.app, Positions(world.worker), log or world, ask)


def token(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def test_a_token_names_a_segment() -> None:
    assert parse_ack(token(b"0:12")) == Ack(0, 12)
    assert parse_ack("") is None


MADE_UP = ["%%%", "ä", "MDox\n", "A"]
MADE_UP += [token(text) for text in (b"0:", b"-1:2", b"0:1:2", b"0:" + b"9" * 19)]


@pytest.mark.parametrize("made_up", MADE_UP)
def test_what_ingest_cannot_have_made_is_refused(made_up: str) -> None:
    with pytest.raises(FieldInvalid, match="ack_token: was not made by RecordEvents"):
        parse_ack(made_up)


async def test_a_read_waits_until_its_write_is_usage(world: World) -> None:
    await world.subscribe("acme")
    piece = world.slice(an_event("acme", JANUARY))
    asked = asyncio.Event()
    waiting = asyncio.create_task(
        acks(world, ask=asked.set).wait(TENANT, "acme", Ack(0, 1), seconds=SOON_SECONDS)
    )
    with pytest.raises(UsageNotYetApplied, match="in segment 1 of the log, usage has those up to"):
        await acks(world).wait(TENANT, "acme", Ack(0, 1), seconds=LATE_SECONDS)
    await asyncio.wait_for(
        asked.wait(), SOON_SECONDS
    )  # NATS may have lost the slice: the folder looks at the log.
    assert not waiting.done()
    await world.fold_slice(piece)
    started = time.monotonic()
    await waiting
    assert time.monotonic() - started < SOON_SECONDS / 4
    await acks(world).wait(TENANT, "acme", Ack(0, 1), seconds=0)
    await acks(world).wait(TENANT, "acme", Ack(0, 0), seconds=0)


@pytest.mark.parametrize("ack", [Ack(0, 2), Ack(1, 1)])
async def test_a_segment_that_is_not_there_is_refused(world: World, ack: Ack) -> None:
    await world.fold(an_event("acme", JANUARY))
    with pytest.raises(FieldInvalid, match="ack_token: names a place that is not in the log"):
        await acks(world).wait(TENANT, "acme", ack, seconds=SOON_SECONDS)


class Heads(World):
    """A log of two partitions, whose newest slices are in segments 3 and 8."""

    async def heads(self) -> Sequence[ShardHead]:
        return [ShardHead(0, JANUARY, (3, 8))]


async def test_only_the_slices_of_the_customers_partition_are_waited_for(world: World) -> None:
    """Partition 0 is applied to its head, 3; partition 1 up to 5 of 8."""
    async with db.begin_worker(world.worker) as conn:
        await open_lanes(conn, [LANE, Lane(0, 1)])
        await move(conn, LANE, old=0, new=3)
        await move(conn, Lane(0, 1), old=0, new=5)
    names = [f"c{n}" for n in range(20)]
    first, second = (
        next(name for name in names if partition_of(TENANT, name, 2) == part) for part in (0, 1)
    )
    reads = acks(world, log=Heads(world.app, world.worker))
    await reads.wait(TENANT, first, Ack(0, 7), seconds=0)
    await reads.wait(TENANT, second, Ack(0, 5), seconds=0)
    with pytest.raises(UsageNotYetApplied):
        await reads.wait(TENANT, second, Ack(0, 6), seconds=LATE_SECONDS)


async def test_a_read_waits_until_usage_is_counted_again(world: World) -> None:
    """The event was folded before its subscription was there, which takes it from then on."""
    await world.fold(an_event("acme", instant("2024-01-02")))
    await world.subscribe("acme", now=instant("2024-01-03"))
    with pytest.raises(UsageNotYetApplied):
        await acks(world).wait(TENANT, "acme", Ack(0, 1), seconds=LATE_SECONDS)
    assert await reattribute_next(world.worker, world)
    await acks(world).wait(TENANT, "acme", Ack(0, 1), seconds=0)
