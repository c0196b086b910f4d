"""Entitlements: features of plans, with typed privileges, and what subscriptions differ in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from libs.errors import AlreadyExists, FieldInvalid, NotFound, Refused
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.metered_limit import Limit, LimitReset

Value = bool | int | Decimal | str
LIMITED = {
    Aggregation.COUNT,
    Aggregation.SUM,
    Aggregation.MAX,
    Aggregation.LATEST,
    Aggregation.UNIQUE_COUNT,
}


class FeatureNotFound(NotFound):
    """The tenant has no such feature."""

    reason = "FEATURE_NOT_FOUND"


class FeatureCodeTaken(AlreadyExists):
    """Another feature has the code."""

    reason = "FEATURE_CODE_TAKEN"


class FeatureArchived(Refused):
    """The feature may not be given any more."""

    reason = "FEATURE_ARCHIVED"


class MeterNotCounted(Refused):
    """The plan version does not charge what would have the meter counted."""

    reason = "METER_NOT_COUNTED"

    def __init__(self, meter_code: str, plan_code: str, version: int) -> None:
        super().__init__(
            f"version {version} of {plan_code} does not charge {meter_code}, nor another meter of"
            " its event type: a charge at the price 0 has its events counted",
            metadata={"meter_code": meter_code},
        )


class PrivilegeType(StrEnum):
    """Which values a privilege has; values are those of the contract, in lower case."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    DECIMAL = "decimal"
    TEXT = "text"
    SELECT = "select"


KINDS: Mapping[PrivilegeType, type] = {
    PrivilegeType.BOOLEAN: bool,
    PrivilegeType.INTEGER: int,
    PrivilegeType.DECIMAL: Decimal,
    PrivilegeType.TEXT: str,
    PrivilegeType.SELECT: str,
}


@dataclass(frozen=True, slots=True)
class Privilege:
    """Something that a feature allows to a degree; `options`, least generous first, of SELECT."""

    code: str
    name: str
    type: PrivilegeType
    options: tuple[str, ...] = ()

    def fault(self, value: Value) -> str:
        """Return what is wrong with a value; "" if nothing is."""
        if type(value) is not KINDS[self.type]:
            return f"is no value of a {self.type.upper()} privilege"
        if self.type is PrivilegeType.SELECT and value not in self.options:
            return f"{value!r} is none of {', '.join(self.options)}"
        return ""

    def most_generous(self, values: Sequence[Value]) -> Value:
        """Return the most generous of one or more values; of texts the first."""
        if self.type is PrivilegeType.SELECT:
            return max(values, key=lambda value: self.options.index(str(value)))
        if self.type is PrivilegeType.TEXT:
            return values[0]
        return max(values)


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that a plan may have; `meter_code` "": its use is not metered."""

    code: str
    name: str
    privileges: tuple[Privilege, ...]
    meter_code: str
    created_at: datetime
    archived_at: datetime | None = None

    def privilege(self, code: str) -> Privilege | None:
        """Return its privilege of that code."""
        return next((one for one in self.privileges if one.code == code), None)


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A feature that a plan or subscription has; without a limit its use is not limited."""

    feature_code: str
    values: Mapping[str, Value] = field(default_factory=dict)  # By privilege code.
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """In what a subscription differs from its plan; `limit` None: as in the plan."""

    feature_code: str
    removed: bool = False
    values: Mapping[str, Value] = field(default_factory=dict)
    limit: Limit | None = None
    unlimited: bool = False


def overridden(plan: Entitlement | None, override: Override | None) -> Entitlement | None:
    """Return what a subscription has of a feature; None: it has not got it."""
    if override is None:
        return plan
    if override.removed:
        return None
    base = plan or Entitlement(override.feature_code)
    limit = None if override.unlimited else override.limit or base.limit
    return Entitlement(override.feature_code, {**base.values, **override.values}, limit)


def all_overridden(plan: Iterable[Entitlement], overrides: Iterable[Override]) -> list[Entitlement]:
    """Return all that a subscription has, by code."""
    own = {one.feature_code: one for one in overrides}
    given: dict[str, Entitlement | None] = {one.feature_code: one for one in plan}
    found = (overridden(given.get(code), own.get(code)) for code in sorted(given.keys() | own))
    return [one for one in found if one is not None]


def value_faults(
    feature: Feature, values: Mapping[str, Value], paths: Mapping[str, str]
) -> list[FieldInvalid]:
    """Return what is wrong with values of privileges; `paths` are their fields, by code."""
    found = []
    for code, value in values.items():
        privilege = feature.privilege(code)
        problem = f"{feature.code} has no such privilege" if privilege is None else ""
        if problem or (privilege is not None and (problem := privilege.fault(value))):
            found.append(FieldInvalid(paths[code], problem))
    return found


def check_limit(feature: Feature, meter: Meter | None, limit: Limit, path: str) -> None:
    """Check that use of a feature can be limited so, with the meter that counts it.

    Raises:
        FieldInvalid: it cannot.
    """
    if meter is None:
        raise FieldInvalid(path, f"{feature.code} has no meter that counts its use")
    if meter.recurring and limit.reset is not LimitReset.USAGE_PERIOD:
        raise FieldInvalid(f"{path}.reset", f"{meter.code} is recurring: only USAGE_PERIOD")
    if meter.recurring and limit.rollover is not None:
        raise FieldInvalid(f"{path}.rollover", f"{meter.code} is recurring: nothing is left over")


def check_meter(meter: Meter, path: str) -> None:
    """Check that a meter can count the use of a feature.

    Raises:
        FieldInvalid: what it counts is no use that adds up to a limit.
    """
    if meter.aggregation not in LIMITED:
        known = ", ".join(sorted(one.upper() for one in LIMITED))
        raise FieldInvalid(path, f"{meter.code} is a {meter.aggregation.upper()}: not {known}")
