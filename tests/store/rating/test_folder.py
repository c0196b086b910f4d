"""The folder's loop: slices in order, whatever NATS does; one that is broken stops its lane."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import pytest
import zstandard

from libs.errors import Refused
from libs.tenant import Tenant
from services.ingest.domain.event import Event, LoggedEvent
from services.ingest.store.slice_content import pack_content
from services.rating.domain.event import ShardHead, micros
from services.rating.events import IngestLog
from services.rating.loops import portions
from services.rating.loops.folder import STOPPED, Folder
from services.rating.operations.log import Watermark
from services.rating.store.applied import Lane
from tally.ingest.v1 import events_pb2, segment_pb2
from tests.store.rating.conftest import JANUARY, TENANT, World, instant
from tests.unit.ingest.events import columns_of

NOON = instant("2024-01-10 12:00")
BROKEN = zstandard.compress(segment_pb2.SliceContent(format=99).SerializeToString())


@dataclass
class Peer(IngestLog):
    """Stands in for the ingest service: a log of two partitions."""

    log: dict[Lane, list[segment_pb2.Slice]] = field(
        default_factory=lambda: {Lane(0, 0): [], Lane(0, 1): []}
    )
    streamed: list[tuple[Lane, int]] = field(default_factory=list)
    trimmed: dict[Lane, int] = field(default_factory=dict)
    number: int = 0

    def seal(
        self, partition: int = 0, *, customer: str = "acme", content: bytes | None = None
    ) -> segment_pb2.Slice:
        """Add a segment with one event for `partition`."""
        self.number += 1
        slices = self.log[Lane(0, partition)]
        event = Event(
            id=str(self.number),
            source="",
            type="calls",
            time=micros(NOON),
            customer_id=customer,
            subscription_id="",
            properties={},
            amount=None,
            hold_id="",
        )
        logged = LoggedEvent(Tenant(TENANT), 0, event, micros(NOON))
        slices.append(
            segment_pb2.Slice(
                shard=0,
                partition=partition,
                number=self.number,
                previous_number=slices[-1].number if slices else 0,
                event_count=1,
                content=pack_content(columns_of([logged])) if content is None else content,
            )
        )
        return slices[-1]

    async def heads(self) -> Sequence[ShardHead]:
        newest = (slices[-1].number if slices else 0 for slices in self.log.values())
        return [ShardHead(0, JANUARY, tuple(newest))]

    async def slices(
        self, lane: Lane, *, after: int, corrections_only: bool = False
    ) -> AsyncGenerator[segment_pb2.Slice, None]:
        self.streamed.append((lane, after))
        if after < self.trimmed.get(lane, 0):
            raise Refused("slices are no longer in the log", reason="LOG_TRIMMED")
        for piece in self.log[lane]:
            if piece.number > after:
                yield piece


@dataclass
class Message:
    """What NATS brings."""

    data: bytes


def arriving(piece: segment_pb2.Slice) -> Message:
    return Message(events_pb2.SegmentSealed(slice=piece).SerializeToString())


def a_folder(world: World, peer: Peer) -> Folder:
    return Folder(
        world.worker, peer, partitions=None, folded=asyncio.Event(), corrected=lambda: None
    )


async def drained(folder: Folder) -> None:
    """Step until there is nothing to do, heads included."""
    folder.ask()
    while await folder.step():
        folder.ask()


async def events_in_cells(world: World) -> int:
    rows = await world.fetch("SELECT coalesce(sum(event_count), 0)::int FROM cells")
    found: int = rows[0][0]
    return found


async def test_what_nats_brings_is_folded_without_asking_for_it(world: World) -> None:
    await world.subscribe("acme")
    peer = Peer()
    folder = a_folder(world, peer)
    await drained(folder)
    for _ in range(3):
        await folder._arrive(arriving(peer.seal()))  # type: ignore[arg-type]
    await folder.step()
    assert await events_in_cells(world) == 3
    assert not peer.streamed


async def test_a_gap_is_streamed_and_a_repeat_skipped(world: World) -> None:
    await world.subscribe("acme")
    peer = Peer()
    folder = a_folder(world, peer)
    await drained(folder)
    first, _, third = (peer.seal() for _ in range(3))
    for piece in (third, first, first):
        await folder._arrive(arriving(piece))  # type: ignore[arg-type]
    await folder.step()
    await folder._arrive(arriving(first))  # type: ignore[arg-type]
    await drained(folder)
    assert await events_in_cells(world) == 3
    assert peer.streamed == [(Lane(0, 0), 1)]


async def test_a_slice_too_large_for_nats_is_streamed(world: World) -> None:
    await world.subscribe("acme")
    peer = Peer()
    folder = a_folder(world, peer)
    await drained(folder)
    bare = segment_pb2.Slice()
    bare.CopyFrom(peer.seal())
    bare.content = b""
    await folder._arrive(arriving(bare))  # type: ignore[arg-type]
    await folder.step()
    assert await events_in_cells(world) == 1


async def test_a_lost_tail_shows_in_the_heads_and_a_restart_goes_on(world: World) -> None:
    await world.subscribe("acme")
    peer = Peer()
    peer.seal()
    peer.seal(partition=1)
    await drained(a_folder(world, peer))
    peer.seal()
    await drained(a_folder(world, peer))
    assert await events_in_cells(world) == 3
    assert dict(await world.positions()) == {Lane(0, 0): 3, Lane(0, 1): 2}


async def test_a_lost_tail_is_found_while_another_lane_never_rests(world: World) -> None:
    await world.subscribe("acme")
    peer = Peer()
    folder = a_folder(world, peer)
    await drained(folder)
    lost = peer.seal(partition=1)
    for _ in range(2):
        await folder._arrive(arriving(peer.seal()))  # type: ignore[arg-type]
        folder.ask()
        await folder.step()
    assert (await world.positions())[Lane(0, 1)] == lost.number


@pytest.fixture(params=[1, portions.PORTION_EVENTS])
def in_portions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fold slice by slice, each in a transaction of its own, or all of them at once."""
    monkeypatch.setattr(portions, "PORTION_EVENTS", request.param)


