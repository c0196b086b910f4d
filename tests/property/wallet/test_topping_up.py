"""Whatever happens to a wallet, its rules keep their promises."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from libs.period import local_day
from services.wallet.domain import top_up as topping
from services.wallet.domain.top_up import Amounts, TopUp, TopUpStatus
from services.wallet.domain.top_up_limits import Limits
from services.wallet.domain.top_up_rule import Below, Every, Fixed, Interval, TopUpRule, UpTo
from services.wallet.domain.topping_up import BACK_OFF, look, situation_of

START = datetime(2026, 1, 20, 7, tzinfo=UTC)
WALLET = UUID(int=99)
ZONES = st.sampled_from(["UTC", "Asia/Tokyo", "America/Los_Angeles"]).map(ZoneInfo)
TRIGGERS = st.one_of(
    st.builds(Below, st.integers(0, 50), st.integers(0, 100).map(lambda h: timedelta(hours=h))),
    st.builds(Every, st.sampled_from(Interval), st.dates(date(2025, 1, 1), date(2026, 3, 1))),
)
AMOUNTS = st.one_of(
    st.builds(Fixed, st.integers(0, 30), st.integers(1, 5)),
    st.builds(UpTo, st.integers(51, 80), st.booleans()),
)
LIMITS = st.builds(Limits, st.none() | st.integers(1, 20), st.none() | st.integers(20, 60))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["spend", "pay", "decline", "wait"]),
        st.integers(1, 40),  # What is spent, or how long nothing happens, in hours.
    ),
    max_size=60,
)


@st.composite
def rules(draw: st.DrawFn, rule_id: UUID) -> TopUpRule:
    zone = draw(ZONES)
    return TopUpRule(
        rule_id=rule_id,
        wallet_id=WALLET,
        name="",
        trigger=draw(TRIGGERS),
        amount=draw(AMOUNTS),
        zone=zone,
        requires_payment=True,
        created_at=START,
        done_through=local_day(START, zone),
        look_at=START,
        ignores_limits=draw(st.booleans()),
        monthly_cap_minor=draw(st.none() | st.integers(1, 90)),
    )


@given(rules(UUID(int=1)), rules(UUID(int=2)), LIMITS, STEPS)
def test_rules_never_go_beyond_their_cap_nor_twice_through_an_occasion(
    one: TopUpRule, other: TopUpRule, limits: Limits, steps: list[tuple[str, int]]
) -> None:
    now, ongoing = START, 100
    live = [one, other]
    made: dict[UUID, TopUp] = {}
    for step, number in [("wait", 1), *steps]:
        pending = [each for each in made.values() if each.status is TopUpStatus.PENDING]
        if step == "spend":
            ongoing -= number
        elif step == "wait":
            now += timedelta(hours=number)
        elif pending and step == "pay":
            settled = topping.settle(pending[0], now)
            assert settled is not None
            made[settled.top_up_id] = settled
            ongoing += settled.amounts.paid_minor
        elif pending and step == "decline":
            failed = topping.give_up(pending[0], TopUpStatus.FAILED, now)
            assert failed is not None
            made[failed.top_up_id] = failed
        if step != "wait":
            live = [replace(rule, look_at=now) for rule in live]
        for _ in range(100):  # As often as rules are due, as the loop does it.
            due = [place for place, rule in enumerate(live) if rule.is_due(now)]
            if not due:
                break
            rule = live[due[0]]
            before = situation_of(
                rule, made.values(), now=now, ongoing_minor=ongoing, limits=limits
            )
            seen = look(rule, before)
            live[due[0]] = seen.rule
            if seen.amounts is None:
                continue
            assert not before.outstanding
            backs_off = before.declined_at is not None and now < before.declined_at + BACK_OFF
            if backs_off and (before.settled_at or START) < (before.declined_at or START):
                assert not seen.amounts.paid_minor
            fired = topping.opened(
                TopUp(
                    top_up_id=UUID(int=len(made) + 1),
                    wallet_id=WALLET,
                    currency="USD",
                    amounts=seen.amounts,
                    requires_payment=True,
                    created_at=now,
                    rule_id=rule.rule_id,
                    occasion=seen.occasion,
                )
            )
            made[fired.top_up_id] = fired
            ongoing += fired.amounts.granted_minor
        else:
            raise AssertionError("a rule is due again and again")
    assert_kept(live, list(made.values()))


def assert_kept(live: list[TopUpRule], made: list[TopUp]) -> None:
    """Look at all that was made at the end, by an account of its own."""
    occasions = Counter((each.rule_id, each.occasion) for each in made)
    assert not occasions or max(occasions.values()) == 1
    for rule in live:
        mine = [each for each in made if each.rule_id == rule.rule_id]
        months: Counter[tuple[int, int]] = Counter()
        for each in mine:
            day = local_day(each.created_at, rule.zone)
            assert isinstance(rule.trigger, Below) or day > local_day(START, rule.zone)
            if each.status in (TopUpStatus.PENDING, TopUpStatus.SETTLED):
                months[day.year, day.month] += each.amounts.paid_minor
        if rule.monthly_cap_minor is not None:
            assert max(months.values(), default=0) <= rule.monthly_cap_minor
        if isinstance(rule.trigger, Below):
            times = [each.created_at for each in mine]
            apart = [b - a for a, b in zip(times, times[1:], strict=False)]
            assert all(gap >= rule.trigger.cool_down for gap in apart)


@given(st.lists(st.sampled_from(["paid", "failed"]), min_size=1, max_size=4))
def test_the_outcome_of_a_top_up_does_not_depend_on_the_order_of_what_is_heard(
    heard: list[str],
) -> None:
    ends = set()
    for order in permutations(heard):
        top_up = TopUp(
            top_up_id=UUID(int=1),
            wallet_id=WALLET,
            currency="USD",
            amounts=Amounts(5, 0),
            requires_payment=True,
            created_at=START,
        )
        credited = 0
        for fact in order:
            if fact == "paid" and (settled := topping.settle(top_up, START)):
                top_up, credited = settled, credited + 5
            if fact == "failed":
                top_up = topping.give_up(top_up, TopUpStatus.FAILED, START) or top_up
        ends.add((top_up.status, credited))
    paid = (TopUpStatus.SETTLED, 5)
    assert ends == {paid if "paid" in heard else (TopUpStatus.FAILED, 0)}
