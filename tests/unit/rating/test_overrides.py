"""Overrides: prices of a plan version that are other ones, and what of them does not fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from services.rating.domain.filters import DimensionFilter
from services.rating.domain.meter import Aggregation, Dimension, Meter
from services.rating.domain.overrides import (
    ChargeOverride,
    FixedChargeOverride,
    Overrides,
    overridden,
    override_faults,
)
from services.rating.domain.plan import Charge, FilterBucket, PlanVersion
from services.rating.domain.price import PackagePrice, StandardPrice
from services.rating.domain.thresholds import UsageThresholds
from tests.unit.rating.test_commitment import VERSION
from tests.unit.rating.test_fixed_fees import SEATS

D = Decimal
NOW = datetime(2026, 4, 1, tzinfo=UTC)
CALLS = Meter(
    UUID(int=7), "calls", "Calls", "calls", Aggregation.SUM, "v", (Dimension("region", ()),), NOW
)
EU = FilterBucket("eu", (DimensionFilter("region", frozenset({"eu"})),), StandardPrice(D(2)))
CHARGE = Charge("calls", "calls", "", StandardPrice(D(1)), (EU, replace(EU, code="us")))
PLAN = replace(
    VERSION,
    charges=(CHARGE, replace(CHARGE, code="other")),
    fixed_charges=(SEATS,),
    usage_thresholds=UsageThresholds((D(10),)),
)


def other(overrides: Overrides) -> PlanVersion:
    return overridden(PLAN, overrides, plan_version_id=UUID(int=9), created_at=NOW)


def faults(overrides: Overrides, version: PlanVersion = PLAN) -> list[str]:
    found = override_faults(version, overrides, {"calls": CALLS}, "USD")
    return [fault.field.removeprefix("overrides.") for fault in found]


def test_only_what_is_named_is_other() -> None:
    own = other(Overrides(minimum_commitment=D(5), trial_days=0))
    assert (own.plan_version_id, own.version, own.created_at) == (UUID(int=9), 1, NOW)
    assert own == replace(
        PLAN, plan_version_id=UUID(int=9), created_at=NOW, minimum_commitment=D(5), trial_days=0
    )
    assert not Overrides()


def test_prices_are_other_by_charge_and_bucket() -> None:
    named = ChargeOverride("calls", StandardPrice(D(3)), (("us", StandardPrice(D(4))),))
    first, second = other(Overrides(charges=(named,))).charges
    assert first.prices == {"eu": EU.price, "us": StandardPrice(D(4)), "": StandardPrice(D(3))}
    assert second == PLAN.charges[1]
    assert other(Overrides(charges=(replace(named, price=None),))).charges[0].price == CHARGE.price


def test_units_and_prices_of_fixed_charges_are_other() -> None:
    [charge] = other(
        Overrides(fixed_charges=(FixedChargeOverride("seats", None, D(2)),))
    ).fixed_charges
    assert charge == replace(SEATS, units=D(2))
    own = FixedChargeOverride("seats", StandardPrice(D(7)), None)
    [charge] = other(Overrides(fixed_charges=(own,))).fixed_charges
    assert charge == replace(SEATS, price=StandardPrice(D(7)))


def test_thresholds_are_other_or_none() -> None:
    assert other(Overrides()).usage_thresholds == PLAN.usage_thresholds
    assert other(Overrides(usage_thresholds=UsageThresholds((), D(1)))).usage_thresholds == (
        UsageThresholds((), D(1))
    )
    assert other(Overrides(usage_thresholds=UsageThresholds(()))).usage_thresholds is None


@pytest.mark.parametrize(
    ("overrides", "fields"),
    [
        (Overrides(), []),
        (Overrides(base_amount=D(10) ** 14), ["base_amount"]),
        (Overrides(minimum_commitment=D(10) ** 14), ["minimum_commitment"]),
        (Overrides(charges=(ChargeOverride("x", None),)), ["charges[0].code"]),
        (
            Overrides(charges=(ChargeOverride("calls", None), ChargeOverride("calls", None))),
            ["charges[1].code"],
        ),
        (
            Overrides(
                charges=(
                    ChargeOverride(
                        "calls",
                        None,
                        (("eu", EU.price), ("x", EU.price), ("eu", EU.price)),
                    ),
                )
            ),
            ["charges[0].buckets[2].code", "charges[0].buckets[1].code"],
        ),
        (
            Overrides(fixed_charges=(FixedChargeOverride("calls", None, D(1)),)),
            ["fixed_charges[0].code"],
        ),
        (
            Overrides(fixed_charges=(FixedChargeOverride("seats", None, D(10) ** 11),)),
            ["fixed_charges[0].units"],
        ),
    ],
)
def test_what_does_not_fit_the_plan_version_is_named(
    overrides: Overrides, fields: list[str]
) -> None:
    assert faults(overrides) == fields


def test_a_plan_without_a_base_fee_gets_none() -> None:
    without = replace(PLAN, base_amount=None, base_timing=None)
    assert faults(Overrides(base_amount=D(1)), without) == ["base_amount"]


def test_a_prorated_charge_gets_no_price_that_cannot_be() -> None:
    meter = replace(CALLS, recurring=True)
    weighed = replace(PLAN, charges=(replace(CHARGE, prorated=True, buckets=()),))
    price = PackagePrice(D(1), D(10), D(0))
    found = override_faults(
        weighed, Overrides(charges=(ChargeOverride("calls", price),)), {"calls": meter}, "USD"
    )
    assert [fault.field for fault in found] == ["overrides.charges[0].price"]
