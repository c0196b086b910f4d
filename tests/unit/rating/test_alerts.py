"""Which thresholds are crossed between two looks at a period."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from libs.errors import FieldInvalid
from services.rating.domain.alert import (
    Alert,
    AlertDirection,
    AlertMeasure,
    Threshold,
    check_places,
    crossings,
)


def an_alert(
    *values: str,
    step: str | None = None,
    direction: AlertDirection = AlertDirection.RISING,
    measure: AlertMeasure = AlertMeasure.UNITS,
) -> Alert:
    return Alert(
        alert_id=UUID(int=1),
        subscription_id="acme",
        code="a",
        name="a",
        measure=measure,
        meter_code="calls",
        direction=direction,
        thresholds=tuple(Threshold(f"t{value}", Decimal(value)) for value in values),
        repeating_step=None if step is None else Decimal(step),
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
    )


def crossed(alert: Alert, before: str | None, after: str) -> list[tuple[str, str, int]]:
    seen = None if before is None else Decimal(before)
    found = crossings(alert, seen, Decimal(after))
    return [(one.code, str(one.value), one.step) for one in found]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, "79", []),
        (None, "80", ["t80"]),
        (None, "100", ["t80", "t100"]),
        ("79.999", "80", ["t80"]),
        ("80", "99", []),
        ("80", "120", ["t100"]),
        ("100", "79", []),
        ("79", "79", []),
    ],
)
def test_a_rising_threshold_is_crossed_by_reaching_it(
    before: str | None, after: str, expected: list[str]
) -> None:
    assert [code for code, _, _ in crossed(an_alert("80", "100"), before, after)] == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, "0", []),  # It never was at or above.
        ("10", "9", ["t10"]),
        ("12", "1", ["t5", "t10"]),
        ("12", "10", []),
        ("9", "12", []),
        ("9", "4.9", ["t5"]),
    ],
)
def test_a_falling_threshold_is_crossed_by_going_below(
    before: str | None, after: str, expected: list[str]
) -> None:
    alert = an_alert("5", "10", direction=AlertDirection.FALLING)
    assert [code for code, _, _ in crossed(alert, before, after)] == expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("100", "109", []),
        ("100", "110", [("t100", "110", 1)]),
        ("70", "135", [("t80", "80", 0), ("t100", "100", 0), ("t100", "130", 3)]),
        ("110", "119", []),
        ("125", "112", []),
        ("112", "125", [("t100", "120", 2)]),
        (None, "100", [("t80", "80", 0), ("t100", "100", 0)]),
    ],
)
def test_steps_repeat_above_the_greatest_threshold(
    before: str | None, after: str, expected: list[tuple[str, str, int]]
) -> None:
    assert crossed(an_alert("80", "100", step="10"), before, after) == expected


def test_steps_need_not_be_whole() -> None:
    alert = an_alert("1", step="0.1")
    assert crossed(alert, "1", "1.29") == [("t1", "1.2", 2)]


def test_amounts_have_no_more_places_than_their_currency() -> None:
    check_places(an_alert("1.005"), "USD")  # Units.
    check_places(an_alert("1.500", measure=AlertMeasure.AMOUNT), "USD")
    for alert, field in (
        (an_alert("1", "1.005", measure=AlertMeasure.AMOUNT), "alert.thresholds[1].value"),
        (an_alert("1", step="0.001", measure=AlertMeasure.AMOUNT), "alert.repeating_step"),
    ):
        with pytest.raises(FieldInvalid) as refused:
            check_places(alert, "USD")
        assert refused.value.faults[0].field == field
