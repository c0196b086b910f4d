"""What is folded at once: whole lanes where they fit, the slices of each in their order."""

from __future__ import annotations

from collections.abc import Sequence

from services.rating.loops.portions import PORTION_EVENTS, portions_of
from tally.ingest.v1 import segment_pb2

HALF = PORTION_EVENTS // 2


def a_slice(partition: int, number: int, events: int) -> segment_pb2.Slice:
    return segment_pb2.Slice(partition=partition, number=number, event_count=events)


def numbers(batch: Sequence[segment_pb2.Slice]) -> list[list[tuple[int, int]]]:
    return [[(one.partition, one.number) for one in portion] for portion in portions_of(batch)]


def test_few_events_of_all_lanes_are_one_portion() -> None:
    batch = [a_slice(1, 1, 5), a_slice(0, 1, 5), a_slice(1, 2, 5), a_slice(0, 3, 5)]
    assert numbers(batch) == [[(0, 1), (0, 3), (1, 1), (1, 2)]]


def test_a_lane_that_does_not_fit_beside_others_is_a_portion_of_its_own() -> None:
    batch = [a_slice(0, 1, 10), a_slice(1, 1, HALF), a_slice(1, 2, HALF), a_slice(2, 1, 10)]
    assert numbers(batch) == [[(0, 1)], [(1, 1), (1, 2)], [(2, 1)]]


def test_a_lane_too_large_is_parted_evenly_and_loses_no_slice() -> None:
    batch = [a_slice(0, number, HALF // 2) for number in range(1, 7)]
    assert numbers(batch) == [[(0, 1), (0, 2), (0, 3)], [(0, 4), (0, 5), (0, 6)]]


def test_no_slices_are_no_portions() -> None:
    assert portions_of([]) == []
