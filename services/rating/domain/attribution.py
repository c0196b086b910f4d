"""Attribution: which subscription's usage an event is.

An event counts once; for meters that are fanned out, once for each subscription.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.period import local_day
from services.rating.domain.event import UsageEvent
from services.rating.domain.meter import Meter

TIME_MIN = -(2**63)


@dataclass(frozen=True, slots=True)
class Term:
    """A leg of a subscription's term, on one plan and zone, from `start` to before `end`.

    Without an end it is open. Events in it count on local days from `first_day` on, an ordinal.
    Legs of one term share its id, and its cells: `continues` if one lies before, `continued` if one
    follows. Times are microseconds since 1970 in UTC. `event_types` are those that its plan charges
    by meters that count an event once, `fanned_types` by meters that are fanned out;
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
    fanned_types: frozenset[str] = frozenset()
    # It ends where the subscription starts: what earlier events that name it leave is carried on.
    early: bool = False
    instant_types: frozenset[str] = frozenset()
    watched: bool = False  # Who changes its usage leaves a note of that.
    first_day: int = 1
    continues: bool = False
    continued: bool = False

    def day(self, instant: datetime) -> date:
        """Return the day on which an event at `instant` counts."""
        return max(local_day(instant, self.zone), date.fromordinal(self.first_day))

    def is_active(self, time: int) -> bool:
        """Tell whether it is active at `time`."""
        return self.start <= time and (self.end is None or time < self.end)


@dataclass(frozen=True, slots=True)
class Catalog:
    """What attribution and folding need to know of one tenant, as of `version`."""

    version: int
    meters: Mapping[str, Sequence[Meter]]  # By the event type they count.
    terms: Mapping[str, Sequence[Term]]  # By customer.


class Stretch(NamedTuple):
    """From `start` on, up to the next stretch, `term` takes the events in question, if any does.

    `ambiguous` tells whether others could have taken them. For meters that are fanned out they
    count for `others`, too.
    """

    start: int
    term: Term | None
    ambiguous: bool
    others: tuple[Term, ...] = ()

    def takers(self, meter: Meter) -> tuple[Term, ...]:
        """Return all terms for which `meter`, of the type in question, counts the events."""
        own = () if self.term is None else (self.term,)
        return (*own, *self.others) if meter.fan_out else own


def linked(terms: Iterable[Term]) -> list[Term]:
    """Return the legs `terms`, by start, each marked if its term goes on before or behind it."""
    found = sorted(terms, key=lambda term: (term.start, term.term_id))
    first: dict[UUID, int] = {}
    last: dict[UUID, int] = {}
    for place, term in enumerate(found):
        first.setdefault(term.term_id, place)
        last[term.term_id] = place
    if len(first) == len(found):
        return found
    return [
        replace(term, continues=place > first[term.term_id], continued=place < last[term.term_id])
        for place, term in enumerate(found)
    ]


def attribute(
    catalog: Catalog, *, customer_id: str, subscription_id: str, event_type: str
) -> list[Stretch]:
    """Return who takes such events, through all time: the first stretch begins before any.

    An event that names a subscription counts for that one; where none of its terms takes it, for
    the early one that ends next, whose plan charges a recurring meter on it. Otherwise, of several
    whose plans charge a meter that counts it once, the one marked `default_for_usage` takes it,
    else the one that started first. If all meters that they charge are fanned out, this is one of
    them.
    """
    terms = [
        term
        for term in catalog.terms.get(customer_id, ())
        if (event_type in term.event_types or event_type in term.fanned_types)
        and (not subscription_id or term.subscription_id == subscription_id)
        and (subscription_id or not term.early)
    ]
    changes = {term.start for term in terms} | {term.end for term in terms if term.end is not None}
    asked = _Asked(event_type, named=bool(subscription_id))
    return [_stretch(start, _active(terms, start), asked) for start in (TIME_MIN, *sorted(changes))]


def _active(terms: Iterable[Term], time: int) -> list[Term]:
    """Return the terms that are active at `time`, early ones only where no other is."""
    active = [term for term in terms if term.is_active(time)]
    own = [term for term in active if not term.early]
    return own or sorted(active, key=lambda term: (term.subscription_start, term.term_id))[:1]


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


@dataclass(frozen=True, slots=True)
class _Asked:
    """Of which type events are, and whether they name their subscription."""

    event_type: str
    named: bool


def _stretch(start: int, terms: Sequence[Term], asked: _Asked) -> Stretch:
    if len(terms) < 2:
        return Stretch(start, terms[0] if terms else None, False)
    rivals = [term for term in terms if asked.event_type in term.event_types]
    chosen = min(
        rivals or terms,
        key=lambda term: (not term.default_for_usage, term.subscription_start, term.term_id),
    )
    others = (term for term in terms if asked.event_type in term.fanned_types)
    also = () if asked.named else tuple(term for term in others if term is not chosen)
    return Stretch(start, chosen, len(rivals) > 1, also)
