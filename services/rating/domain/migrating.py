"""Putting subscriptions on another version of their plan, with or without a cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from services.rating.domain.life import Leg, Term, leg_after
from services.rating.domain.plan import PlanVersion
from services.rating.domain.plan_changing import present_leg
from services.rating.domain.subscription import Subscription


class MigrationMode(StrEnum):
    """How another version is taken on; values are those of the contract, in lower case."""

    REPRICE = "reprice"
    CUT = "cut"


def reprice_problem(old: PlanVersion, new: PlanVersion) -> str:
    """Return why a term cannot go on by the version `new`; "": it can."""
    if old.interval != new.interval:
        return f"version {old.version} has another interval: only a cut can change it"
    if (old.base_amount is None, old.base_timing) != (new.base_amount is None, new.base_timing):
        return f"version {old.version} bills its base fee at another time: only a cut can change it"
    return ""


def period_start(
    subscription: Subscription, legs: Sequence[Leg], version: PlanVersion, now: datetime
) -> datetime:
    """Return when the period starts that holds `now`, or what has not started."""
    at = max(now, subscription.start)
    present = present_leg(legs, at)
    same = tuple(leg for leg in legs if leg.term_id == present.term_id)
    whole = subscription.calendar(version.interval).whole(present.day(at))
    return Term(same, None, given=False).begin_of(whole.first_day)


def repriced_legs(legs: Sequence[Leg], term_id: UUID, at: datetime, version_id: UUID) -> list[Leg]:
    """Return `legs` with those of a term on plan version `version_id` from `at` on."""
    found: list[Leg] = []
    for leg in legs:
        if leg.term_id != term_id or (leg.end is not None and leg.end <= at):
            found.append(leg)
        elif leg.start >= at:
            found.append(replace(leg, plan_version_id=version_id))
        else:
            following = leg_after(leg, at, time_zone=leg.time_zone, plan_version_id=version_id)
            found += [replace(leg, end=at), replace(following, end=leg.end)]
    return found
