"""Filters: which bucket of a charge an event's usage goes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ANY = "*"  # As the only value of a filter: every value but a missing one.


@dataclass(frozen=True, slots=True)
class DimensionFilter:
    """Matches when the dimension `key` has one of `values`."""

    key: str
    values: frozenset[str]

    def matches(self, value: str) -> bool:
        """Tell whether `value` is one of those named; "" stands for missing and never is."""
        return bool(value) and (value in self.values or ANY in self.values)

    def within(self, other: DimensionFilter) -> bool:
        """Tell whether `other` matches every value that this filter matches."""
        return ANY in other.values or self.values <= other.values


def choose_bucket(
    buckets: Sequence[Sequence[DimensionFilter]], dimensions: Mapping[str, str]
) -> int | None:
    """Return the place of the bucket for usage with these dimension values; None: the default.

    Of the buckets whose filters all match, it is the one with most keys; of those one that is
    narrower than another (aws before {aws, gcp}); of those the first.
    """
    matching = [
        place
        for place, filters in enumerate(buckets)
        if all(each.matches(dimensions.get(each.key, "")) for each in filters)
    ]
    if not matching:
        return None
    most = max(len(buckets[place]) for place in matching)
    longest = [place for place in matching if len(buckets[place]) == most]
    for place in longest:
        rivals = (buckets[other] for other in longest if other != place)
        if not any(narrower(rival, buckets[place]) for rival in rivals):
            return place
    raise AssertionError("being narrower is a strict order")


def narrower(filters: Sequence[DimensionFilter], other: Sequence[DimensionFilter]) -> bool:
    """Tell whether `filters` name the keys of `other`, and strictly fewer values."""
    by_key = {each.key: each for each in other}
    if by_key.keys() != {each.key for each in filters}:
        return False
    inside = all(each.within(by_key[each.key]) for each in filters)
    return inside and not all(by_key[each.key].within(each) for each in filters)
