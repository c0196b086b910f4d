"""Progressive thresholds: which ones usage crosses, and between which it stands."""

from __future__ import annotations

from decimal import Decimal

import pytest

from services.rating.domain.thresholds import (
    Crossed,
    UsageThresholds,
    crossed,
    standing,
    threshold_faults,
)
from tests.vectors.adapters.thresholds import cross, show_progress
from tests.vectors.cases import Case, load
from tests.vectors.comparing import differences
from tests.vectors.given import Given

D = Decimal
STATED = [
    case
    for case in load(names=["progressive_billing"])
    if case.whole.get("function") in {"thresholds", "progress"}
]


@pytest.mark.parametrize("case", STATED, ids=lambda case: case.id)
def test_thresholds_are_crossed_as_other_systems_state(case: Case) -> None:
    given = Given(case.given)
    if case.whole["function"] == "thresholds":
        got = cross(given, case.expect["rows"])
    else:
        got = show_progress(given)
    assert not list(given.unread())
    assert not differences(case.expect, got)


def test_all_functions_of_thresholds_are_among_the_cases() -> None:
    assert len(STATED) == 13


@pytest.mark.parametrize(
    ("billed", "fresh", "amounts"),
    [
        ("0", "9.99", []),
        ("0", "10", ["10"]),
        ("9.99", "0.01", ["10"]),
        ("10", "0", []),
        ("0", "20", ["10", "20"]),
        ("10", "14.99", ["20"]),
        ("10", "15", ["20", "+5"]),  # A whole step behind the last amount.
        ("20", "4.99", []),
        ("24", "1", ["+5"]),  # The step that had begun is whole.
        ("20", "500", ["+5"]),  # Once, however often.
        ("30", "-1", []),
    ],
)
def test_what_usage_reaches_is_crossed_once(billed: str, fresh: str, amounts: list[str]) -> None:
    thresholds = UsageThresholds((D(10), D(20)), D(5))
    found = crossed(thresholds, billed=D(billed), fresh=D(fresh))
    assert [f"{'+' if one.repeats else ''}{one.amount}" for one in found] == amounts


def test_without_a_step_nothing_is_crossed_above_the_last_amount() -> None:
    assert crossed(UsageThresholds((D(10),)), billed=D(10), fresh=D(1_000)) == []


def test_usage_stands_between_the_step_behind_and_the_one_ahead() -> None:
    thresholds = UsageThresholds((D(100),), D(200))
    found = standing(thresholds, past=[Crossed(D(100))], lifetime=D(150))
    assert (found.last, found.following, found.ratio) == (D(100), D(300), D("0.25"))
    found = standing(UsageThresholds((), D(200)), past=[], lifetime=D(50))
    assert (found.last, found.following, found.ratio) == (None, D(200), D("0.25"))


@pytest.mark.parametrize(
    ("thresholds", "fields"),
    [
        (UsageThresholds(()), ["at"]),
        (UsageThresholds((D(1), D(2), D(2), D(1))), ["at.amounts[2]", "at.amounts[3]"]),
        (UsageThresholds((), D(1)), []),
        (UsageThresholds((D(1),)), []),
    ],
)
def test_thresholds_ascend_and_are_some(thresholds: UsageThresholds, fields: list[str]) -> None:
    assert [fault.field for fault in threshold_faults(thresholds, "at")] == fields
