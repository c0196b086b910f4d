"""Phases: plans that a subscription is put on one after the other, as agreed when it is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from libs.errors import FieldInvalid, FieldsInvalid
from services.rating.domain.life import Leg, leg_after
from services.rating.domain.subscription import YEAR_MAX, Subscription

PHASES_MAX = 100


@dataclass(frozen=True, slots=True)
class Phase:
    """A version of a plan, 0 for the newest, from `start` on."""

    plan_code: str
    plan_version: int
    start: datetime


def check_phases(subscription: Subscription, phases: Sequence[Phase]) -> None:
    """Check that `phases` follow each other within the life of `subscription`.

    Raises:
        FieldInvalid, FieldsInvalid: with all that do not.
    """
    faults = []
    before, end = subscription.start, subscription.end
    for place, phase in enumerate(phases):
        field, start = f"phases[{place}].start", phase.start.isoformat()
        if phase.start <= before:
            problem = f"{start} is not after {before.isoformat()}, where what is before it starts"
            faults.append(FieldInvalid(field, problem))
        elif end is not None and phase.start >= end:
            problem = f"{start} is not before the end, {end.isoformat()}"
            faults.append(FieldInvalid(field, problem))
        elif phase.start.year > YEAR_MAX:
            faults.append(FieldInvalid(field, f"{start} is too far ahead"))
        before = max(before, phase.start)
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise FieldsInvalid(faults)


def phase_legs(first: Leg, phases: Sequence[tuple[UUID, UUID, datetime]]) -> list[Leg]:
    """Return the legs of a life that begins with `first`: a term for each phase.

    Phases are given as term, plan version and start, in their order.
    """
    legs, end = [first], first.end
    for term_id, version_id, start in phases:
        last = legs[-1]
        legs[-1] = replace(last, end=start)
        following = leg_after(last, start, time_zone=last.time_zone, plan_version_id=version_id)
        legs.append(replace(following, term_id=term_id, end=end))
    return legs
