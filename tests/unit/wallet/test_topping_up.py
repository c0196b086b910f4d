"""What a rule does with what it sees: packs, targets, limits, caps, waits and days."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from services.wallet.domain.top_up import Amounts, TopUp, TopUpStatus
from services.wallet.domain.top_up_limits import Limits, TopUpAboveMaximum, TopUpBelowMinimum
from services.wallet.domain.top_up_rule import (
    Below,
    Every,
    Fixed,
    Interval,
    TopUpRule,
    UpTo,
    highest_threshold,
)
from services.wallet.domain.topping_up import Look, Situation, look, situation_of

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
AN_ID, ANOTHER = UUID(int=1), UUID(int=2)
HOUR = timedelta(hours=1)


def a_rule(trigger: Below | Every | None = None, **fields: Any) -> TopUpRule:
    """A rule that buys 10.00 at or below 6.00, made on 1 March."""
    given: dict[str, Any] = {
        "rule_id": AN_ID,
        "wallet_id": AN_ID,
        "name": "",
        "amount": Fixed(10_00, 0),
        "zone": ZoneInfo("UTC"),
        "requires_payment": True,
        "created_at": datetime(2026, 3, 1, tzinfo=UTC),
        "done_through": date(2026, 3, 1),
        "look_at": NOW,
        **fields,
    }
    return TopUpRule(trigger=trigger or Below(6_00), **given)


def at(ongoing_minor: int, **fields: Any) -> Situation:
    return Situation(ongoing_minor=ongoing_minor, **{"instant": NOW, **fields})


def bought(seen: Look) -> int | None:
    return seen.amounts.paid_minor if seen.amounts else None


@pytest.mark.parametrize(
    ("ongoing_minor", "pending_minor", "expected"),
    [
        (6_01, 0, None),
        (6_00, 0, 10_00),
        (-3_99, 0, 10_00),
        (-4_00, 0, 20_00),  # Ten would leave it at the threshold.
        (-20_00, 0, 30_00),
        (-20_00, 10_00, 20_00),  # What is pending counts.
        (5_00, 1_01, None),
    ],
)
def test_packs_lift_the_balance_above_the_threshold(
    ongoing_minor: int, pending_minor: int, expected: int | None
) -> None:
    assert bought(look(a_rule(), at(ongoing_minor, pending_minor=pending_minor))) == expected


def test_what_is_given_fills_a_part_of_the_gap() -> None:
    seen = look(a_rule(amount=Fixed(10_00, 5_00)), at(-5_00))
    assert seen.amounts == Amounts(10_00, 5_00)


def test_packs_keep_within_the_limits_unless_they_are_ignored() -> None:
    limits = Limits(15_00, 25_00)
    assert bought(look(a_rule(), at(5_00, limits=limits))) == 15_00
    assert bought(look(a_rule(), at(-40_00, limits=limits))) == 25_00
    assert bought(look(a_rule(ignores_limits=True), at(-40_00, limits=limits))) == 50_00


def test_a_firing_is_numbered_and_the_rule_rests_until_the_balance_changes() -> None:
    seen = look(a_rule(fired=4), at(0))
    assert (seen.occasion, seen.rule.fired, seen.rule.fired_at, seen.rule.look_at) == (
        "5",
        5,
        NOW,
        None,
    )


def test_nothing_is_bought_while_one_of_the_rule_is_outstanding() -> None:
    seen = look(a_rule(), at(-100_00, outstanding=True))
    assert (bought(seen), seen.rule.look_at) == (None, None)


def test_two_top_ups_are_a_cool_down_apart() -> None:
    rule = a_rule(Below(6_00, cool_down=timedelta(days=1)), fired_at=NOW - HOUR)
    seen = look(rule, at(0))
    assert (bought(seen), seen.rule.look_at) == (None, NOW + 23 * HOUR)
    assert bought(look(rule, at(0, instant=NOW + 23 * HOUR))) == 10_00


def test_after_a_declined_payment_it_waits_for_an_hour_or_for_another_payment() -> None:
    seen = look(a_rule(), at(0, declined_at=NOW - HOUR / 2))
    assert (bought(seen), seen.rule.look_at) == (None, NOW + HOUR / 2)
    assert bought(look(a_rule(), at(0, declined_at=NOW - HOUR))) == 10_00
    paid_since = at(0, declined_at=NOW - HOUR / 2, settled_at=NOW - HOUR / 4)
    assert bought(look(a_rule(), paid_since)) == 10_00


def test_what_would_go_beyond_the_cap_waits_for_the_next_month_of_the_zone() -> None:
    rule = a_rule(monthly_cap_minor=25_00, zone=ZoneInfo("Asia/Tokyo"))
    assert bought(look(rule, at(0, bought_minor=15_00))) == 10_00
    seen = look(rule, at(0, bought_minor=15_01))
    assert (bought(seen), seen.rule.look_at) == (None, datetime(2026, 3, 31, 15, tzinfo=UTC))


def test_days_follow_each_other_and_each_is_an_occasion_once() -> None:
    monthly = Every(Interval.MONTH, date(2026, 1, 31))
    rule, occasions = a_rule(monthly), []
    for month in range(3, 7):
        now = datetime(2026, month, 28, tzinfo=UTC) + timedelta(days=4)
        seen = look(rule, at(0, instant=now))
        occasions.append(seen.occasion)
        rule = look(seen.rule, at(0, instant=now)).rule
        assert rule.look_at is not None and rule.look_at > now
    assert occasions == ["2026-03-31", "2026-04-30", "2026-05-31", "2026-06-30"]


@pytest.mark.parametrize(
    "passed_over",
    [{"outstanding": True}, {"bought_minor": 90_01}],
)
def test_a_day_on_which_it_may_not_buy_is_passed_over(passed_over: dict[str, Any]) -> None:
    rule = a_rule(Every(Interval.DAY, date(2026, 1, 1)), monthly_cap_minor=100_00)
    seen = look(rule, at(0, **passed_over))
    assert (bought(seen), seen.rule.done_through) == (None, date(2026, 3, 2))


def test_a_day_waits_for_the_hour_after_a_declined_payment_to_end() -> None:
    rule = a_rule(Every(Interval.WEEK, date(2026, 3, 10)))
    now = datetime(2026, 3, 10, tzinfo=UTC)
    seen = look(rule, at(0, instant=now, declined_at=now - HOUR / 2))
    assert (bought(seen), seen.rule.look_at) == (None, now + HOUR / 2)
    later = look(seen.rule, at(0, instant=now + HOUR / 2, declined_at=now - HOUR / 2))
    assert (later.occasion, later.rule.look_at) == ("2026-03-10", datetime(2026, 3, 17, tzinfo=UTC))


def test_a_rule_tops_up_up_to_its_expiry() -> None:
    daily = a_rule(
        Every(Interval.DAY, date(2026, 3, 1)), expires_at=datetime(2026, 3, 2, 1, tzinfo=UTC)
    )
    first = look(daily, at(0))
    assert first.occasion == "2026-03-02"  # Looked at late, but it began in time.
    assert look(first.rule, at(0)) == Look(replace(first.rule, look_at=None))


def test_a_target_is_filled_up_by_what_lacks() -> None:
    assert bought(look(a_rule(amount=UpTo(20_00)), at(-5_00))) == 25_00
    given = look(a_rule(amount=UpTo(20_00, gives=True)), at(5_00, limits=Limits(50_00, None)))
    assert given.amounts == Amounts(0, 15_00)


def test_a_rule_sees_what_is_pending_for_the_wallet_and_what_it_bought_this_month_itself() -> None:
    def top_up(status: TopUpStatus, paid_minor: int, *, days: int, rule: UUID | None) -> TopUp:
        return TopUp(
            top_up_id=UUID(int=paid_minor),
            wallet_id=AN_ID,
            currency="USD",
            amounts=Amounts(paid_minor, 0),
            requires_payment=True,
            created_at=NOW - timedelta(days=days),
            rule_id=rule,
            status=status,
            closed_at=None if status is TopUpStatus.PENDING else NOW - timedelta(days=days) + HOUR,
        )

    recent = [
        top_up(TopUpStatus.SETTLED, 1, days=1, rule=AN_ID),
        top_up(TopUpStatus.SETTLED, 2, days=10, rule=AN_ID),  # In February.
        top_up(TopUpStatus.FAILED, 4, days=3, rule=ANOTHER),
        top_up(TopUpStatus.FAILED, 8, days=2, rule=None),  # By hand: no decline of a rule.
        top_up(TopUpStatus.PENDING, 16, days=4, rule=ANOTHER),
        top_up(TopUpStatus.PENDING, 32, days=5, rule=None),
    ]
    found = situation_of(a_rule(), recent, now=NOW, ongoing_minor=7, limits=Limits())
    assert found == Situation(
        instant=NOW,
        ongoing_minor=7,
        pending_minor=48,
        outstanding=False,
        bought_minor=1,
        declined_at=NOW - timedelta(days=3) + HOUR,
        settled_at=NOW - timedelta(days=1) + HOUR,
    )


def test_limits_refuse_what_lies_outside_and_have_nothing_against_gifts() -> None:
    limits = Limits(5, 10)
    for fine in (0, 5, 10):
        limits.check(fine)
    with pytest.raises(TopUpBelowMinimum) as below:
        limits.check(4)
    assert below.value.metadata == {"minimum_minor": "5", "asked_minor": "4"}
    with pytest.raises(TopUpAboveMaximum):
        limits.check(11)


def test_the_highest_threshold_of_live_rules_is_watched() -> None:
    rules = [
        a_rule(Below(5)),
        a_rule(Below(9), archived_at=NOW),
        a_rule(Every(Interval.DAY, NOW.date())),
    ]
    assert highest_threshold(rules) == 5
    assert highest_threshold(rules[1:]) is None
