"""Units of fixed charges that a subscription has of its own, from a day on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.errors import NotFound
from libs.period import local_day
from services.rating.domain.plan import FixedCharge, Interval, PlanVersion
from services.rating.domain.subscription import Subscription


class FixedChargeNotFound(NotFound):
    """The plan version has no such fixed charge."""

    reason = "FIXED_CHARGE_NOT_FOUND"


class Effective(StrEnum):
    """When other units take effect; values are those of the contract, in lower case."""

    NOW = "now"
    NEXT_PERIOD = "next_period"


@dataclass(frozen=True, slots=True)
class UnitChange:
    """Other units of a fixed charge from `from_day` on; `number` counts those of the charge."""

    charge_code: str
    number: int
    from_day: date
    units: Decimal
    changed_at: datetime
    term_id: UUID | None = None  # On the plan of which it counts; None: on any.


def place(change: UnitChange) -> tuple[date, int]:
    """Return where a change stands among those of its charge: the last of a day counts for it."""
    return change.from_day, change.number


def effective_day(
    effective: Effective, interval: Interval, subscription: Subscription, now: datetime
) -> date:
    """Return the first local day of a change asked for at `now`, not before the first day.

    On 20 January, by the month: 20 January now, 1 February with the next period.
    """
    zone = ZoneInfo(subscription.time_zone)
    day = local_day(max(now, subscription.start), zone)
    return day if effective is Effective.NOW else subscription.calendar(interval).whole(day).end_day


def find_charge(version: PlanVersion, code: str) -> FixedCharge:
    """Return the fixed charge `code`.

    Raises:
        FixedChargeNotFound: there is none.
    """
    for charge in version.fixed_charges:
        if charge.code == code:
            return charge
    raise FixedChargeNotFound(f"the plan version {version.version} has no fixed charge {code}")
