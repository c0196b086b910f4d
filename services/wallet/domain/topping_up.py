"""Whether a rule tops its wallet up, and with how much."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.wallet.domain.top_up import Amounts, TopUp, TopUpStatus
from services.wallet.domain.top_up_limits import Limits
from services.wallet.domain.top_up_rule import DAY, Below, Every, Fixed, TopUpRule, UpTo

BACK_OFF = timedelta(hours=1)  # After a declined payment.
BOUGHT_MINOR_MAX = 10**15  # At once.


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a rule looks at, in minor units of its wallet's currency.

    `ongoing_minor` is what is neither spent nor reserved by usage; it may be below zero.
    """

    instant: datetime
    ongoing_minor: int
    limits: Limits = Limits()
    pending_minor: int = 0  # Bought for the wallet, not paid yet.
    outstanding: bool = False  # Whether some of that is the rule's.
    bought_minor: int = 0  # By the rule, in this month.
    declined_at: datetime | None = None  # When a top-up that rules of the wallet made last failed.
    settled_at: datetime | None = None  # When one that was bought for the wallet was last paid.

    @property
    def backs_off_until(self) -> datetime | None:
        """Return until when nothing is bought, since a payment was declined; None: it may be."""
        if self.declined_at is None:
            return None
        mended = self.settled_at is not None and self.settled_at >= self.declined_at
        return None if mended else _ahead(self.declined_at + BACK_OFF, self.instant)


def situation_of(
    rule: TopUpRule, recent: Iterable[TopUp], *, now: datetime, ongoing_minor: int, limits: Limits
) -> Situation:
    """Return what a rule looks at; `recent` are the wallet's top-ups of this month and pending."""
    month_start, _ = rule.month_of(now)
    top_ups = list(recent)
    mine = [one for one in top_ups if one.rule_id == rule.rule_id]
    pending = [one for one in top_ups if one.status is TopUpStatus.PENDING]
    counted = (TopUpStatus.PENDING, TopUpStatus.SETTLED)
    return Situation(
        instant=now,
        ongoing_minor=ongoing_minor,
        limits=limits,
        pending_minor=sum(one.amounts.paid_minor for one in pending),
        outstanding=any(one.rule_id == rule.rule_id for one in pending),
        bought_minor=sum(
            one.amounts.paid_minor
            for one in mine
            if one.created_at >= month_start and one.status in counted
        ),
        declined_at=_newest(
            one for one in top_ups if one.rule_id and one.status is TopUpStatus.FAILED
        ),
        settled_at=_newest(
            one for one in top_ups if one.amounts.paid_minor and one.status is TopUpStatus.SETTLED
        ),
    )


@dataclass(frozen=True, slots=True)
class Look:
    """What came of looking at a rule: the rule as it is now, and what it puts in, if anything.

    `occasion` tells this time from any other at which the rule tops up.
    """

    rule: TopUpRule
    amounts: Amounts | None = None
    occasion: str = ""


def look(rule: TopUpRule, at: Situation) -> Look:
    """Look at a rule that is due, and decide.

    Below 6.00 with 10.00 a time: at 5.50 it buys 10.00; with 10.00 pending it waits for them.
    """
    match rule.trigger:
        case Below() as below:
            return _look_below(rule, below, at)
        case Every() as every:
            return _look_on_day(rule, every, at)


def amounts_of(rule: TopUpRule, at: Situation) -> Amounts | None:
    """Return what the rule puts in at once; None: its target is met.

    What is bought is raised to the wallet's minimum; packs are cut at its maximum, a target is
    not.
    """
    limits = Limits() if rule.ignores_limits else at.limits
    match rule.amount:
        case UpTo(target_minor, gives):
            gap = target_minor - at.ongoing_minor - at.pending_minor
            if gap <= 0:
                return None
            return Amounts(0, gap) if gives else Amounts(_raised(gap, limits), 0)
        case Fixed(paid_minor, granted_minor):
            packs = _packs(rule, at, paid_minor, granted_minor)
            most = limits.maximum_minor or BOUGHT_MINOR_MAX
            return Amounts(min(_raised(packs, limits), most, BOUGHT_MINOR_MAX), granted_minor)


def _look_below(rule: TopUpRule, below: Below, at: Situation) -> Look:
    rests = Look(replace(rule, look_at=None))
    if rule.over(at.instant) or at.outstanding:
        return rests
    if at.ongoing_minor + at.pending_minor > below.threshold_minor:
        return rests
    amounts = amounts_of(rule, at)
    if amounts is None:
        return rests
    if until := _waits_until(rule, below, at, amounts):
        return Look(replace(rule, look_at=until))
    fired = replace(rule, look_at=None, fired=rule.fired + 1, fired_at=at.instant)
    return Look(fired, amounts, f"{fired.fired}")


def _look_on_day(rule: TopUpRule, every: Every, at: Situation) -> Look:
    day = rule.next_occasion(every)
    starts = rule.starts(day)
    if rule.over(starts):
        return Look(replace(rule, look_at=None))
    if starts > at.instant:
        return Look(replace(rule, look_at=starts))
    following = every.on_or_after(day + DAY)
    done = replace(rule, done_through=day, look_at=rule.starts(following))
    amounts = amounts_of(rule, at)
    if amounts is None or at.outstanding or _above_cap(rule, at, amounts):
        return Look(done)
    if amounts.paid_minor and at.backs_off_until:
        return Look(replace(rule, look_at=at.backs_off_until))
    fired = replace(done, fired=rule.fired + 1, fired_at=at.instant)
    return Look(fired, amounts, day.isoformat())


def _packs(rule: TopUpRule, at: Situation, paid_minor: int, granted_minor: int) -> int:
    """Return what is bought in packs of `paid_minor`: as many as lift it above the threshold."""
    if not isinstance(rule.trigger, Below) or not paid_minor:
        return paid_minor
    gap = rule.trigger.threshold_minor - at.ongoing_minor - granted_minor - at.pending_minor
    return paid_minor * max(gap // paid_minor + 1, 1)


def _waits_until(rule: TopUpRule, below: Below, at: Situation, amounts: Amounts) -> datetime | None:
    """Return until when the rule may not top up, though it would; None: it may."""
    cool = _ahead(rule.fired_at + below.cool_down, at.instant) if rule.fired_at else None
    backed_off = at.backs_off_until if amounts.paid_minor else None
    _, next_month = rule.month_of(at.instant)
    capped = next_month if _above_cap(rule, at, amounts) else None
    return max(filter(None, (cool, backed_off, capped)), default=None)


def _above_cap(rule: TopUpRule, at: Situation, amounts: Amounts) -> bool:
    cap = rule.monthly_cap_minor
    return cap is not None and amounts.paid_minor > max(cap - at.bought_minor, 0)


def _raised(bought_minor: int, limits: Limits) -> int:
    return max(bought_minor, limits.minimum_minor or 0) if bought_minor else 0


def _newest(top_ups: Iterable[TopUp]) -> datetime | None:
    return max((one.closed_at for one in top_ups if one.closed_at), default=None)


def _ahead(instant: datetime, now: datetime) -> datetime | None:
    return instant if instant > now else None
