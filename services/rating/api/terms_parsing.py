"""Reading what a plan version promises beside its charges: trial, commitment, thresholds."""

from __future__ import annotations

from decimal import Decimal

from libs.errors import FieldInvalid, FieldsInvalid
from libs.wire import Faults, parse_decimal
from services.rating.domain.thresholds import (
    AMOUNTS_MAX,
    ZERO,
    UsageThresholds,
    threshold_faults,
)
from services.rating.domain.trial import TRIAL_DAYS_MAX
from tally.rating.v1 import threshold_pb2 as pb


def parse_trial_days(days: int, path: str) -> int:
    """Read how many days a trial has, 0 for none.

    Raises:
        FieldInvalid: they are negative, or too many.
    """
    if not 0 <= days <= TRIAL_DAYS_MAX:
        raise FieldInvalid(path, f"is {days}, must be 0 to {TRIAL_DAYS_MAX}")
    return days


def parse_thresholds(message: pb.UsageThresholds, path: str) -> UsageThresholds:
    """Read thresholds of usage.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    if len(message.amounts) > AMOUNTS_MAX:
        problem = f"are {len(message.amounts)}, at most {AMOUNTS_MAX} are allowed"
        raise FieldInvalid(f"{path}.amounts", problem)
    faults = Faults()
    amounts = []
    for place, text in enumerate(message.amounts):
        with faults.gathered():
            amounts.append(parse_decimal(text, f"{path}.amounts[{place}]", above=ZERO))
    step: Decimal | None = None
    with faults.gathered():
        if message.step:
            step = parse_decimal(message.step, f"{path}.step", above=ZERO)
    faults.check()
    thresholds = UsageThresholds(tuple(amounts), step)
    found = threshold_faults(thresholds, path)
    if found:
        raise FieldsInvalid(found)
    return thresholds
