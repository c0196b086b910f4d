"""Trying plan versions on a period: what may be compared, and what is not known of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from libs.errors import FieldInvalid, FieldsInvalid, InvalidInput
from services.rating.domain.fee import Fee
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import PlanVersion


class CurrencyMismatch(InvalidInput):
    """A subscription is billed in another currency than that of the prices tried."""

    reason = "CURRENCY_MISMATCH"


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A version of a plan, 0 for the newest."""

    plan_code: str
    version: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """The prices tried: `version` of a plan of `currency`, called `name`."""

    name: str
    currency: str
    version: PlanVersion


@dataclass(frozen=True, slots=True)
class Tried:
    """What a period costs under a candidate; the base fee comes first."""

    fees: Sequence[Fee]
    unmetered: Sequence[str]  # Codes of meters whose usage in it is not known, or not all of it.

    @property
    def amount_minor(self) -> int:
        return sum(fee.amount_minor for fee in self.fees)


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a period costs under the version it has, and under each candidate in its order."""

    period: BillingPeriod
    before: Sequence[Fee]
    after: Sequence[Tried]

    @property
    def before_minor(self) -> int:
        return sum(fee.amount_minor for fee in self.before)


def check_comparable(candidates: Sequence[Candidate]) -> None:
    """Check that amounts under all `candidates` can stand side by side.

    Raises:
        FieldsInvalid: one is there twice, or not of the currency and interval of the first one,
            or bills its usage by the month.
    """
    faults: list[FieldInvalid] = []
    first, places = candidates[0], dict[UUID, int]()
    for place, one in enumerate(candidates):
        path, interval = f"candidates[{place}]", one.version.interval
        same = places.setdefault(one.version.plan_version_id, place)
        if same != place:
            faults.append(FieldInvalid(path, f"is the version of candidates[{same}]"))
        if one.currency != first.currency:
            problem = f"is priced in {one.currency}, candidates[0] in {first.currency}"
            faults.append(FieldInvalid(path, problem))
        if one.version.bill_usage_monthly:
            faults.append(FieldInvalid(path, "bills usage by the month, beside its interval"))
        if interval != first.version.interval:
            problem = f"is priced by {interval}, candidates[0] by {first.version.interval}"
            faults.append(FieldInvalid(path, problem))
    if faults:
        raise FieldsInvalid(faults)


def unmetered_codes(
    period: BillingPeriod, own: PlanVersion, tried: PlanVersion, meters: Mapping[str, Meter]
) -> list[str]:
    """Return the meters that `tried` charges and whose usage in `period` may not be known.

    Events are attributed to a period if its `own` version charges a meter on their type that is
    fanned out as well, or is not either; then every such meter of the type counts them, from its
    beginning on.
    """
    charged = {charge.meter_code for charge in own.charges}
    attributed = {(meters[code].event_type, meters[code].fan_out) for code in charged}
    return sorted(
        code
        for code in {charge.meter_code for charge in tried.charges} - charged
        if (meters[code].event_type, meters[code].fan_out) not in attributed
        or meters[code].counts_from > period.usage.start
    )
