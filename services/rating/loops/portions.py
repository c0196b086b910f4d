"""What the folder takes at once: slices in portions that memory can hold as cells."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from math import ceil

from services.rating.domain.columns import Slice
from services.rating.events import read_slice
from services.rating.store.applied import Lane
from tally.ingest.v1 import segment_pb2

# In one transaction: memory holds the columns and the cells of so many.
PORTION_EVENTS = 250_000


def portions_of(batch: Sequence[segment_pb2.Slice]) -> list[list[segment_pb2.Slice]]:
    """Part slices into those that are folded at once, each lane's in its order.

    Lanes are kept together as far as they may be: those of a lane are of the same customers.
    """
    portions: list[list[segment_pb2.Slice]] = []
    room = 0
    for _, of_lane in groupby(sorted(batch, key=lane_of), key=lane_of):
        pieces = list(of_lane)
        count = sum(piece.event_count for piece in pieces)
        parts = ceil(count / PORTION_EVENTS)  # Of about one size: a small one costs as many rows.
        if count > room:
            room = 0
        for piece in pieces:
            if room <= 0:
                portions.append([])
                room = PORTION_EVENTS if parts < 2 else ceil(count / parts)
            portions[-1].append(piece)
            room -= piece.event_count
    return portions


def lane_of(piece: segment_pb2.Slice) -> Lane:
    """Return the lane of a slice."""
    return Lane(piece.shard, piece.partition)


def read_all(
    messages: Sequence[segment_pb2.Slice],
) -> tuple[list[Slice], dict[Lane, tuple[int, Exception]]]:
    """Return what can be read, and of each lane the number from which on it cannot, with why."""
    readable: list[Slice] = []
    broken: dict[Lane, tuple[int, Exception]] = {}
    for message in messages:
        lane = lane_of(message)
        if lane in broken:
            continue
        try:
            readable.append(read_slice(message))
        except Exception as error:
            broken[lane] = message.number, error
    return readable, broken
