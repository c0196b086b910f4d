"""Prices: from units to an amount, row by row.

U is usage after aggregation. Usage below zero is priced as none. In every row the amount is
units x unit_amount + flat_amount; the rows' amounts add up to the price, exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple, assert_never

from libs.errors import FieldInvalid
from libs.money import EXACT

ZERO, ONE = Decimal(0), Decimal(1)
TIERS_MAX = 100


@dataclass(frozen=True, slots=True)
class Tier:
    """Units above the tier before it, up to and including `up_to`; None: open."""

    up_to: Decimal | None
    unit_amount: Decimal
    flat_amount: Decimal
    flat_cap: Decimal | None = None  # The most that the tier costs, its flat amount included.


@dataclass(frozen=True, slots=True)
class StandardPrice:
    """U x unit_amount."""

    unit_amount: Decimal


@dataclass(frozen=True, slots=True)
class PackagePrice:
    """ceil(max(U - free_units, 0) / package_size) x amount."""

    amount: Decimal
    package_size: Decimal
    free_units: Decimal


@dataclass(frozen=True, slots=True)
class GraduatedPrice:
    """Every unit by the tier it falls into, and the flat amount of each tier reached."""

    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class VolumePrice:
    """All units, and one flat amount, by the tier that U falls into."""

    tiers: tuple[Tier, ...]


Price = StandardPrice | PackagePrice | GraduatedPrice | VolumePrice


class Row(NamedTuple):
    """A step of a price, in currency units or in those of `pricing_unit`."""

    # The row of a price is called tier, package, units, percentage, fixed, dynamic or custom; what
    # tells of units: prorated, converted or free; what changes the amount: cap, currency (which
    # turns what is in a custom unit into currency), discount, minimum, maximum or used; what is
    # not usage: proration, held, unbilled or billed.
    label: str
    units: Decimal
    unit_amount: Decimal
    flat_amount: Decimal
    amount: Decimal
    up_to: Decimal | None = None
    pricing_unit: str = ""  # Code of the custom unit of its amounts; they are not in the sum.


def rate(price: Price, units: Decimal) -> tuple[Row, ...]:
    """Price `units`. 150 units, 100 at 2 and the rest at 1, give the rows 200 and 50."""
    billed = max(units, ZERO)
    match price:
        case StandardPrice():
            return (row_of("units", billed, price.unit_amount),)
        case PackagePrice():
            return _package_rows(price, billed)
        case GraduatedPrice():
            return _graduated_rows(price.tiers, billed)
        case VolumePrice():
            return rate_volume(price, billed, full_units=billed)
        case _:
            assert_never(price)


def rate_volume(price: VolumePrice, units: Decimal, *, full_units: Decimal) -> tuple[Row, ...]:
    """Price prorated `units` by the tier that the `full_units` fall into.

    With 2 each up to 100 and 1 each above, 60 of 120 units cost 60, not 120.
    """
    billed = max(full_units, ZERO)
    tier = next(t for t in price.tiers if t.up_to is None or billed <= t.up_to)
    return _tier_rows(tier, max(units, ZERO))


def amount_of(rows: Sequence[Row]) -> Decimal:
    """Return the sum of the rows' amounts in currency, exactly."""
    total = ZERO
    for row in rows:
        if not row.pricing_unit:
            total = EXACT.add(total, row.amount)
    return total


def factor_of(percent: Decimal) -> Decimal:
    """Return 0.013 for 1.3 %."""
    return EXACT.scaleb(percent, -2)


def flat_row(label: str, amount: Decimal, *, up_to: Decimal | None = None) -> Row:
    """Return a step of `amount` whatever the units are; below zero it takes off."""
    return Row(label, ZERO, ZERO, amount, amount, up_to)


def row_of(
    label: str,
    units: Decimal,
    unit_amount: Decimal,
    *,
    flat: Decimal = ZERO,
    up_to: Decimal | None = None,
) -> Row:
    """Return a step of units x unit_amount + flat."""
    return Row(label, units, unit_amount, flat, EXACT.fma(units, unit_amount, flat), up_to)


def tier_faults(tiers: Sequence[Tier], path: str) -> list[FieldInvalid]:
    """Return every rule that a tier table breaks: those of bands, and no amount is below zero."""
    faults = band_faults([tier.up_to for tier in tiers], path)
    for place, tier in enumerate(tiers[:TIERS_MAX]):
        for name in ("unit_amount", "flat_amount", "flat_cap"):
            faults += negative_faults(getattr(tier, name), f"{path}[{place}].{name}")
    return faults


def band_faults(bounds: Sequence[Decimal | None], path: str) -> list[FieldInvalid]:
    """Return every rule that tiers break by `bounds`: 1 to 100, ascending, only the last open."""
    if not bounds:
        return [FieldInvalid(path, "is missing")]
    if len(bounds) > TIERS_MAX:
        return [FieldInvalid(path, f"are {len(bounds)}, at most {TIERS_MAX} are allowed")]
    faults = []
    below = ZERO
    for place, up_to in enumerate(bounds[:-1]):
        if up_to is None:
            faults.append(FieldInvalid(f"{path}[{place}].up_to", "only the last tier is open"))
        elif up_to <= below:
            problem = f"{up_to} is not above {below}"
            faults.append(FieldInvalid(f"{path}[{place}].up_to", problem))
        below = up_to or below
    if bounds[-1] is not None:
        last = len(bounds) - 1
        faults.append(FieldInvalid(f"{path}[{last}].up_to", "the last tier must be open"))
    return faults


def negative_faults(value: Decimal | None, path: str) -> list[FieldInvalid]:
    """Return that `value` is below zero, if it is."""
    if value is None or value >= 0:
        return []
    return [FieldInvalid(path, f"{value} is below 0")]


def _package_rows(price: PackagePrice, units: Decimal) -> tuple[Row, ...]:
    free = min(units, price.free_units)
    rest = Fraction(units) - Fraction(free)
    packages = -(-rest // Fraction(price.package_size))
    rows = (row_of("package", Decimal(packages), price.amount),)
    return (row_of("free", free, ZERO), *rows) if free else rows


def _graduated_rows(tiers: Sequence[Tier], units: Decimal) -> tuple[Row, ...]:
    rows: list[Row] = []
    below = ZERO
    for tier in tiers:
        if tier.up_to is None or units <= tier.up_to:
            rows += _tier_rows(tier, EXACT.subtract(units, below))
            break
        rows += _tier_rows(tier, EXACT.subtract(tier.up_to, below))
        below = tier.up_to
    return tuple(rows)


def _tier_rows(tier: Tier, units: Decimal) -> tuple[Row, ...]:
    row = row_of("tier", units, tier.unit_amount, flat=tier.flat_amount, up_to=tier.up_to)
    if tier.flat_cap is None or row.amount <= tier.flat_cap:
        return (row,)
    return (row, flat_row("cap", EXACT.subtract(tier.flat_cap, row.amount), up_to=tier.up_to))
