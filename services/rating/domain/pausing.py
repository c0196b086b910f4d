"""Pauses and moves: legs that lie apart, and legs in other zones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

from libs.errors import FieldInvalid
from libs.period import local_day
from services.rating.domain.life import Leg, cut_legs, leg_after
from services.rating.domain.plan_changing import present_leg
from services.rating.domain.subscription import YEAR_MAX, Subscription


def check_pause(
    subscription: Subscription, legs: Sequence[Leg], now: datetime, resume_at: datetime | None
) -> None:
    """Check that `subscription` can be paused at `now` up to `resume_at`, None: until told.

    Raises:
        FieldInvalid: it has not started, its plan is to change, or the instant does not fit.
    """
    if now < subscription.start:
        start = subscription.start.isoformat()
        raise FieldInvalid("subscription_id", f"starts at {start}: there is nothing to pause")
    term_id = present_leg(legs, now).term_id
    ahead = [leg for leg in legs if leg.start > now and leg.term_id != term_id]
    if ahead:
        problem = f"its plan changes at {ahead[0].start.isoformat()}: cancel that first"
        raise FieldInvalid("subscription_id", problem)
    if resume_at is None:
        return
    if resume_at <= now or resume_at.year > YEAR_MAX:
        raise FieldInvalid("resume_at", f"{resume_at.isoformat()} is not after {now.isoformat()}")
    if subscription.end is not None and resume_at >= subscription.end:
        problem = f"{resume_at.isoformat()} is not before the end, {subscription.end.isoformat()}"
        raise FieldInvalid("resume_at", problem)


def paused_legs(
    legs: Sequence[Leg], now: datetime, resume_at: datetime | None, end: datetime | None
) -> list[Leg]:
    """Return the legs of a life that is paused from `now` on; a pause that began before goes on."""
    kept = cut_legs(legs, now) or [replace(legs[0], end=now)]
    return kept if resume_at is None else resumed_legs(kept, resume_at, end)


def resumed_legs(legs: Sequence[Leg], at: datetime, end: datetime | None) -> list[Leg]:
    """Return the legs of a paused life that goes on at `at`, as it starts at the earliest."""
    kept = [leg for leg in legs if leg.start < at] or [legs[0]]
    last = kept[-1]
    if last.end == at:  # It was not away.
        return [*kept[:-1], replace(last, end=end)]
    following = leg_after(last, at, time_zone=last.time_zone, plan_version_id=last.plan_version_id)
    return [*kept, replace(following, end=end)]


def moved_legs(
    legs: Sequence[Leg], now: datetime, time_zone: str, *, default_for_usage: bool
) -> list[Leg]:
    """Return the legs of a life with other settings from `now` on, and so those ahead.

    Before it starts, all of them have them; the first day is then that of the new zone.
    """
    legs = [
        replace(leg, default_for_usage=default_for_usage) if leg.start >= now else leg
        for leg in legs
    ]
    kept = cut_legs(legs, now)
    if not kept:
        return [_rezoned(leg, time_zone) for leg in legs]
    present = legs[len(kept) - 1]
    ahead = [_rezoned(leg, time_zone) for leg in legs[len(kept) :]]
    if present.end is not None and present.end <= now:
        return [*kept, *ahead]
    moved = leg_after(present, now, time_zone=time_zone, plan_version_id=present.plan_version_id)
    moved = replace(moved, end=present.end, default_for_usage=default_for_usage)
    return [*kept, moved, *ahead]


def _rezoned(leg: Leg, time_zone: str) -> Leg:
    first_day = local_day(leg.start, ZoneInfo(time_zone))
    return replace(leg, time_zone=time_zone, first_day=first_day)
