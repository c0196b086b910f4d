"""Shares of customers, and fees compared with what was frozen of them."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from libs.difference import Difference
from libs.partition import partition_of
from services.rating.domain.fee import Fee, FeeKey, FeeKind, adjustments
from services.rating.domain.price import StandardPrice, rate
from services.rating.domain.verification import (
    RANGES,
    Share,
    breakdown_differences,
    fee_differences,
)

CUSTOMERS = [(tenant, f"customer-{n}") for tenant in (1, 2) for n in range(500)]
PARTITIONS = 4


def test_every_customer_is_in_one_share_however_often_shares_are_halved() -> None:
    shares = [Share(partition, PARTITIONS) for partition in range(PARTITIONS)]
    for _ in range(4):
        shares = [half for share in shares for half in share.halves() or ()]
    assert len(shares) == PARTITIONS * 2**4
    for customer in CUSTOMERS:
        assert sum(share.holds(*customer) for share in shares) == 1
    assert sum(any(share.holds(*one) for one in CUSTOMERS) for share in shares) > 50


def test_a_share_is_of_the_partition_that_the_log_is_cut_by() -> None:
    for tenant, customer in CUSTOMERS:
        partition = partition_of(tenant, customer, PARTITIONS)
        assert Share(partition, PARTITIONS).holds(tenant, customer)


def test_a_share_of_one_place_cannot_be_halved() -> None:
    assert Share(0, PARTITIONS, 7, 8).halves() is None
    assert Share(0, PARTITIONS, 0, RANGES).halves() is not None


def test_a_close_is_compared_fee_by_fee() -> None:
    found = fee_differences(1, {}, [[a_fee("calls", "10")]], [a_fee("calls", "12")])
    assert {(one.field, one.stored, one.recomputed) for one in found} >= {
        ("units", "10", "12"),
        ("exact_amount", "20", "24"),
        ("amount_minor", "2000", "2400"),
    }
    assert fee_differences(1, {}, [[a_fee("calls", "10")]], [a_fee("calls", "10.0")]) == []


def test_a_fee_keeps_the_name_that_its_meter_had_when_it_was_closed() -> None:
    frozen, now = a_fee("calls", "10"), replace(a_fee("calls", "10"), display_name="API calls")
    assert fee_differences(1, {}, [[frozen]], [now]) == []


def test_a_fee_that_is_missing_or_too_many_is_found() -> None:
    frozen, now = [a_fee("old", "1")], [a_fee("new", "2")]
    found = fee_differences(1, {"period_id": "p"}, [frozen], now)
    assert found == [
        Difference(1, "fee", names("old"), "amount_minor", "200", ""),
        Difference(1, "fee", names("new"), "amount_minor", "", "400"),
    ]


def test_adjustments_are_compared_by_their_sums() -> None:
    first, second, now = ([a_fee("calls", units)] for units in ("10", "13", "12"))
    changed = adjustments(second, first)
    assert fee_differences(1, {}, [first, changed], second) == []
    found = fee_differences(1, {"period_id": "p"}, [first, changed], now)
    assert found == [
        Difference(1, "fee", names("calls"), "units", "13", "12"),
        Difference(1, "fee", names("calls"), "exact_amount", "26", "24"),
        Difference(1, "fee", names("calls"), "amount_minor", "2600", "2400"),
    ]


def test_what_was_adjusted_and_is_gone_by_now_is_found() -> None:
    frozen = [a_fee("calls", "10")]
    found = fee_differences(1, {"period_id": "p"}, [frozen, []], [])
    assert Difference(1, "fee", names("calls"), "units", "10", "0") in found


def test_rows_that_do_not_add_up_are_found() -> None:
    fee = a_fee("calls", "10")
    assert breakdown_differences(1, {}, [fee]) == []
    wrong = Fee(fee.key, "", "", fee.units, 1, Decimal(21), 2100, fee.rows)
    assert breakdown_differences(1, {"period_id": "p"}, [wrong]) == [
        Difference(1, "fee", names("calls"), "exact_amount", "21", "20")
    ]


def a_fee(charge: str, units: str) -> Fee:
    """Return the fee of a charge of $2 a unit."""
    rows = rate(StandardPrice(Decimal(2)), Decimal(units))
    exact = rows[0].amount
    key = FeeKey(FeeKind.USAGE, charge, "")
    return Fee(key, charge, charge, Decimal(units), 1, exact, int(exact * 100), rows)


def names(charge: str) -> dict[str, str]:
    return {"period_id": "p", "fee": "usage", "charge_code": charge}
