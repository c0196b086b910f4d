"""Alerts: values that usage crosses, and when crossing one is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from uuid import UUID

from libs.errors import AlreadyExists, FieldInvalid, NotFound, Refused
from libs.money import EXACT, exponent

ALERTS_MAX = 50  # Of a subscription.


class AlertNotFound(NotFound):
    """The tenant has no such alert."""

    reason = "ALERT_NOT_FOUND"


class AlertCodeTaken(AlreadyExists):
    """Another alert of the subscription has the code."""

    reason = "ALERT_CODE_TAKEN"


class TooManyAlerts(Refused):
    """The subscription has as many alerts as it may."""

    reason = "TOO_MANY_ALERTS"


class AlertMeasure(StrEnum):
    """What an alert looks at; values are those of the contract, in lower case."""

    UNITS = "units"
    AMOUNT = "amount"
    CURRENT_AMOUNT = "current_amount"


class AlertDirection(StrEnum):
    """Which way a value is crossed; values are those of the contract, in lower case."""

    RISING = "rising"
    FALLING = "falling"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A value to be crossed: units, or currency units."""

    code: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class Alert:
    """What to tell of the usage of a subscription id; thresholds rise.

    `repeating_step` None: the greatest threshold is the last. `meter_code` is "" for the whole
    amount.
    """

    alert_id: UUID
    subscription_id: str
    code: str
    name: str
    measure: AlertMeasure
    meter_code: str
    direction: AlertDirection
    thresholds: tuple[Threshold, ...]
    repeating_step: Decimal | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Crossing:
    """A threshold that was crossed: its value with `step` repeating steps above it."""

    code: str
    value: Decimal
    step: int


def crossings(alert: Alert, before: Decimal | None, after: Decimal) -> list[Crossing]:
    """Return what is crossed between two looks at one period, the least first.

    `before` None: it is the first look, and the period began below every threshold. Of repeating
    steps the last one is told: with 80, 100 and steps of 10 from 70 to 135 these are 80, 100 and
    the third step, 130.
    """
    if alert.direction is AlertDirection.FALLING:
        if before is None:
            return []
        fallen = [one for one in alert.thresholds if after < one.value <= before]
        return [Crossing(one.code, one.value, 0) for one in fallen]
    risen = [
        Crossing(one.code, one.value, 0)
        for one in alert.thresholds
        if one.value <= after and (before is None or before < one.value)
    ]
    step = _steps(alert, after)
    if step > (0 if before is None else _steps(alert, before)):
        top = alert.thresholds[-1]
        assert alert.repeating_step is not None, "without one there are no steps"
        value = EXACT.add(top.value, EXACT.multiply(alert.repeating_step, Decimal(step)))
        risen.append(Crossing(top.code, value, step))
    return risen


def _steps(alert: Alert, value: Decimal) -> int:
    """Return how many repeating steps above the greatest threshold a value has come."""
    above = Fraction(value) - Fraction(alert.thresholds[-1].value)
    if alert.repeating_step is None or above < 0:
        return 0
    return int(above // Fraction(alert.repeating_step))


def check_places(alert: Alert, currency: str) -> None:
    """Check that thresholds of an amount are amounts of `currency`.

    Raises:
        FieldInvalid: one has more places than the currency.
    """
    if alert.measure is AlertMeasure.UNITS:
        return
    paths = [f"alert.thresholds[{place}].value" for place in range(len(alert.thresholds))]
    values = [one.value for one in alert.thresholds]
    if alert.repeating_step is not None:
        paths, values = [*paths, "alert.repeating_step"], [*values, alert.repeating_step]
    _check_places(paths, values, currency)


def _check_places(paths: Sequence[str], values: Sequence[Decimal], currency: str) -> None:
    for path, value in zip(paths, values, strict=True):
        minor = Fraction(value) * 10 ** exponent(currency)
        if minor.denominator != 1:
            raise FieldInvalid(path, f"{value} has more places than {currency}")
