"""Attribution: which subscription's usage an event is. An event counts once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from services.rating.domain.event import UsageEvent
from services.rating.domain.meter import Meter

TIME_MIN = -(2**63)


@dataclass(frozen=True, slots=True)
class Term:
    """A subscription's stretch on one plan and zone, from `start` to before `end` (None: open).

    Times are microseconds since 1970 in UTC. `event_types` are those that its plan charges,
    `instant_types` those of them that it prices as they come.
    """

    term_id: UUID
    subscription_id: str
    subscription_start: int
    default_for_usage: bool
    zone: ZoneInfo
    start: int
    end: int | None
    event_types: frozenset[str]
    instant_types: frozenset[str] = frozenset()

    def is_active(self, time: int) -> bool:
        """Tell whether it is active at `time`."""
        return self.start <= time and (self.end is None or time < self.end)


@dataclass(frozen=True, slots=True)
class Catalog:
    """What attribution and folding need to know of one tenant, as of `version`."""

    version: int
    meters: Mapping[str, Sequence[Meter]]  # By the event type they count.
    terms: Mapping[str, Sequence[Term]]  # By customer.


@dataclass(frozen=True, slots=True)
class Stretch:
    """From `start` on, up to the next stretch, `term` takes the events in question, if any does.

    `ambiguous` tells whether others could have taken them.
    """

    start: int
    term: Term | None
    ambiguous: bool


def attribute(
    catalog: Catalog, *, customer_id: str, subscription_id: str, event_type: str
) -> list[Stretch]:
    """Return who takes such events, through all time: the first stretch begins before any.

    An event that names a subscription counts for that one. Otherwise, of several, the one marked
    `default_for_usage` takes it, else the one that started first.
    """
    terms = [
        term
        for term in catalog.terms.get(customer_id, ())
        if event_type in term.event_types
        and (not subscription_id or term.subscription_id == subscription_id)
    ]
    changes = {term.start for term in terms} | {term.end for term in terms if term.end is not None}
    return [
        _stretch(start, [term for term in terms if term.is_active(start)])
        for start in (TIME_MIN, *sorted(changes))
    ]


def who_takes(events: Iterable[UsageEvent], catalog: Catalog) -> Iterator[Stretch]:
    """Give the stretch that holds each of `events`: who takes it, and whether others could have."""
    known: dict[tuple[str, str, str], list[Stretch]] = {}  # Of events that differ in time only.
    for event in events:
        whose = (event.customer_id, event.subscription_id, event.type)
        if whose not in known:
            known[whose] = attribute(
                catalog,
                customer_id=event.customer_id,
                subscription_id=event.subscription_id,
                event_type=event.type,
            )
        at = bisect_right(known[whose], event.moment.time, key=lambda stretch: stretch.start)
        yield known[whose][at - 1]


def _stretch(start: int, terms: Sequence[Term]) -> Stretch:
    if len(terms) < 2:
        return Stretch(start, terms[0] if terms else None, False)
    chosen = min(
        terms,
        key=lambda term: (not term.default_for_usage, term.subscription_start, term.term_id),
    )
    return Stretch(start, chosen, True)
