"""The billing periods of a whole life: what reconciling compares the stored ones with."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.period import local_midnight
from services.rating.domain.calendar import Stretch
from services.rating.domain.life import Leg, Term, term_stretches, terms_of
from services.rating.domain.monthly_usage import months_of
from services.rating.domain.period import PeriodKind, PlannedPeriod, planned_periods
from services.rating.domain.plan import PlanVersion, Timing
from services.rating.domain.subscription import Subscription, SubscriptionStatus
from services.rating.domain.trial import Trial, trial_of

NOTHING: frozenset[str] = frozenset()
INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Life:
    """A subscription with all its legs, in their order, and the plan versions of these, by id.

    `with_seats` are the versions whose periods renew what they carry. Trials are counted from the
    `first_start` of the subscription's id, all its lives included; None: none has one.
    """

    subscription: Subscription
    legs: Sequence[Leg]
    versions: Mapping[UUID, PlanVersion]
    with_seats: Collection[UUID] = ()
    first_start: datetime | None = None

    def trial(self, version: PlanVersion, zone: ZoneInfo) -> Trial | None:
        """Return the trial of what is on `version`."""
        if self.first_start is None:
            return None
        return trial_of(self.first_start, version.trial_days, zone)

    @property
    def terms(self) -> list[Term]:
        """Its terms, in their order."""
        return terms_of(self.legs, self.subscription.end)


@dataclass(frozen=True, slots=True)
class LifePeriod:
    """A period of a term before it is stored, and the leg that prices it."""

    term_id: UUID
    plan_version_id: UUID
    time_zone: str
    period: PlannedPeriod
    held_codes: frozenset[str] = NOTHING


@dataclass(frozen=True, slots=True)
class PlannedLife:
    """The periods of a life up to the first stretch that starts after an instant.

    `last` is the last stretch; None: the life never started.
    """

    periods: tuple[LifePeriod, ...]
    last: Stretch | None


def plan_life(life: Life, now: datetime, *, held_codes: frozenset[str] = NOTHING) -> PlannedLife:
    """Plan the periods of `life` as known at `now`.

    `held_codes` are those that the customer's life before it has paid for. What follows the
    present stretch is known ahead, and nothing behind it.
    """
    found: list[LifePeriod] = []
    last: Stretch | None = None
    if life.subscription.status is SubscriptionStatus.CANCELED:
        return PlannedLife((), None)
    for term in life.terms:
        if last is not None and last.usage.start > now:
            break
        held = held_codes
        for stretch, credited in _stretches(life, term, now):
            found += _periods(life, term, stretch, credited, held)
            held, last = NOTHING, stretch
            if stretch.usage.start > now:
                break
        held_codes = _charged_ahead(life.versions[term.legs[-1].plan_version_id])
    return PlannedLife(tuple(found), last)


def _stretches(life: Life, term: Term, now: datetime) -> Iterator[tuple[Stretch, Stretch]]:
    """Give each stretch, and how it is for what was billed ahead: pauses count once over."""
    version = life.versions[term.legs[0].plan_version_id]
    calendar = life.subscription.calendar(version.interval)
    whole = term_stretches(term, calendar)
    return zip(whole, term_stretches(term, calendar, ended_by=now), strict=True)


def _periods(
    life: Life, term: Term, stretch: Stretch, credited: Stretch, held: frozenset[str]
) -> Iterator[LifePeriod]:
    """Give the periods of a stretch.

    What is billed ahead goes by the leg that it begins in, the rest by the one that it ends in.
    """
    first, last = term.leg_at(stretch.usage.start), term.leg_at(stretch.usage.end - INSTANT)
    whole_start = stretch.usage.start == local_midnight(stretch.whole.first_day, first.zone)
    for leg, ahead in ((first, True), (last, False)):
        version = life.versions[leg.plan_version_id]
        for period in _planned(life, term, leg, credited if ahead else stretch):
            if is_ahead(period, version) is ahead and _bills_days(period):
                yield LifePeriod(
                    term.term_id,
                    leg.plan_version_id,
                    last.time_zone,
                    period,
                    NOTHING if whole_start else held,
                )


def _planned(life: Life, term: Term, leg: Leg, stretch: Stretch) -> Iterator[PlannedPeriod]:
    """Give the periods of a stretch by the version of `leg`; months, if any, by the term's days."""
    subscription, version = life.subscription, life.versions[leg.plan_version_id]
    months = subscription.months(version)
    parts = () if months is None else months_of(stretch, months, begin_of=term.begin_of)
    for place, part in enumerate((stretch, *parts)):
        for period in planned_periods(
            [part],
            version,
            start=subscription.start,
            collection_delay=timedelta(seconds=subscription.collection_delay_s),
            renews=leg.plan_version_id in life.with_seats,
            trial=life.trial(version, leg.zone),
            billed_from=subscription.billed_from,
        ):
            is_part = months is not None and period.kind is PeriodKind.USAGE
            if is_part == (place > 0):
                yield period


def is_ahead(period: PlannedPeriod, version: PlanVersion) -> bool:
    """Tell whether a period is billed as it starts."""
    if period.kind is PeriodKind.BASE:
        return version.base_timing is Timing.IN_ADVANCE
    return period.kind is PeriodKind.FIXED


def _bills_days(period: PlannedPeriod) -> bool:
    """Tell whether a period can bill anything: fees need days, usage an instant."""
    stretch = period.stretch
    paused = sum(days.days for days in stretch.paused)
    if period.kind is PeriodKind.USAGE:
        return stretch.usage.start < stretch.usage.end or stretch.fee_days.days > 0
    return stretch.fee_days.days > paused


def _charged_ahead(version: PlanVersion) -> frozenset[str]:
    """Return the meters whose usage a version prices as it comes."""
    return frozenset(one.meter_code for one in version.charges if one.instant is not None)


def kept_whole(period: PlannedPeriod) -> PlannedPeriod:
    """Return a period that is billed ahead as if its stretch went on to the whole's end."""
    stretch = period.stretch
    days = replace(stretch.fee_days, end_day=stretch.whole.end_day)
    return replace(period, stretch=replace(stretch, fee_days=days, usage_end_day=days.end_day))
