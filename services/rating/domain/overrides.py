"""Overrides: prices and amounts of a plan version that are other ones for one subscription."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from libs.errors import FieldInvalid
from services.rating.domain.charge_price import ChargePrice
from services.rating.domain.commitment import check_commitment
from services.rating.domain.fixed_fees import check_price
from services.rating.domain.meter import Meter, repeats
from services.rating.domain.plan import (
    Charge,
    FixedCharge,
    FixedPrice,
    PlanVersion,
    charge_faults,
    check_base_amount,
    prices_by_path,
)
from services.rating.domain.prorated_rules import prorated_price_faults
from services.rating.domain.thresholds import UsageThresholds

PATH = "overrides"


@dataclass(frozen=True, slots=True)
class ChargeOverride:
    """Other prices of the charge `code`: that of what no bucket takes (None: as it is), by bucket.

    A bucket is there once.
    """

    code: str
    price: ChargePrice | None
    buckets: tuple[tuple[str, ChargePrice], ...] = ()


@dataclass(frozen=True, slots=True)
class FixedChargeOverride:
    """Another price, or other units, of the fixed charge `code`; None: as they are."""

    code: str
    price: FixedPrice | None
    units: Decimal | None


@dataclass(frozen=True, slots=True)
class Overrides:
    """What is other than in the plan version; None: nothing of it.

    Thresholds without amounts and step are none.
    """

    base_amount: Decimal | None = None
    minimum_commitment: Decimal | None = None
    trial_days: int | None = None
    usage_thresholds: UsageThresholds | None = None
    charges: tuple[ChargeOverride, ...] = ()
    fixed_charges: tuple[FixedChargeOverride, ...] = ()

    def __bool__(self) -> bool:
        return self != NOTHING_OTHER


NOTHING_OTHER = Overrides()


def overridden(
    version: PlanVersion, overrides: Overrides, *, plan_version_id: UUID, created_at: datetime
) -> PlanVersion:
    """Return `version` with other prices, under an id of its own and the same number.

    `overrides` fit it: `override_faults` knows none.
    """
    thresholds = overrides.usage_thresholds or version.usage_thresholds
    if thresholds is not None and not thresholds.amounts and thresholds.step is None:
        thresholds = None
    days, base = overrides.trial_days, overrides.base_amount
    committed = overrides.minimum_commitment
    charges = {one.code: one for one in overrides.charges}
    fixed = {one.code: one for one in overrides.fixed_charges}
    return replace(
        version,
        plan_version_id=plan_version_id,
        created_at=created_at,
        base_amount=version.base_amount if base is None else base,
        trial_days=version.trial_days if days is None else days,
        minimum_commitment=version.minimum_commitment if committed is None else committed,
        usage_thresholds=thresholds,
        charges=tuple(_priced(charge, charges.get(charge.code)) for charge in version.charges),
        fixed_charges=tuple(
            _fixed(charge, fixed.get(charge.code)) for charge in version.fixed_charges
        ),
    )


def override_faults(
    version: PlanVersion, overrides: Overrides, meters: Mapping[str, Meter], currency: str
) -> list[FieldInvalid]:
    """Return every way in which overrides do not fit a plan version, by field.

    `meters` are those of its charges, by code.
    """
    return [
        *_amount_faults(version, overrides, currency),
        *_charge_faults(version, overrides.charges, meters),
        *_fixed_faults(version, overrides.fixed_charges, currency),
    ]


def _amount_faults(
    version: PlanVersion, overrides: Overrides, currency: str
) -> Iterator[FieldInvalid]:
    if overrides.base_amount is not None and version.base_amount is None:
        yield FieldInvalid(f"{PATH}.base_amount", "the plan version has no base fee")
    amounts = replace(
        version,
        base_amount=overrides.base_amount,
        minimum_commitment=overrides.minimum_commitment,
    )
    for check in (check_base_amount, check_commitment):
        try:
            check(amounts, currency, path=PATH)
        except FieldInvalid as fault:
            yield fault


def _charge_faults(
    version: PlanVersion, overrides: Sequence[ChargeOverride], meters: Mapping[str, Meter]
) -> Iterator[FieldInvalid]:
    charges = {charge.code: charge for charge in version.charges}
    yield from repeats([one.code for one in overrides], PATH + ".charges[{}].code")
    for place, one in enumerate(overrides):
        path = f"{PATH}.charges[{place}]"
        charge = charges.get(one.code)
        if charge is None:
            yield FieldInvalid(f"{path}.code", f"the plan version has no charge {one.code!r}")
            continue
        yield from _bucket_faults(charge, one, path)
        buckets = {bucket.code: bucket for bucket in charge.buckets}
        chosen = [
            replace(buckets[code], price=price) for code, price in one.buckets if code in buckets
        ]
        tried = replace(charge, price=one.price or charge.price, buckets=tuple(chosen))
        yield from charge_faults(tried, meters[charge.meter_code], path)
        if charge.prorated:
            for at, price in prices_by_path(tried, path).items():
                yield from prorated_price_faults(price, at)


def _bucket_faults(charge: Charge, one: ChargeOverride, path: str) -> Iterator[FieldInvalid]:
    known = {bucket.code for bucket in charge.buckets}
    codes = [code for code, _ in one.buckets]
    yield from repeats(codes, path + ".buckets[{}].code")
    for place, code in enumerate(codes):
        if code not in known:
            problem = f"the charge {one.code} has no bucket {code!r}"
            yield FieldInvalid(f"{path}.buckets[{place}].code", problem)


def _fixed_faults(
    version: PlanVersion, overrides: Sequence[FixedChargeOverride], currency: str
) -> Iterator[FieldInvalid]:
    charges = {charge.code: charge for charge in version.fixed_charges}
    yield from repeats([one.code for one in overrides], PATH + ".fixed_charges[{}].code")
    for place, one in enumerate(overrides):
        path = f"{PATH}.fixed_charges[{place}]"
        charge = charges.get(one.code)
        if charge is None:
            problem = f"the plan version has no fixed charge {one.code!r}"
            yield FieldInvalid(f"{path}.code", problem)
            continue
        tried = _fixed(charge, one)
        try:
            check_price(tried, tried.units, currency, f"{path}.units")
        except FieldInvalid as fault:
            yield fault


def _priced(charge: Charge, one: ChargeOverride | None) -> Charge:
    if one is None:
        return charge
    prices = dict(one.buckets)
    buckets = (replace(each, price=prices.get(each.code, each.price)) for each in charge.buckets)
    return replace(charge, price=one.price or charge.price, buckets=tuple(buckets))


def _fixed(charge: FixedCharge, one: FixedChargeOverride | None) -> FixedCharge:
    if one is None:
        return charge
    units = charge.units if one.units is None else one.units
    return replace(charge, price=one.price or charge.price, units=units)
