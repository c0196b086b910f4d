"""Lines of OpenMeter: what a part of a period costs, after what was billed of it before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from libs.money import Money, round_minor, to_decimal
from services.rating.domain.dynamic import DynamicPrice, rate_dynamic
from services.rating.domain.fee import Fee, FeeKey, FeeKind, adjustments
from services.rating.domain.price import (
    GraduatedPrice,
    PackagePrice,
    Price,
    Row,
    StandardPrice,
    VolumePrice,
    amount_of,
    flat_row,
    rate,
)
from services.rating.domain.price_options import (
    Conversion,
    ConversionRounding,
    Discounted,
    PriceOptions,
    adjust,
    units_to_price,
)
from services.rating.domain.rows_between import rows_between
from tests.vectors.adapters.paying import pay
from tests.vectors.adapters.prices import ZERO, tiers_of, total_of
from tests.vectors.given import Given

CURRENCY = "USD"
ROUNDINGS = {
    "ceiling": ConversionRounding.UP,
    "floor": ConversionRounding.DOWN,
    "half_up": ConversionRounding.HALF_UP,
    "none": ConversionRounding.NONE,
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line as OpenMeter shows it; amounts are rounded to cents."""

    kind: str
    quantity: Decimal
    unit_amount: Decimal
    amount: Decimal
    discount: Decimal = ZERO
    credits: Decimal = ZERO

    @property
    def total(self) -> Decimal:
        return self.amount - self.discount - self.credits

    def shown(self) -> dict[str, Any]:
        names = ("kind", "quantity", "unit_amount", "amount", "discount", "credits", "total")
        return {name: getattr(self, name) for name in names}


def price_line(given: Given) -> dict[str, Any]:
    """Price the usage of a part of a period, or the whole of it."""
    mode = given.text("line_mode")
    if mode not in {"single", "mid_split", "last_split"}:
        raise ValueError(f"the line mode {mode} is unknown")
    price = given.inner("price")
    options = _options(given, price)
    units = _units(given, options)
    closing = mode != "mid_split"
    first = mode == "single" and units.before == 0
    rows = _rows(price, units, first=first, closing=closing)
    billed = given.decimal("previously_billed")
    rows = adjust(rows, options, billed=billed, closing=closing)
    lines = _discounted(_lines(price, rows), rows)
    if given.has("credits"):
        paid = pay([line.total for line in lines], given.decimals("credits"), CURRENCY)
        lines = [replace(line, credits=part) for line, part in zip(lines, paid, strict=True)]
    return {
        "lines": [line.shown() for line in lines],
        "total": total_of([line.total for line in lines]),
    }


def discount(given: Given) -> dict[str, Any]:
    """Discount units, or keep an amount below a maximum, or price a line after both."""
    if given.has("price"):
        return price_line(given)
    if given.has("line_amount"):
        line = flat_row("units", given.decimal("line_amount"))
        options = PriceOptions(maximum_amount=given.decimal("maximum"))
        billed = given.decimal("previously_billed")
        rows = adjust([line], options, billed=billed, closing=False)
        return {"discount": _cents(line.amount - amount_of(rows))}
    left = _units(given, _options(given, Given({})))
    return {
        "quantity": left.units,
        "pre_line_quantity": left.before,
        "discount_applied": left.free,
    }


def rerate(given: Given) -> dict[str, Any]:
    """Price a growing period again and again; each time bill what it differs by."""
    price = given.inner("price")
    options = _options(given, price)
    phases, final = given.decimals("phases"), bool(given.value("final"))
    billed: list[Fee] = []
    totals = []
    for place, quantity in enumerate(phases, 1):
        units = units_to_price(options, quantity)
        rows = _rows(price, units, first=True, closing=True)
        rows = adjust(rows, options, closing=final and place == len(phases))
        changes = adjustments([_fee(quantity, rows)], billed)
        totals.append(sum(fee.amount_minor for fee in changes))
        billed += changes
    return {"phase_totals": [to_decimal(Money(CURRENCY, total)) for total in totals]}


