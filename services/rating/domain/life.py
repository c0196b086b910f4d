"""The life of a subscription: its terms, each of one or more legs, and what each is billed for.

A term is the time on a plan without a cut; a change of plan ends one and begins another. Its legs
differ in zone or plan version, or lie apart by a pause. Days of a term never go back: where a
change of zone would repeat one, events count on the day that had begun.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import groupby, pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.period import DayPeriod, Period, local_day, local_midnight
from services.rating.domain.calendar import DAY, LAST_YEAR, Calendar, Stretch
from services.rating.domain.subscription import Subscription, SubscriptionStatus, status_at

INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch of a term in one zone and on one plan version, from `start` to before `end`.

    No event in it counts on a day before `first_day`. `default_for_usage`: of those that several
    subscriptions could take, it takes them.
    """

    term_id: UUID
    plan_version_id: UUID
    time_zone: str
    start: datetime
    end: datetime | None
    first_day: date
    default_for_usage: bool = False

    @property
    def zone(self) -> ZoneInfo:
        """The zone of its days."""
        return ZoneInfo(self.time_zone)

    def day(self, instant: datetime) -> date:
        """Return the day on which an event at `instant` counts."""
        return max(local_day(instant, self.zone), self.first_day)


@dataclass(frozen=True, slots=True)
class Term:
    """The legs of a term, which ends at `end` (None: open).

    `given`: another term begins at its end, and has the day of the change.
    """

    legs: tuple[Leg, ...]
    end: datetime | None
    given: bool

    @property
    def term_id(self) -> UUID:
        """Its id, by which cells and periods are its own."""
        return self.legs[0].term_id

    @property
    def start(self) -> datetime:
        """Its first instant."""
        return self.legs[0].start

    def leg_at(self, instant: datetime) -> Leg:
        """Return the leg that holds `instant`, in a pause the one before it."""
        return [leg for leg in self.legs if leg.start <= max(instant, self.start)][-1]

    def begin_of(self, day: date) -> datetime:
        """Return the first instant that does not count on a day before `day`.

        At the end of the term at the latest. In a pause the zone before it goes on.
        """
        for leg, following in zip(self.legs, [*self.legs[1:], None], strict=True):
            until = self.end if following is None else following.start
            begins = leg.start
            if leg.first_day < day:
                begins = max(leg.start, local_midnight(day, leg.zone))
            if until is None or begins < until:
                return begins
        assert self.end is not None, "only what ends has a last instant"
        return self.end


def terms_of(legs: Iterable[Leg], end: datetime | None) -> list[Term]:
    """Return the terms of a life that ends at `end`; `legs` are in their order."""
    found = [tuple(group) for _, group in groupby(legs, key=lambda leg: leg.term_id)]
    terms = [Term(one, following[0].start, given=True) for one, following in pairwise(found)]
    return [*terms, Term(found[-1], end, given=False)]


def term_stretches(
    term: Term, calendar: Calendar, *, ended_by: datetime | None = None
) -> Iterator[Stretch]:
    """Give the stretches of a term, in order.

    The day on which it ends is billed, unless it is the first instant of a period or the day is
    given to another term. Of a pause the days on which no instant is active are paused; with
    `ended_by` only those of pauses that were over by then, or that a stretch begins in.
    """
    first_day = term.legs[0].first_day
    whole, start = calendar.whole(first_day), term.start
    while whole.first_day.year <= LAST_YEAR:
        bound = term.begin_of(whole.end_day)
        last = term.end is not None and bound >= term.end
        days = DayPeriod(max(first_day, whole.first_day), whole.end_day)
        usage_end = whole.end_day
        if last and term.end is not None and begins_before(term, whole.end_day):
            days, usage_end = _cut(term, days)
        usage = Period(start, bound)
        paused = _paused(term, days, usage, ended_by)
        yield Stretch(whole, days, usage, usage_end, paused)
        if last:
            return
        start, whole = bound, calendar.whole(whole.end_day)


def begins_before(term: Term, day: date) -> bool:
    """Tell whether the end of a term comes before `day` would begin."""
    assert term.end is not None
    return local_midnight(day, term.legs[-1].zone) > term.end


def _cut(term: Term, days: DayPeriod) -> tuple[DayPeriod, date]:
    """Return which of `days` are billed of a term that ends on one, and the end of usage."""
    assert term.end is not None
    leg = term.legs[-1]
    last_day = leg.day(term.end)
    fee_end = last_day if term.given else last_day + DAY
    used = term.end > term.start and leg.day(term.end - INSTANT) + DAY
    fee_days = DayPeriod(days.first_day, min(max(fee_end, days.first_day), days.end_day))
    usage_end = max(fee_days.end_day, used or fee_days.end_day)
    return fee_days, min(usage_end, days.end_day)


def _paused(
    term: Term, days: DayPeriod, usage: Period, ended_by: datetime | None
) -> tuple[DayPeriod, ...]:
    found = []
    for leg, following in zip(term.legs, [*term.legs[1:], None], strict=True):
        if leg.end is None or leg.end == (term.end if following is None else following.start):
            continue
        over = term.end if following is None else following.start
        if ended_by is not None and usage.start < leg.end and (over is None or over > ended_by):
            continue
        first = leg.day(max(leg.end - INSTANT, leg.start)) + DAY
        end = days.end_day if following is None else following.first_day
        first, end = max(first, days.first_day), min(end, days.end_day)
        if first < end:
            found.append(DayPeriod(first, end))
    return tuple(found)


def leg_after(leg: Leg, at: datetime, *, time_zone: str, plan_version_id: UUID) -> Leg:
    """Return the leg of the same term that follows `leg` at `at`; days do not go back."""
    return replace(
        leg,
        plan_version_id=plan_version_id,
        time_zone=time_zone,
        start=at,
        end=None,
        first_day=max(leg.day(at), local_day(at, ZoneInfo(time_zone))),
    )


def life_status(
    subscription: Subscription, legs: Iterable[Leg], now: datetime
) -> SubscriptionStatus:
    """Return where a subscription with `legs` stands at `now`; what was canceled stays so."""
    if subscription.status is SubscriptionStatus.CANCELED:
        return SubscriptionStatus.CANCELED
    status = status_at(subscription.start, subscription.end, now)
    if status is not SubscriptionStatus.ACTIVE:
        return status
    active = any(leg.start <= now and (leg.end is None or now < leg.end) for leg in legs)
    return status if active else SubscriptionStatus.PAUSED


def first_leg(subscription: Subscription, term_id: UUID) -> Leg:
    """Return the one leg of a subscription on its plan version, in its zone."""
    return Leg(
        term_id,
        subscription.plan_version_id,
        subscription.time_zone,
        subscription.start,
        subscription.end,
        local_day(subscription.start, ZoneInfo(subscription.time_zone)),
        subscription.default_for_usage,
    )


def next_change(legs: Iterable[Leg], now: datetime) -> datetime | None:
    """Return when the next of `legs` but the first starts, after `now`; None: none does."""
    first, *others = legs
    return min((leg.start for leg in others if leg.start > now), default=None)


def ended_legs(legs: Sequence[Leg], at: datetime) -> list[Leg]:
    """Return the legs of a life that ends at `at`: an empty one, if it ends as it starts."""
    return cut_legs(legs, at) or [replace(legs[0], end=at)]


def cut_legs(legs: Sequence[Leg], at: datetime) -> list[Leg]:
    """Return what is left of `legs` before `at`."""
    return [
        leg if leg.end is not None and leg.end <= at else replace(leg, end=at)
        for leg in legs
        if leg.start < at
    ]
