"""Entitlements: what overrides change, what is most generous, and how limits stand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from libs.period import DayPeriod
from services.rating.domain.entitlement import (
    Entitlement,
    Feature,
    Override,
    Privilege,
    PrivilegeType,
    Value,
    all_overridden,
    overridden,
    value_faults,
)
from services.rating.domain.metered_limit import (
    Checked,
    Limit,
    LimitKind,
    LimitReset,
    Reason,
    Rollover,
    Standing,
    day_windows,
    most_generous,
    resets_at,
    rolled_over,
)

TOKYO = ZoneInfo("Asia/Tokyo")
NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)
HUNDRED = Limit(Decimal(100), LimitKind.HARD, LimitReset.USAGE_PERIOD)


def standing(used: str | None, kind: LimitKind = LimitKind.HARD, rolled: str = "0") -> Standing:
    limit = Limit(Decimal(100), kind, LimitReset.USAGE_PERIOD)
    return Standing(limit, Decimal(rolled), None if used is None else Decimal(used), NOON)


@pytest.mark.parametrize(
    ("used", "kind", "wanted", "expected"),
    [
        ("99", LimitKind.HARD, "1", (True, Reason.ENTITLED)),
        ("100", LimitKind.HARD, "1", (False, Reason.ABOVE_HARD_LIMIT)),
        ("100", LimitKind.HARD, "0", (True, Reason.ENTITLED)),
        ("99.5", LimitKind.HARD, "0.6", (False, Reason.ABOVE_HARD_LIMIT)),
        ("100", LimitKind.SOFT, "1", (True, Reason.ABOVE_SOFT_LIMIT)),
        (None, LimitKind.HARD, "0", (False, Reason.USAGE_NOT_KNOWN)),
        (None, LimitKind.SOFT, "1", (True, Reason.USAGE_NOT_KNOWN)),
    ],
)
def test_what_a_limit_allows(
    used: str | None, kind: LimitKind, wanted: str, expected: tuple[bool, Reason]
) -> None:
    assert standing(used, kind).decide(Decimal(wanted)) == expected


def test_what_was_carried_over_is_added_to_the_limit() -> None:
    stands = standing("120", rolled="30")
    assert (str(stands.total), str(stands.left)) == ("130", "10")
    assert standing("140", rolled="30").left == 0


@pytest.mark.parametrize(
    ("bounds", "used", "expected"),
    [
        (None, ["0"], "0"),
        (("0", "50"), [], "0"),  # There is no period before the first.
        (("0", "50"), ["80"], "20"),
        (("0", "50"), ["20"], "50"),
        (("0", "50"), ["130"], "0"),
        (("10", "50"), ["130"], "10"),
        (("0", "50"), ["80", "60"], "50"),  # 100 + 20 - 60 = 60.
        (("0", "1000"), ["80", "90", "100"], "30"),  # 20, then 30, then 30.
    ],
)
def test_what_is_left_is_carried_over_within_bounds(
    bounds: tuple[str, str] | None, used: list[str], expected: str
) -> None:
    rollover = None if bounds is None else Rollover(Decimal(bounds[0]), Decimal(bounds[1]))
    limit = Limit(Decimal(100), LimitKind.HARD, LimitReset.MONTH, rollover)
    assert rolled_over(limit, [Decimal(one) for one in used]) == Decimal(expected)


def test_days_are_those_of_the_zone() -> None:
    late = datetime(2024, 3, 10, 16, tzinfo=UTC)  # The 11th, 01:00.
    [day] = day_windows(LimitReset.DAY, TOKYO, start=NOON, now=late, count=1)
    assert day == DayPeriod(date(2024, 3, 11), date(2024, 3, 12))
    assert resets_at(day, TOKYO) == datetime(2024, 3, 11, 15, tzinfo=UTC)


def test_windows_go_back_to_the_start_or_as_far_as_they_are_wanted() -> None:
    start = datetime(2023, 11, 20, tzinfo=UTC)
    months = day_windows(LimitReset.MONTH, ZoneInfo("UTC"), start=start, now=NOON, count=25)
    assert [one.first_day.month for one in months] == [11, 12, 1, 2, 3]
    assert months[-1].end_day == date(2024, 4, 1)
    two = day_windows(LimitReset.MONTH, ZoneInfo("UTC"), start=start, now=NOON, count=2)
    assert two == months[-2:]


def test_one_that_allows_it_is_more_generous_than_one_with_more_left() -> None:
    hard, soft = Checked("hard", standing("90")), Checked("soft", standing("200", LimitKind.SOFT))
    unlimited = Checked("unlimited", None)
    fuller = Checked("fuller", standing("95"))
    assert most_generous([fuller, hard], Decimal(1)) == hard
    assert most_generous([hard, soft], Decimal(20)) == soft
    assert most_generous([hard, soft], Decimal(1)) == hard
    assert most_generous([hard, unlimited, soft], Decimal(20)) == unlimited


SUPPORT = Privilege("support", "", PrivilegeType.SELECT, ("mail", "phone", "person"))
FEATURE = Feature(
    "api",
    "API",
    (
        Privilege("on", "", PrivilegeType.BOOLEAN),
        Privilege("seats", "", PrivilegeType.INTEGER),
        Privilege("rate", "", PrivilegeType.DECIMAL),
        Privilege("region", "", PrivilegeType.TEXT),
        SUPPORT,
    ),
    "",
    NOON,
)


@pytest.mark.parametrize(
    ("code", "values", "expected"),
    [
        ("on", [False, True], True),
        ("seats", [3, 10, 5], 10),
        ("rate", [Decimal("1.5"), Decimal("0.5")], Decimal("1.5")),
        ("region", ["us", "eu"], "us"),
        ("support", ["phone", "person", "mail"], "person"),
    ],
)
def test_the_most_generous_value_of_a_privilege(
    code: str, values: list[Value], expected: Value
) -> None:
    privilege = FEATURE.privilege(code)
    assert privilege is not None
    assert privilege.most_generous(values) == expected


def test_values_must_be_of_their_privileges() -> None:
    values: dict[str, Value] = {
        "on": 1,
        "seats": True,
        "rate": 5,
        "region": "eu",
        "support": "pigeon",
        "colour": "red",
    }
    faults = value_faults(FEATURE, values, {code: f"x.{code}" for code in values})
    assert [fault.field for fault in faults] == [
        "x.on",
        "x.seats",
        "x.rate",
        "x.support",
        "x.colour",
    ]


def test_an_override_changes_what_it_names_and_leaves_the_rest() -> None:
    plan = Entitlement("api", {"on": True, "seats": 5}, HUNDRED)
    more = Limit(Decimal(500), LimitKind.SOFT, LimitReset.DAY)
    assert overridden(plan, None) == plan
    assert overridden(plan, Override("api", removed=True)) is None
    assert overridden(plan, Override("api", values={"seats": 9})) == Entitlement(
        "api", {"on": True, "seats": 9}, HUNDRED
    )
    assert overridden(plan, Override("api", limit=more)) == Entitlement("api", plan.values, more)
    assert overridden(plan, Override("api", unlimited=True)) == Entitlement("api", plan.values)
    assert overridden(None, Override("api", values={"on": True})) == Entitlement(
        "api", {"on": True}
    )


def test_a_subscription_has_what_its_plan_or_an_override_gives() -> None:
    plan = [Entitlement("b"), Entitlement("c")]
    overrides = [Override("c", removed=True), Override("a")]
    assert [one.feature_code for one in all_overridden(plan, overrides)] == ["a", "b"]
