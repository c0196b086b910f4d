"""Minimum commitments: what the fees of a period lack, by days, to the cent."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from libs.errors import FieldInvalid
from libs.period import DayPeriod
from services.rating.domain.commitment import (
    Besides,
    Commitment,
    check_commitment,
    commitment_fee,
)
from services.rating.domain.fee import Fee, FeeKey, FeeKind
from services.rating.domain.period import PeriodKind, PeriodStatus
from services.rating.domain.plan import IntervalUnit, PlanVersion, Timing
from services.rating.domain.price import amount_of
from services.rating.operations.rating import besides_of, price_period
from tests.unit.rating.periods import a_billing_period

D = Decimal
APRIL = DayPeriod(date(2026, 4, 1), date(2026, 5, 1))
HALF = DayPeriod(date(2026, 4, 16), date(2026, 5, 1))
NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERSION = PlanVersion(
    UUID(int=2),
    1,
    IntervalUnit.MONTH,
    D(300),
    Timing.IN_ARREARS,
    (),
    NOW,
    minimum_commitment=D(1000),
)


def a_fee(kind: FeeKind, minor: int) -> Fee:
    return Fee(FeeKey(kind, "c", ""), "", "", D(1), 0, D(minor) / 100, minor, ())


def lacking(days: DayPeriod, *fees: Fee, besides: Besides) -> Fee | None:
    commitment = Commitment(D(1000), days.days, APRIL, besides)
    return commitment_fee(commitment, fees, name="Pro", currency="USD")


def test_what_base_fee_usage_and_fixed_charges_lack_is_a_fee() -> None:
    used = [a_fee(FeeKind.USAGE, 30_00), a_fee(FeeKind.MINIMUM, 5_00), a_fee(FeeKind.FIXED, 7_00)]
    besides = Besides(base_minor=50_00, usage_minor=2_00, fixed_minor=8_00)
    fee = lacking(HALF, *used, besides=besides)
    assert fee is not None
    assert (fee.key, fee.amount_minor) == (FeeKey(FeeKind.COMMITMENT, "", ""), 398_00)
    assert [(row.label, row.amount) for row in fee.rows] == [
        *(("proration", D(500)), ("base_fee", D(-50)), ("used", D(-37)), ("fixed_fees", D(-15))),
    ]
    assert fee.exact_amount == amount_of(fee.rows) == 398


@pytest.mark.parametrize(("used", "lacks"), [(499_99, 1), (500_00, None), (500_01, None)])
def test_a_commitment_that_is_reached_adds_nothing(used: int, lacks: int | None) -> None:
    fee = lacking(HALF, a_fee(FeeKind.USAGE, used), besides=Besides())
    assert (None if fee is None else fee.amount_minor) == lacks


def test_a_share_that_does_not_end_is_rounded_once() -> None:
    ten = DayPeriod(date(2026, 4, 1), date(2026, 4, 11))
    fee = lacking(ten, a_fee(FeeKind.USAGE, 33), besides=Besides())
    assert fee is not None
    assert fee.amount_minor == 333_33 - 33
    assert fee.rows[0].amount.as_tuple().exponent == -30


def test_a_usage_period_without_charges_bills_what_the_base_fee_lacks() -> None:
    usage, base = (
        a_billing_period(kind, whole=APRIL, fee_days=HALF, status=PeriodStatus.OPEN)
        for kind in (PeriodKind.USAGE, PeriodKind.BASE)
    )
    besides = besides_of([base], {VERSION.plan_version_id: VERSION}, {})
    assert besides == Besides(base_minor=150_00)
    rated = price_period(usage, VERSION, {}, {}, besides=besides)
    assert [(fee.key.kind, fee.amount_minor) for fee in rated.fees] == [("commitment", 350_00)]
    assert price_period(usage, VERSION, {}, {}, besides=besides, closing=False).fees == ()
    # Behind a trial that shelters all of its days there is no period of the base fee.
    [alone] = price_period(usage, VERSION, {}, {}).fees
    assert alone.amount_minor == 500_00


def test_a_commitment_beyond_what_can_be_billed_is_refused() -> None:
    check_commitment(VERSION, "USD")
    check_commitment(replace(VERSION, minimum_commitment=D(10) ** 13), "USD")
    with pytest.raises(FieldInvalid, match="1000000000000001 minor units"):
        check_commitment(replace(VERSION, minimum_commitment=D("10000000000000.01")), "USD")
