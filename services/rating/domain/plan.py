"""Plans: sellable sets of charges, in versions that never change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID

from libs.errors import AlreadyExists, FieldInvalid, FieldsInvalid, NotFound, Refused
from libs.money import round_minor
from services.rating.domain.charge_price import (
    NO_OPTIONS,
    ChargePrice,
    conversion_faults,
    meter_faults,
    reads_events,
    weighs_entries,
)
from services.rating.domain.filters import ANY, DimensionFilter
from services.rating.domain.instant_charge import InstantTerms, instant_faults
from services.rating.domain.meter import Meter, MeterArchived, MeterUnknown, repeats
from services.rating.domain.price import GraduatedPrice, StandardPrice, VolumePrice
from services.rating.domain.price_options import PriceOptions
from services.rating.domain.prorated_rules import prorated_meter_faults
from services.rating.domain.thresholds import UsageThresholds

CHARGES_MAX = 200
FIXED_CHARGES_MAX = 100
BUCKETS_MAX = 100
INTERVAL_COUNT_MAX = 366
# Far beyond any use, and so far from what 64 bits hold that an invoice of hundreds of periods fits,
# its taxes included.
PERIOD_MINOR_MAX = 10**15


FixedPrice = StandardPrice | GraduatedPrice | VolumePrice


class PlanNotFound(NotFound):
    """The tenant has no such plan."""

    reason = "PLAN_NOT_FOUND"


class PlanVersionNotFound(NotFound):
    """The plan has no such version."""

    reason = "PLAN_VERSION_NOT_FOUND"


class PlanCodeTaken(AlreadyExists):
    """Another plan has the code."""

    reason = "PLAN_CODE_TAKEN"


class PlanArchived(Refused):
    """The plan is archived: it takes no new subscriptions and versions."""

    reason = "PLAN_ARCHIVED"


class IntervalUnit(StrEnum):
    """The unit of a billing interval; values are those of the contract, in lower case."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    HALF_YEAR = "half_year"
    YEAR = "year"


@dataclass(frozen=True, slots=True)
class Interval:
    """How long a billing period is: so many units."""

    unit: IntervalUnit
    count: int = 1

    def __str__(self) -> str:
        return f"{self.unit}" if self.count == 1 else f"{self.count} {self.unit}"


class Timing(StrEnum):
    """When a base fee, or a fixed charge, is billed."""

    IN_ARREARS = "in_arrears"
    IN_ADVANCE = "in_advance"


@dataclass(frozen=True, slots=True)
class FilterBucket:
    """Usage chosen by dimension values, with a price of its own."""

    code: str
    filters: tuple[DimensionFilter, ...]
    price: ChargePrice


@dataclass(frozen=True, slots=True)
class Charge:
    """How the usage of one meter is priced; `price` is for what no bucket takes."""

    code: str
    meter_code: str
    display_name: str
    price: ChargePrice
    buckets: tuple[FilterBucket, ...]
    options: PriceOptions = NO_OPTIONS
    group_by: tuple[str, ...] = ()  # Dimensions; each combination of values is priced for itself.
    prorated: bool = False  # Units are weighed by the days of the period for which they are there.
    instant: InstantTerms | None = None  # None: its usage is priced when the period ends.
    tax_codes: tuple[str, ...] = ()  # Invoicing knows them; none: those of the version.

    @property
    def prices(self) -> dict[str, ChargePrice]:
        """The prices of the buckets by their codes, and last that of the default bucket."""
        found: dict[str, ChargePrice] = {one.code: one.price for one in self.buckets}
        return {**found, "": self.price}

    @property
    def looks_at_events(self) -> bool:
        """Tell whether a price of it looks at single events, in their order."""
        weighs = self.prorated and any(map(weighs_entries, self.prices.values()))
        return weighs or any(map(reads_events, self.prices.values()))