def _fee(quantity: Decimal, rows: Sequence[Row]) -> Fee:
    amount = amount_of(rows)
    return Fee(
        key=FeeKey(FeeKind.USAGE, "c", ""),
        meter_code="m",
        display_name="m",
        units=quantity,
        event_count=0,
        exact_amount=amount,
        amount_minor=round_minor(amount, CURRENCY),
        rows=tuple(rows),
    )


def _units(given: Given, options: PriceOptions) -> Discounted:
    before = given.decimal("pre_line_quantity")
    return units_to_price(options, given.decimal("quantity"), before=before)


def _options(given: Given, price: Given) -> PriceOptions:
    return PriceOptions(
        conversion=_conversion(given.inner("unit_config")) if given.has("unit_config") else None,
        usage_discount=given.find_decimal("usage_discount") or ZERO,
        maximum_amount=price.find_decimal("maximum"),
        minimum_amount=price.find_decimal("minimum"),
    )


def _conversion(given: Given) -> Conversion:
    rounding = ROUNDINGS[given.text("rounding")]
    factor = given.decimal("factor")
    match given.text("operation"):
        case "multiply":
            return Conversion(multiplier=factor, rounding=rounding)
        case "divide":
            return Conversion(divisor=factor, rounding=rounding)
        case operation:
            raise ValueError(f"the operation {operation} is unknown")


def _rows(price: Given, units: Discounted, *, first: bool, closing: bool) -> Sequence[Row]:
    after = units.before + units.units
    model = _model(price)
    if isinstance(model, DynamicPrice):
        return rate_dynamic(model, units.units, units.units)
    if isinstance(model, VolumePrice):
        return rate(model, after) if closing else ()
    return rows_between(() if first else rate(model, units.before), rate(model, after))


def _model(price: Given) -> Price | DynamicPrice:
    match price.text("type"):
        case "unit":
            return StandardPrice(price.decimal("unit_amount"))
        case "package":
            size = price.decimal("package_size")
            return PackagePrice(price.decimal("package_amount"), size, ZERO)
        case "graduated":
            return GraduatedPrice(tiers_of(price))
        case "volume":
            return VolumePrice(tiers_of(price))
        case "dynamic":
            return DynamicPrice(price.decimal("multiplier"))
        case other:
            raise ValueError(f"the price {other} is unknown")


def _lines(price: Given, rows: Sequence[Row]) -> list[Line]:
    lines = []
    for row in rows:
        match row.label:
            case "units" | "package" if row.units:
                lines.append(Line("usage", row.units, row.unit_amount, _cents(row.amount)))
            case "dynamic" if row.amount:
                lines.append(_once("usage", row.amount))
            case "tier":
                lines += _tier_lines(price, row)
            case "minimum":
                lines.append(_once("minimum_spend", row.amount))
    return lines


def _tier_lines(price: Given, row: Row) -> list[Line]:
    tiers = price.value("tiers")
    bounds = [None if tier["up_to"] is None else Decimal(tier["up_to"]) for tier in tiers]
    place = bounds.index(row.up_to)
    lines = []
    # A tier without a price by the unit, which is not one of 0, shows no usage.
    if row.units and tiers[place]["unit_amount"] is not None:
        amount = _cents(row.amount - row.flat_amount)
        lines.append(Line(f"usage_tier_{place + 1}", row.units, row.unit_amount, amount))
    if row.flat_amount:
        lines.append(_once(f"flat_tier_{place + 1}", row.flat_amount))
    return lines


def _once(kind: str, amount: Decimal) -> Line:
    return Line(kind, Decimal(1), _cents(amount), _cents(amount))


def _discounted(lines: Sequence[Line], rows: Sequence[Row]) -> list[Line]:
    """Take what lies above the maximum off of the last lines first."""
    left = _cents(-total_of([row.amount for row in rows if row.label == "maximum"]))
    discounted: list[Line] = []
    for line in reversed(lines):
        part = ZERO if line.kind == "minimum_spend" else min(left, line.amount)
        left -= part
        discounted.insert(0, replace(line, discount=part))
    return discounted


def _cents(amount: Decimal) -> Decimal:
    return to_decimal(Money(CURRENCY, round_minor(amount, CURRENCY)))
