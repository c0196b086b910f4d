"""Bills of instant fees: when they are made, what is carried, and what the end corrects."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from services.rating.domain.event import Moment
from services.rating.domain.fee import Fee, FeeKey, FeeKind
from services.rating.domain.instant_bill import Bill, bill_fee, settle, settled, without_refunds
from services.rating.domain.instant_charge import InstantTerms, Settle
from services.rating.domain.instant_fee import (
    InstantFee,
    InstantFeeInvoiced,
    InstantFeePaid,
    PaymentStatus,
    check_payment,
)
from services.rating.domain.instant_state import Unbilled
from services.rating.domain.plan import Charge
from services.rating.domain.price import StandardPrice, flat_row
from tests.unit.rating.test_charges import a_version

D = Decimal
PERIOD = UUID(int=1)
KEY = FeeKey(FeeKind.USAGE, "calls", "")
EU = replace(KEY, filter_code="eu")


def a_charge(settle_: Settle, amount: str = "") -> Charge:
    terms = InstantTerms(settle_, D(amount) if amount else None)
    return Charge("calls", "calls", "Calls", StandardPrice(D(1)), (), instant=terms)


def fees(*costs: str, key: FeeKey = KEY, status: PaymentStatus | None = None) -> list[InstantFee]:
    """Return fees of one unit each, a second apart."""
    return [
        InstantFee(PERIOD, key, Moment(time, 0, 7, time), D(1), D(cost), status)
        for time, cost in enumerate(costs)
    ]


def billed(charge: Charge, *costs: str, before: str = "0") -> tuple[object, ...]:
    """Return the bills in cents by name, what is left, and the units that wait with it."""
    made, left = settle(charge, "Calls", fees(*costs), {KEY: Unbilled(D(before))}, currency="USD")
    cents = {name: [bill.amount_minor for bill in bills] for name, bills in made}
    return cents, left[KEY].exact, left[KEY].units


def test_each_event_is_billed_and_what_is_below_a_cent_is_carried() -> None:
    # 0.006 waits; 0.012 are a cent; 0.002 + 0.018 are two.
    assert billed(a_charge(Settle.EVENT), "0.006", "0.006", "0.018") == (
        {"calls/0-7-1": [1], "calls/0-7-2": [2]},
        0,
        0,
    )


def test_a_day_bills_what_a_slice_brings_as_a_whole() -> None:
    assert billed(a_charge(Settle.DAILY), "0.006", "0.006", "0.018") == ({"": [3]}, 0, 0)
    assert billed(a_charge(Settle.DAILY), "0.006") == ({}, D("0.006"), 1)


def test_an_amount_is_billed_once_it_is_reached() -> None:
    charge = a_charge(Settle.AMOUNT, "5")
    assert billed(charge, "2", "2.99") == ({}, D("4.99"), 2)
    assert billed(charge, "2", "2.995", before="0.005") == ({"calls/0-7": [500]}, 0, 0)


def test_an_amount_is_that_of_all_groups_together() -> None:
    charge = a_charge(Settle.AMOUNT, "5")
    before = {KEY: Unbilled(D("2.004"), D(3), 1)}
    [(_, bills)], left = settle(charge, "Calls", fees("3", key=EU), before, currency="USD")
    assert {(bill.key, bill.amount_minor, bill.units) for bill in bills} == {
        (KEY, 200, D(3)),
        (EU, 300, D(1)),
    }
    assert left[KEY] == Unbilled(D("0.004"), carried=D("0.004"))


def test_currencies_without_cents_carry_what_is_below_one_unit() -> None:
    made, left = settle(a_charge(Settle.DAILY), "Calls", fees("1.5"), {}, currency="JPY")
    assert [bill.amount_minor for _, bills in made for bill in bills] == [1]
    assert left[KEY].exact == D("0.5")


def test_a_bill_shows_what_its_events_cost_and_what_is_carried() -> None:
    charge = a_charge(Settle.DAILY)
    before = {KEY: Unbilled(D("0.005"), carried=D("0.005"))}
    [(_, [bill])], _ = settle(charge, "Calls", fees("0.118"), before, currency="USD")
    fee = bill_fee(bill, "USD")
    assert [(row.label, row.amount) for row in fee.rows] == [
        ("instant", D("0.118")),
        ("carried", D("0.002")),
    ]
    assert (fee.exact_amount, fee.amount_minor, fee.display_name) == (D("0.12"), 12, "Calls")


def a_fee(amount: str, *, key: FeeKey = KEY) -> Fee:
    rows = (flat_row("units", D(amount)),)
    return Fee(key, "calls", "Calls", D(10), 2, D(amount), int(D(amount) * 100), rows)


def a_bill(minor: int, *, key: FeeKey = KEY) -> Bill:
    return Bill(key, "calls", "Calls", D(4), 1, D(minor) / 100, minor)


def test_the_end_of_the_period_bills_the_difference() -> None:
    version = a_version(a_charge(Settle.EVENT))
    [less] = settled(version, [a_fee("5")], [a_bill(500), a_bill(30)], "USD")
    assert (less.key.kind, less.amount_minor, less.exact_amount) == (
        FeeKind.CORRECTION,
        -30,
        D("-0.3"),
    )
    assert (less.units, less.event_count) == (D(2), 0)
    [more] = settled(version, [a_fee("5.004")], [], "USD")
    assert (more.key.kind, more.amount_minor) == (FeeKind.CORRECTION, 500)
    assert settled(version, [a_fee("5")], [a_bill(500)], "USD") == []


def test_what_was_billed_of_a_group_that_is_gone_is_given_back() -> None:
    version = a_version(a_charge(Settle.EVENT))
    [gone] = settled(version, [], [a_bill(30, key=EU)], "USD")
    assert (gone.key, gone.amount_minor, gone.units) == (
        replace(EU, kind=FeeKind.CORRECTION),
        -30,
        D(-4),
    )


def test_charges_that_settle_with_the_period_are_billed_as_they_are() -> None:
    fee = a_fee("5")
    assert settled(a_version(a_charge(Settle.PERIOD)), [fee], [], "USD") == [fee]
    apart = replace(a_charge(Settle.PERIOD), instant=InstantTerms(invoiced=False))
    assert (
        settled(a_version(apart), [fee], [replace(a_bill(0), rated=D(5), amount_minor=None)], "USD")
        == []
    )


def test_fees_that_go_on_no_invoice_are_corrected_by_what_they_cost_exactly() -> None:
    version = a_version(replace(a_charge(Settle.PERIOD), instant=InstantTerms(invoiced=False)))
    paid = replace(a_bill(0), rated=D("5.304"), amount_minor=None)
    [more] = settled(version, [a_fee("6.31")], [paid], "USD")
    assert (more.key.kind, more.exact_amount, more.amount_minor) == (
        FeeKind.CORRECTION,
        D("1.006"),
        101,
    )
    [gone] = settled(version, [], [paid], "USD")
    assert (gone.exact_amount, gone.display_name) == (D("-5.304"), paid.display_name)


def test_corrections_beyond_all_else_wait_for_an_adjustment() -> None:
    version = a_version(a_charge(Settle.EVENT))
    [refund] = settled(version, [], [a_bill(30)], "USD")
    small = a_fee("0.1", key=EU)
    assert without_refunds([small, refund]) == (small,)
    large = a_fee("0.3", key=EU)
    assert without_refunds([large, refund]) == (large, refund)


def test_a_payment_may_fail_and_then_succeed_for_good() -> None:
    failed, paid, pending = (
        PaymentStatus.FAILED,
        PaymentStatus.SUCCEEDED,
        PaymentStatus.PENDING,
    )
    for status in (failed, paid, pending):
        check_payment(fees("1", status=failed)[0], status)
    check_payment(fees("1", status=paid)[0], paid)
    with pytest.raises(InstantFeePaid):
        check_payment(fees("1", status=paid)[0], failed)
    with pytest.raises(InstantFeeInvoiced):
        check_payment(fees("1")[0], paid)