@dataclass(frozen=True, slots=True)
class FixedCharge:
    """Units of an add-on in each period, whatever the usage.

    `prorated`: parts of a period, and changes of the units, count by days.
    """

    code: str
    display_name: str
    price: FixedPrice
    units: Decimal
    timing: Timing
    prorated: bool
    tax_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What the versions of a plan have in common."""

    plan_id: UUID
    code: str
    name: str
    currency: str
    created_at: datetime
    archived_at: datetime | None = None

    def check_open(self) -> None:
        """Check that it takes new subscriptions and versions.

        Raises:
            PlanArchived: it does not.
        """
        if self.archived_at is not None:
            raise PlanArchived(f"the plan {self.code} was archived at {self.archived_at}")


@dataclass(frozen=True, slots=True)
class PlanVersion:
    """The prices of a plan as of one edition."""

    plan_version_id: UUID
    version: int
    interval_unit: IntervalUnit
    base_amount: Decimal | None
    base_timing: Timing | None  # Not None where there is a base amount.
    charges: tuple[Charge, ...]
    created_at: datetime
    fixed_charges: tuple[FixedCharge, ...] = ()
    interval_count: int = 1
    trial_days: int = 0  # Of which the base fee costs nothing; see trial.py.
    minimum_commitment: Decimal | None = None
    usage_thresholds: UsageThresholds | None = None
    bill_usage_monthly: bool = False  # Its intervals are longer; see monthly_usage.py.
    tax_codes: tuple[str, ...] = ()  # Of fees whose charges name none.

    @property
    def interval(self) -> Interval:
        """How long its billing periods are."""
        return Interval(self.interval_unit, self.interval_count)

    def has_fixed(self, timing: Timing) -> bool:
        """Tell whether any fixed charge is billed then."""
        return any(charge.timing is timing for charge in self.fixed_charges)


def check_base_amount(version: PlanVersion, currency: str, *, path: str = "version") -> None:
    """Check that the base fee of `version`, in a plan of `currency`, can be billed.

    Raises:
        FieldInvalid: it is too large; its field is below `path`.
    """
    if version.base_amount is None:
        return
    minor = round_minor(version.base_amount, currency)
    if minor > PERIOD_MINOR_MAX:
        problem = f"is {minor} minor units, at most {PERIOD_MINOR_MAX} can be billed"
        raise FieldInvalid(f"{path}.base_amount", problem)


def check_charges(charges: Sequence[Charge], meters: Mapping[str, Meter]) -> None:
    """Check that `charges` fit their meters, given by code.

    Raises:
        MeterUnknown: a charge's meter is not among them.
        MeterArchived: it is archived.
        FieldsInvalid: a filter names a key or value that its meter does not have, or a price does
            not fit what it counts.
    """
    for place, charge in enumerate(charges):
        if charge.meter_code not in meters:
            raise MeterUnknown(
                f"version.charges[{place}].meter_code: no meter {charge.meter_code}",
                metadata={"meter_code": charge.meter_code},
            )
        if meters[charge.meter_code].archived_at is not None:
            raise MeterArchived(
                f"version.charges[{place}].meter_code: the meter {charge.meter_code} is archived",
                metadata={"meter_code": charge.meter_code},
            )
    faults = [
        fault
        for place, charge in enumerate(charges)
        for fault in charge_faults(charge, meters[charge.meter_code], f"version.charges[{place}]")
    ]
    if faults:
        raise FieldsInvalid(faults)


def charge_faults(charge: Charge, meter: Meter, path: str) -> list[FieldInvalid]:
    """Return every way in which `charge` does not fit its meter, by field below `path`."""
    faults = _price_faults(charge, meter, path)
    faults += repeats(charge.group_by, f"{path}.group_by[{{}}]")
    for place, key in enumerate(charge.group_by):
        if meter.dimension(key) is None:
            problem = f"{key!r} is no dimension of the meter {meter.code}"
            faults.append(FieldInvalid(f"{path}.group_by[{place}]", problem))
    for place, bucket in enumerate(charge.buckets):
        for index, each in enumerate(bucket.filters):
            at = f"{path}.buckets[{place}].filters[{index}]"
            dimension = meter.dimension(each.key)
            if dimension is None:
                problem = f"{each.key!r} is no dimension of the meter {meter.code}"
                faults.append(FieldInvalid(f"{at}.key", problem))
            elif dimension.values and not each.values <= {*dimension.values, ANY}:
                strange = sorted(each.values - {*dimension.values, ANY})
                problem = f"{strange[0]!r} is not among the values of {each.key!r}"
                faults.append(FieldInvalid(f"{at}.values", problem))
    return faults


def prices_by_path(charge: Charge, path: str) -> dict[str, ChargePrice]:
    """Return all prices of the charge at `path` by their fields."""
    return {f"{path}.price": charge.price} | {
        f"{path}.buckets[{place}].price": bucket.price
        for place, bucket in enumerate(charge.buckets)
    }


def _price_faults(charge: Charge, meter: Meter, path: str) -> list[FieldInvalid]:
    prices = prices_by_path(charge, path)
    faults = [fault for at, price in prices.items() for fault in meter_faults(price, meter, at)]
    if charge.prorated:
        faults += prorated_meter_faults(meter, prices.values(), f"{path}.prorated")
    refused = (
        conversion_faults(price, charge.options, path, prorated=charge.prorated)
        for price in prices.values()
    )
    faults += next((of_price for of_price in refused if of_price), [])
    if charge.instant is not None:
        faults += instant_faults(prices, charge.options, meter, path)
    return faults
