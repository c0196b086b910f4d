"""A lane of the log with its corrections: events count as what they were corrected to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from services.rating.domain.columns import Slice, columns_of, without
from services.rating.domain.event import Correction, UsageEvent


class Corrected:
    """The events of a lane that `corrections`, all of the lane's in their order, change."""

    def __init__(self, corrections: Sequence[Correction]) -> None:
        self.count = len(corrections)
        now = {each.at: each.added for each in corrections}  # The last one of each counts.
        self._hidden: dict[tuple[int, int], set[int]] = defaultdict(set)
        self._added: dict[tuple[int, int], list[UsageEvent]] = defaultdict(list)
        for at, event in sorted(now.items(), key=lambda item: item[0]):
            self._hidden[at.shard, at.number].add(at.place)
            if event is not None:
                self._added[at.shard, at.number].append(event)

    def standing(self, piece: Slice) -> Slice:
        """Return `piece` without the events that were corrected."""
        hidden = self._hidden.get((piece.shard, piece.number))
        return piece if not hidden else replace(piece, columns=without(piece.columns, hidden))

    def slices(self, partition: int) -> list[Slice]:
        """Return what the corrected events are now, in slices numbered as they were recorded."""
        return [
            Slice(shard, partition, number, 0, "", columns_of(events))
            for (shard, number), events in sorted(self._added.items())
        ]
