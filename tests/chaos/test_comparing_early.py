"""The comparison of fees, early bills and units, on plain data: it finds each fault."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from tests.chaos.comparing import compare_billing
from tests.chaos.comparing_early import compare_early
from tests.chaos.expected import CALL, JOB, LEVEL, TARIFFS, Seat, weighed
from tests.chaos.expected_early import add_on_fee
from tests.chaos.known import Fate, FeeTold, Known, UnitsAsked, Usage
from tests.chaos.seen import (
    Books,
    Charged,
    FeeSeen,
    InvoiceSeen,
    LineSeen,
    Log,
    PeriodSeen,
    Stored,
    UnitsSeen,
)
from tests.chaos.terms import Terms

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
DAY = timedelta(days=1)
ACME, BETA = Seat("acme-0", "acme", "instant", 0), Seat("beta-0", "beta", "seated", 0)
TERMS = Terms([ACME, BETA], [MONDAY], frozenset())
# The second call is dated before the first one, so that each costs what it would alone.
FIRST = Usage(CALL, "acme", "acme-0", MONDAY + 2 * DAY, Decimal(40))
SECOND = Usage(CALL, "acme", "acme-0", MONDAY + DAY, Decimal(10))
COUNTED = Usage(JOB, "acme", "acme-0", MONDAY, Decimal(3))
STAYING = Usage(LEVEL, "beta", "beta-0", MONDAY + 6 * DAY, Decimal(7))
EVENTS = [FIRST, SECOND, COUNTED, STAYING]
SEATS = UnitsSeen("seats", Decimal(6), (MONDAY + 2 * DAY).date(), MONDAY + 2 * DAY)


@dataclass(frozen=True, slots=True)
class Case:
    """A round that went well: calls at 0.56 + 0.16 as they came, 0.64 in the end; 6 seats."""

    known: Known
    log: Log
    books: Books

    def differences(self) -> list[str]:
        """Return all that the comparison finds."""
        found = [*compare_billing(TERMS, self.log, self.books)]
        return found + [*compare_early(TERMS, self.known, self.log, self.books)]

    def with_fees(self, fees: Sequence[FeeSeen]) -> Case:
        """Return the round with other fees."""
        return replace(self, books=replace(self.books, fees=fees))

    def with_lines(self, lines: Sequence[LineSeen]) -> Case:
        """Return the round with other lines on its one invoice."""
        return replace(self, books=replace(self.books, invoices=[invoice(lines)]))

    @property
    def lines(self) -> list[LineSeen]:
        """Return the lines of its one invoice."""
        return [*self.books.invoices[0].lines]


def fee(number: int, code: str, event: Usage, amount: str) -> FeeSeen:
    units = Decimal(1) if event.type == JOB else event.value
    payment = "succeeded" if code == "apart" else "unspecified"
    place = (0, number, 0)
    return FeeSeen(
        f"{code}-{number}", "acme-0", code, place, event.time, units, Fraction(amount), payment
    )


def line(
    seat: Seat, code: str, period_id: str, charged: tuple[str, int, int], *, adjustment: int = 0
) -> LineSeen:
    units, events, amount = charged
    shown = Charged(Decimal(units), events, amount)
    return LineSeen(seat.subscription_id, MONDAY, code, adjustment, shown, 0, period_id)


def invoice(lines: Sequence[LineSeen]) -> InvoiceSeen:
    total = sum(one.charged.amount_minor for one in lines)
    return InvoiceSeen("invoice-1", "INV-1", "finalized", "acme", lines, total, 0, 0, total)


def good() -> Case:
    """Return the round; the rest of a cent of the job is left to the end of its week."""
    fees = [
        *(fee(0, "soon", FIRST, "56"), fee(0, "apart", FIRST, "120")),
        *(fee(1, "soon", SECOND, "16"), fee(1, "apart", SECOND, "30")),
        fee(2, "daily", COUNTED, "1.2"),
    ]
    lines = [
        *(line(ACME, "soon", "early-1", ("40", 1, 56)), line(ACME, "soon", "usage", ("10", 1, 8))),
        line(ACME, "daily", "early-2", ("1", 1, 1)),
        line(ACME, "support", "usage", ("1", 0, 2000)),
        line(BETA, LEVEL, "levels", ("1", 1, 35)),
        line(BETA, "seats", "fixed", ("4", 0, 2800)),
        line(BETA, "seats", "fixed", ("2", 0, 1000), adjustment=1),
    ]
    acme = [("usage", "usage"), ("instant", "early-1"), ("instant", "early-2")]
    beta = [("usage", "levels"), ("fixed", "fixed")]
    books = Books(
        periods={
            "acme-0": [PeriodSeen(kind, MONDAY, "closed", named) for kind, named in acme],
            "beta-0": [PeriodSeen(kind, MONDAY, "closed", named) for kind, named in beta],
        },
        invoices=[invoice(lines)],
        wallets=[],
        unbalanced=[],
        fees=fees,
        units={"beta-0": [SEATS]},
    )
    identities = [("", str(number)) for number in range(len(EVENTS))]
    stored = [Stored(identity, (0, number, 0)) for number, identity in enumerate(identities)]
    log = Log([*zip(identities, EVENTS, strict=True)], [], {}, stored)
    told = {one.fee_id: FeeTold("1.2", {"succeeded"}) for one in fees if one.fee_id == "apart-0"}
    told["apart-1"] = FeeTold("0.3", {"pending", "succeeded"})
    asked = UnitsAsked("beta-0", "seats", Decimal(6), Fate.ACKNOWLEDGED)
    answered = {one.identity: MONDAY for one in log.stored}
    return Case(Known(units=[asked], fees=told, answered_at=answered), log, books)


def bill_the_correction_twice(case: Case) -> Case:
    again = replace(case.lines[1], period_id="again")
    return case.with_lines([*case.lines, again])


def bill_early_twice(case: Case) -> Case:
    again = replace(case.lines[2], period_id="early-1")
    return case.with_lines([*case.lines, again])


def bill_whole_usage_after_fees(case: Case) -> Case:
    return case.with_lines([*case.lines, line(ACME, "apart", "usage", ("50", 2, 150))])


def bill_raise_twice(case: Case) -> Case:
    again = line(BETA, "seats", "fixed", ("2", 0, 1000), adjustment=2)
    return case.with_lines([*case.lines, again])


def forget_days_left(case: Case) -> Case:
    whole = line(BETA, "seats", "fixed", ("2", 0, 1400), adjustment=1)
    return case.with_lines([*case.lines[:-1], whole])


def forget_weights(case: Case) -> Case:
    changed = line(BETA, LEVEL, "levels", ("7", 1, 245))
    return case.with_lines([one if one.charge_code != LEVEL else changed for one in case.lines])


def double_fee(case: Case) -> Case:
    return case.with_fees([*case.books.fees, replace(case.books.fees[0], fee_id="other")])


def lose_fee(case: Case) -> Case:
    return case.with_fees(case.books.fees[1:])


def price_too_high(case: Case) -> Case:
    first, *others = case.books.fees
    return case.with_fees([replace(first, amount=Fraction(65)), *others])


def mistake_event(case: Case) -> Case:
    first, *others = case.books.fees
    return case.with_fees([replace(first, units=Decimal(41)), *others])


def leave_bills_waiting(case: Case) -> Case:
    return case.with_lines([replace(case.lines[0], period_id="usage"), *case.lines[1:]])


def lose_payment(case: Case) -> Case:
    fees = case.books.fees
    return case.with_fees([fees[0], replace(fees[1], payment="pending"), *fees[2:]])


def change_told_fee(case: Case) -> Case:
    told = case.known.fees | {"apart-0": FeeTold("1.3", {"succeeded"})}
    return replace(case, known=replace(case.known, fees=told))


def pay_unasked(case: Case) -> Case:
    return replace(case, known=replace(case.known, fees={}))


def leave_early_open(case: Case) -> Case:
    acme = case.books.periods["acme-0"]
    periods = {**case.books.periods, "acme-0": [*acme[:2], replace(acme[2], status="due")]}
    return replace(case, books=replace(case.books, periods=periods))


def lose_units(case: Case) -> Case:
    return replace(case, books=replace(case.books, units={}))


def change_units_twice(case: Case) -> Case:
    return replace(case, books=replace(case.books, units={"beta-0": [SEATS, SEATS]}))


FAULTS: list[tuple[Callable[[Case], Case], str]] = [
    (bill_the_correction_twice, "soon of acme-0 from 2026-01-05 is billed as"),
    (bill_early_twice, "'daily') is billed early at 2, its fees are 1.2"),
    (bill_whole_usage_after_fees, "apart of acme-0 from 2026-01-05 is billed as"),
    (bill_raise_twice, "seats of beta-0 from 2026-01-05 is billed as"),
    (forget_days_left, "seats of beta-0 from 2026-01-05 is billed as"),
    (forget_weights, "level of beta-0 from 2026-01-05 is billed as"),
    (double_fee, "event ('', '0') has 2 fees of soon"),
    (lose_fee, "event ('', '0') has no fee of soon"),
    (price_too_high, "fee of soon for 40 units is 65 minor units"),
    (mistake_event, "is not one of ('', '0')"),
    (leave_bills_waiting, "'soon') is billed early at 0, its fees are 72.0"),
    (lose_payment, "payment of fee apart-0 is pending, told were ['succeeded']"),
    (change_told_fee, "fee apart-0 was told as 1.3"),
    (pay_unasked, "fee apart-0 is succeeded, nobody has paid it"),
    (leave_early_open, "periods of acme-0 are [('instant'"),
    (lose_units, "units of beta-0: acknowledged and missing"),
    (change_units_twice, "units of beta-0: there without being asked for"),
]


def test_a_round_with_early_bills_and_raised_units_has_no_differences() -> None:
    assert good().differences() == []


@pytest.mark.parametrize(("plant", "found"), FAULTS, ids=[plant.__name__ for plant, _ in FAULTS])
def test_the_comparison_finds(plant: Callable[[Case], Case], found: str) -> None:
    differences = plant(good()).differences()
    assert any(found in one for one in differences), differences


def test_units_for_the_next_week_are_those_it_begins_with() -> None:
    asked = [
        UnitsSeen("seats", Decimal(units), MONDAY.date(), MONDAY + hours * timedelta(hours=1))
        for units, hours in ((3, -1), (5, 1), (2, 2), (4, 3))
    ]
    from_monday = add_on_fee(TARIFFS["seated"].add_ons["seats"], asked, MONDAY)
    assert from_monday == Charged(Decimal(5), 0, 3500)  # 3 x 7 and 2 x 7.


@pytest.mark.parametrize(("value", "units"), [("7", "1"), ("1", "0.14286")])
def test_a_level_counts_from_its_day_on(value: str, units: str) -> None:
    assert weighed([(MONDAY + 6 * DAY, Decimal(value))], MONDAY) == Decimal(units)
