"""Rules that top a wallet up by themselves: below a balance, or on certain days."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.anniversary import anniversary, anniversary_period
from libs.errors import NotFound
from libs.period import local_day, local_midnight

DAY = timedelta(days=1)


class TopUpRuleNotFound(NotFound):
    """The tenant has no such rule, or has none any more."""

    reason = "TOP_UP_RULE_NOT_FOUND"


class Interval(StrEnum):
    """How often; values are those of the contract, in lower case."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    HALF_YEAR = "half_year"
    YEAR = "year"


INTERVAL_DAYS = {Interval.DAY: 1, Interval.WEEK: 7}
INTERVAL_MONTHS = {
    Interval.MONTH: 1,
    Interval.QUARTER: 3,
    Interval.HALF_YEAR: 6,
    Interval.YEAR: 12,
}


@dataclass(frozen=True, slots=True)
class Below:
    """While the ongoing balance is at or below `threshold_minor`.

    Two top-ups of the rule are at least `cool_down` apart.
    """

    threshold_minor: int
    cool_down: timedelta = timedelta()


@dataclass(frozen=True, slots=True)
class Every:
    """On `first_day` and then every `interval`, counted from it: 31 January, 28 February, …"""

    interval: Interval
    first_day: date

    def on_or_after(self, day: date) -> date:
        """Return the first of its days from `day` on."""
        if day <= self.first_day:
            return self.first_day
        if days := INTERVAL_DAYS.get(self.interval):
            return day + timedelta(days=-(day - self.first_day).days % days)
        period = anniversary_period(self.first_day, INTERVAL_MONTHS[self.interval], day)
        return day if period.first_day == day else period.end_day


@dataclass(frozen=True, slots=True)
class Fixed:
    """Buy `paid_minor` and give `granted_minor`; not both 0."""

    paid_minor: int
    granted_minor: int


@dataclass(frozen=True, slots=True)
class UpTo:
    """Fill the ongoing balance up to `target_minor`: bought, or if `gives` given."""

    target_minor: int
    gives: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUpRule:
    """A rule of a wallet; days and months are those of its zone."""

    rule_id: UUID
    wallet_id: UUID
    name: str
    trigger: Below | Every
    amount: Fixed | UpTo
    zone: ZoneInfo
    requires_payment: bool
    created_at: datetime
    done_through: date  # No day up to it is an occasion any more: at first, that of its creation.
    look_at: datetime | None  # When to look at it; None: when the balance has changed.
    ignores_limits: bool = False
    monthly_cap_minor: int | None = None  # The most that it buys in a month.
    expires_at: datetime | None = None
    archived_at: datetime | None = None
    fired: int = 0  # How often it topped up,
    fired_at: datetime | None = None  # and when it last did.
    number: int = 0  # Grows with age; 0 until stored.

    def is_due(self, now: datetime) -> bool:
        """Tell whether it is to be looked at."""
        return self.archived_at is None and self.look_at is not None and self.look_at <= now

    def check_live(self) -> None:
        """Refuse to change what has ended.

        Raises:
            TopUpRuleNotFound: it is archived.
        """
        if self.archived_at is not None:
            raise TopUpRuleNotFound(f"top-up rule {self.rule_id} is archived")

    def over(self, instant: datetime) -> bool:
        """Tell whether it has expired at `instant`."""
        return self.expires_at is not None and self.expires_at <= instant

    def next_occasion(self, trigger: Every) -> date:
        """Return the first day that it was not looked at on."""
        return trigger.on_or_after(self.done_through + DAY)

    def starts(self, day: date) -> datetime:
        """Return the first instant of a day."""
        return local_midnight(day, self.zone)

    def month_of(self, instant: datetime) -> tuple[datetime, datetime]:
        """Return where the calendar month of `instant` starts, and where the next one does."""
        first = local_day(instant, self.zone).replace(day=1)
        return self.starts(first), self.starts(anniversary(first, 1))


def fires_on(rule: TopUpRule, trigger: Every, day: date) -> bool:
    """Tell whether `day` is an occasion: never before the day after the rule was made."""
    return day > rule.done_through and trigger.on_or_after(day) == day


def highest_threshold(rules: Iterable[TopUpRule]) -> int | None:
    """Return at which balance somebody has to look at the rules; None: at none."""
    thresholds = (
        rule.trigger.threshold_minor
        for rule in rules
        if isinstance(rule.trigger, Below) and rule.archived_at is None
    )
    return max(thresholds, default=None)
