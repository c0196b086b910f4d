"""Billing periods: stretches of a subscription that are billed as one, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from libs.errors import NotFound, Refused
from libs.period import DayPeriod, Period
from services.rating.domain.calendar import Calendar, Stretch
from services.rating.domain.monthly_usage import months_of
from services.rating.domain.plan import PlanVersion, Timing
from services.rating.domain.trial import Trial, charged, due_ahead

INSTANT = timedelta(microseconds=1)


class PeriodNotFound(NotFound):
    """The tenant has no such billing period."""

    reason = "PERIOD_NOT_FOUND"


class PeriodNotDue(Refused):
    """The period has not been announced as due."""

    reason = "PERIOD_NOT_DUE"


class PeriodNotClosed(Refused):
    """The period is not closed."""

    reason = "PERIOD_NOT_CLOSED"


class AdjustmentOutOfOrder(Refused):
    """An adjustment before this one does not exist yet."""

    reason = "ADJUSTMENT_OUT_OF_ORDER"


class PeriodKind(StrEnum):
    """What a billing period bills; values are those of the contract, in lower case."""

    BASE = "base"
    USAGE = "usage"  # And fixed charges in arrears, and what a minimum commitment lacks.
    FIXED = "fixed"  # Fixed charges in advance.
    INSTANT = "instant"  # Instant fees that are billed before the end of their usage period.


class PeriodStatus(StrEnum):
    """Where a billing period stands."""

    OPEN = "open"
    DUE = "due"
    CLOSED = "closed"
    SKIPPED = "skipped"  # Never billed: the subscription was terminated without a last invoice.


@dataclass(frozen=True, slots=True)
class PlannedPeriod:
    """A billing period before it is stored; `renews_at` is when what it carries may be charged."""

    kind: PeriodKind
    stretch: Stretch
    due_at: datetime
    renews_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class BillingPeriod:
    """A billing period as stored, with what its plan and subscription say about it."""

    period_id: UUID
    kind: PeriodKind
    subscription_uid: UUID
    subscription_id: str
    customer_id: str
    term_id: UUID
    plan_version_id: UUID
    plan_code: str
    plan_name: str
    plan_version: int
    currency: str
    time_zone: str
    whole: DayPeriod
    fee_days: DayPeriod
    usage: Period
    due_at: datetime
    status: PeriodStatus
    late_version: int
    # Of meters whose carried units another plan has charged for the rest of the week or month.
    held_codes: frozenset[str] = frozenset()
    counted: DayPeriod | None = None  # The days on which usage counts; None: the fee days.
    paused: tuple[DayPeriod, ...] = ()  # Of the fee days, those on which nothing is billed.
    billing_entity_code: str = ""  # Who sells it; empty: as the customer has.

    @property
    def usage_days(self) -> DayPeriod:
        """The local days of its usage: more than the fee days if the plan changes on one."""
        return self.fee_days if self.counted is None else self.counted

    @property
    def billed_days(self) -> int:
        """How many days a base fee is due for."""
        return self.fee_days.days - sum(days.days for days in self.paused)

    def holds(self, term_id: UUID, day: date) -> bool:
        """Tell whether usage of a term on a local day is the period's."""
        days = self.usage_days
        return self.term_id == term_id and days.first_day <= day < days.end_day


def planned_periods(
    stretches: Iterable[Stretch],
    version: PlanVersion,
    *,
    start: datetime,
    collection_delay: timedelta,
    renews: bool = False,
    trial: Trial | None = None,
    months: Calendar | None = None,
    billed_from: datetime | None = None,
) -> Iterator[PlannedPeriod]:
    """Give the billing periods of `stretches` of a subscription that starts at `start`.

    Usage is due a collection delay after it ends, and so is a base fee in arrears. A base fee in
    advance is due a collection delay after its stretch starts, together with the usage before
    it; that of the first stretch is due at the start. Fixed charges are due as base fees are. Those
    in advance have a period of usage, too: after the last stretch nothing else would bill units
    that were raised within it. Where a version has seats, and `renews`, those are renewed a
    collection delay after each stretch starts; never as it starts, when it may yet come to nothing.
    A base fee has no period while it is sheltered by a `trial`; in advance the rest of the stretch
    in which that ends is due as it ends. A minimum commitment is billed with the usage. By
    `months`, if there are any, the usage of each has a period of its own. What ended by
    `billed_from` has none.
    """
    for stretch in stretches:
        if _has_passed(stretch, billed_from):
            continue
        after_end = stretch.usage.end + collection_delay
        first = stretch.usage.start == start
        ahead = start if first else stretch.usage.start + collection_delay
        paid = None if version.base_amount is None else charged(stretch, trial)
        if paid is not None:
            in_advance = version.base_timing is Timing.IN_ADVANCE
            due_at = due_ahead(stretch, trial, due_at=ahead) if in_advance else after_end
            yield PlannedPeriod(PeriodKind.BASE, paid, due_at)
        if version.has_fixed(Timing.IN_ADVANCE):
            yield PlannedPeriod(PeriodKind.FIXED, stretch, ahead)
        committed = version.minimum_commitment is not None
        if version.charges or version.fixed_charges or committed:
            for part in (stretch,) if months is None else months_of(stretch, months):
                if _has_passed(part, billed_from):
                    continue
                renews_at = part.usage.start + max(collection_delay, INSTANT) if renews else None
                due_at = part.usage.end + collection_delay
                yield PlannedPeriod(PeriodKind.USAGE, part, due_at, renews_at)


def _has_passed(stretch: Stretch, billed_from: datetime | None) -> bool:
    """Tell whether a stretch ended by `billed_from`, not just the subscription at that instant."""
    if billed_from is None or stretch.usage.end > billed_from:
        return False
    is_cut = stretch.fee_days.end_day < stretch.whole.end_day
    return stretch.usage.end < billed_from or not is_cut
