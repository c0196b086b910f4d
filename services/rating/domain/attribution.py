"""Attribution: which subscription's usage an event is. An event counts once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from services.rating.domain.event import UsageEvent
from services.rating.domain.meter import Meter


@dataclass(frozen=True, slots=True)
class Term:
    """A subscription's stretch on one plan and zone, from `start` to before `end` (None: open).

    Times are microseconds since 1970 in UTC. `event_types` are those that its plan charges.
    """

    term_id: UUID
    subscription_id: str
    subscription_start: int
    default_for_usage: bool
    zone: ZoneInfo
    start: int
    end: int | None
    event_types: frozenset[str]

    def counts(self, event: UsageEvent) -> bool:
        """Tell whether the term is active at the event's time and its plan charges its type."""
        time = event.moment.time
        active = self.start <= time and (self.end is None or time < self.end)
        return active and event.type in self.event_types


@dataclass(frozen=True, slots=True)
class Catalog:
    """What attribution and folding need to know of one tenant, as of `version`."""

    version: int
    meters: Mapping[str, Sequence[Meter]]  # By the event type they count.
    terms: Mapping[str, Sequence[Term]]  # By customer.


def attribute(event: UsageEvent, catalog: Catalog) -> tuple[Term | None, bool]:
    """Return the term that `event` counts for, if any, and whether others could have taken it.

    An event that names a subscription counts for that one. Otherwise, of several, the one marked
    `default_for_usage` takes it, else the one that started first.
    """
    terms = [term for term in catalog.terms.get(event.customer_id, ()) if term.counts(event)]
    if event.subscription_id:
        terms = [term for term in terms if term.subscription_id == event.subscription_id]
    if len(terms) < 2:
        return (terms[0] if terms else None), False
    chosen = min(
        terms,
        key=lambda term: (not term.default_for_usage, term.subscription_start, term.term_id),
    )
    return chosen, True
