"""Changes of a subscription's plan: when they take effect, and what terms they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from fractions import Fraction
from uuid import UUID

from libs.errors import FieldInvalid
from services.rating.domain.life import Leg, Term, cut_legs, leg_after
from services.rating.domain.plan import IntervalUnit, PlanVersion
from services.rating.domain.simulation import CurrencyMismatch
from services.rating.domain.subscription import YEAR_MAX, Subscription

PER_YEAR = {
    IntervalUnit.DAY: 365,
    IntervalUnit.WEEK: 52,
    IntervalUnit.MONTH: 12,
    IntervalUnit.QUARTER: 4,
    IntervalUnit.HALF_YEAR: 2,
    IntervalUnit.YEAR: 1,
}


class PlanEffective(StrEnum):
    """When another plan takes effect; values are those of the contract, in lower case."""

    UNSPECIFIED = "unspecified"  # Now, or where it is cheaper with the next period.
    NOW = "now"
    PERIOD_END = "period_end"
    AT = "at"


@dataclass(frozen=True, slots=True)
class Change:
    """When a plan is to take effect; `at` is of AT."""

    effective: PlanEffective
    at: datetime | None = None


def check_currency(subscription: Subscription, currency: str) -> None:
    """Check that a plan in `currency` can bill `subscription`.

    Raises:
        CurrencyMismatch: it cannot.
    """
    if currency != subscription.currency:
        raise CurrencyMismatch(
            f"{subscription.subscription_id} is billed in {subscription.currency}, not {currency}",
            metadata={"currency_code": subscription.currency, "plan_currency_code": currency},
        )


def yearly_amount(version: PlanVersion) -> Fraction:
    """Return what the base fees of a version come to in a year.

    10 a week are 520, 100 every second month 600; without a base fee it is 0.
    """
    amount = Fraction(version.base_amount or 0)
    return amount * PER_YEAR[version.interval_unit] / version.interval_count


def is_upgrade(old: PlanVersion, new: PlanVersion) -> bool:
    """Tell whether the base fees of `new` come to as much as those of `old` or more."""
    return yearly_amount(new) >= yearly_amount(old)


def effective_at(
    change: Change,
    subscription: Subscription,
    legs: Sequence[Leg],
    *,
    old: PlanVersion,
    new: PlanVersion,
    now: datetime,
) -> datetime:
    """Return the first instant of the plan version `new`; `old` is that of the present leg.

    Raises:
        FieldInvalid: the instant asked for has passed, or lies behind the subscription's end.
    """
    at = max(now, subscription.start)
    match change.effective:
        case PlanEffective.AT:
            assert change.at is not None
            if change.at < now:
                problem = f"{change.at.isoformat()} is before now, {now.isoformat()}"
                raise FieldInvalid("at", problem)
            if change.at.year > YEAR_MAX:
                raise FieldInvalid("at", f"{change.at.isoformat()} is too far ahead")
            at = max(change.at, subscription.start)
        case PlanEffective.PERIOD_END:
            at = period_end(subscription, legs, old, now)
        case PlanEffective.UNSPECIFIED if not is_upgrade(old, new):
            at = period_end(subscription, legs, old, now)
        case _:
            pass
    if subscription.end is not None and at >= subscription.end:
        end = subscription.end.isoformat()
        field = "at" if change.effective is PlanEffective.AT else "effective"
        raise FieldInvalid(field, f"the subscription ends at {end}, before {at.isoformat()}")
    return at


def period_end(
    subscription: Subscription, legs: Sequence[Leg], version: PlanVersion, now: datetime
) -> datetime:
    """Return when the period ends that holds `now`, or the start of what has not started."""
    at = max(now, subscription.start)
    present = present_leg(legs, at)
    same = tuple(leg for leg in legs if leg.term_id == present.term_id and leg.start <= at)
    opened = Term(same, None, given=False)
    whole = subscription.calendar(version.interval).whole(present.day(at))
    return opened.begin_of(whole.end_day)


def present_leg(legs: Sequence[Leg], now: datetime) -> Leg:
    """Return the leg that holds `now`: before the start the first, in a pause the one before."""
    return [leg for leg in legs if leg.start <= now or leg is legs[0]][-1]


def changed_legs(
    legs: Sequence[Leg], version_id: UUID, at: datetime, *, end: datetime | None, term_id: UUID
) -> list[Leg]:
    """Return the legs of a life that ends at `end`, on plan version `version_id` from `at` on.

    What began at `at` or later is replaced. Where the life is on that version then anyway, no new
    term begins.
    """
    kept = cut_legs(legs, at)
    if not kept:
        return [replace(legs[0], term_id=term_id, plan_version_id=version_id, end=end)]
    last = kept[-1]
    if last.plan_version_id == version_id:
        return [*kept[:-1], replace(last, end=end)]
    following = leg_after(last, at, time_zone=last.time_zone, plan_version_id=version_id)
    return [*kept, replace(following, term_id=term_id, end=end)]


def repriced_legs(legs: Sequence[Leg], version_id: UUID, now: datetime) -> list[Leg]:
    """Return the legs with other prices from `now` on, without a cut.

    They hold for the present term only: what is on another plan later is priced by that.
    """
    term_id = present_leg(legs, now).term_id
    found: list[Leg] = []
    for leg in legs:
        if leg.term_id != term_id or (leg.end is not None and leg.end <= now):
            found.append(leg)
        elif leg.start >= now:
            found.append(replace(leg, plan_version_id=version_id))
        else:
            after = leg_after(leg, now, time_zone=leg.time_zone, plan_version_id=version_id)
            found += [replace(leg, end=now), replace(after, end=leg.end)]
    return found


def without_changes(legs: Sequence[Leg], now: datetime, end: datetime | None) -> list[Leg]:
    """Return the legs of a life without the changes of its plan that lie ahead."""
    present = present_leg(legs, now)
    kept = [leg for leg in legs if leg.term_id == present.term_id or leg.start <= present.start]
    if len(kept) == len(legs):
        return kept
    return [*kept[:-1], replace(kept[-1], end=end)]