@pytest.mark.usefixtures("in_portions")
async def test_a_slice_that_cannot_be_read_stops_its_lane_and_no_other(world: World) -> None:
    await world.subscribe("acme")
    peer = Peer()
    peer.seal()
    peer.seal(content=BROKEN)
    peer.seal()
    peer.seal(partition=1)
    await drained(a_folder(world, peer))
    assert dict(await world.positions()) == {Lane(0, 0): 1, Lane(0, 1): 4}
    assert await events_in_cells(world) == 2


async def test_slices_that_were_dropped_stop_their_lane_and_no_other(world: World) -> None:
    await world.subscribe("acme")
    peer = Peer()
    peer.seal()
    await drained(a_folder(world, peer))
    peer.seal()
    peer.seal()
    peer.seal(partition=1)
    peer.trimmed[Lane(0, 0)] = 2
    STOPPED.labels(0, 0).set(0)
    folder = a_folder(world, peer)
    await drained(folder)
    assert dict(await world.positions()) == {Lane(0, 0): 1, Lane(0, 1): 4}
    assert await events_in_cells(world) == 2
    assert STOPPED.labels(0, 0)._value.get() == 1


@pytest.mark.usefixtures("in_portions")
async def test_a_slice_that_cannot_be_folded_stops_its_lane_behind_those_that_can(
    world: World,
) -> None:
    await world.subscribe("acme")
    peer = Peer()
    peer.seal()
    peer.seal(customer="a\0cme")  # No database takes it; ingest refuses such events.
    peer.seal()
    peer.seal(partition=1)
    await drained(a_folder(world, peer))
    assert dict(await world.positions()) == {Lane(0, 0): 1, Lane(0, 1): 4}
    assert await events_in_cells(world) == 2


async def test_the_watermark_waits_for_one_answer_and_not_for_ever_newer_ones(
    world: World,
) -> None:
    await world.subscribe("acme")
    peer = Peer()
    folder = a_folder(world, peer)
    peer.seal()
    watermark = Watermark(world.worker, peer)
    assert await watermark.load(JANUARY) is None
    await drained(folder)
    peer.seal()
    assert await watermark.load(JANUARY) == JANUARY
