"""The lines of an invoice as rows of its document, with the steps of their prices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

from libs.money import EXACT
from services.invoicing.document import formats
from services.invoicing.domain.line import BreakdownRow, Fee, FeeKind, Line

TIER = "tier"
SHARES = ("proration", "unbilled")  # Of days; they need not end.
BREAKS = ("held", "unbilled")  # What follows is another price.
COUNTED = (FeeKind.USAGE, FeeKind.FIXED, FeeKind.ADD_ON)  # What has units to show.
SHARE_PLACES = 6
LABELS = {
    "adjusted": "Set by hand",
    "base_fee": "Base fee",
    "billed": "Billed before",
    "cap": "Above the cap",
    "converted": "Converted units",
    "currency": "Converted to currency",
    "custom": "By formula",
    "dynamic": "Amounts reported",
    "fixed": "For each event",
    "fixed_fees": "Fixed charges",
    "free": "Included",
    "held": "Units held before",
    "instant": "Instant fees",
    "package": "Packages",
    "prorated": "Weighed by days",
    "proration": "Share of the period",
    "units": "Units",
    "used": "Charged for usage",
}


@dataclass(frozen=True, slots=True)
class RowView:
    """A row of the table; `parts` are the steps of a price that has several."""

    description: str
    note: str
    units: str
    price: str
    amount: str
    parts: tuple[tuple[str, str, str, str], ...]  # what, units, price, amount


@dataclass(frozen=True, slots=True)
class GroupView:
    """Rows of one subscription and period."""

    title: str
    days: str
    rows: tuple[RowView, ...]


def groups_of(lines: Sequence[Line], currency: str) -> Iterator[GroupView]:
    """Yield the lines by subscription and days, in their order; adjustments name their origin."""
    for _, members in groupby(lines, group_key):
        of_group = list(members)
        yield group_of(of_group[0], tuple(row_of(line, currency) for line in of_group))


def group_of(line: Line, rows: tuple[RowView, ...]) -> GroupView:
    """Return the group of rows to which that of `line` belongs."""
    if line.first_day == line.end_day and not line.subscription_id:  # Without a period.
        return GroupView(title="", days="", rows=rows)
    subscription = line.subscription_id
    title = f"Adjustment of {subscription}" if line.adjustment_sequence > 0 else subscription
    return GroupView(
        title=f"{title} \N{MIDDLE DOT} {line.plan_code}" if line.plan_code else title,
        days=formats.days(line.first_day, line.end_day),
        rows=rows,
    )


def group_key(line: Line) -> tuple[bool, str, str, date, date]:
    return (
        line.adjustment_sequence > 0,
        line.subscription_id,
        line.plan_code,
        line.first_day,
        line.end_day,
    )


def row_of(line: Line, currency: str) -> RowView:
    """Return a line as a row."""
    fee = line.fee
    stepwise = shows_steps(fee.breakdown)
    return RowView(
        description=named(fee),
        note=note_of(fee, named(fee)) if not line.folded_lines else more_groups(line.folded_lines),
        units=formats.quantity(fee.units) if fee.kind in COUNTED else "",
        price=price_of(line, currency),
        amount=formats.plain(fee.amount_minor, currency),
        parts=tuple(parts_of(fee.breakdown, currency)) if stepwise else (),
    )


def named(fee: Fee) -> str:
    """Return what a fee is called."""
    return fee.description or fee.charge_code or "Base fee"


def shows_steps(rows: Sequence[BreakdownRow]) -> bool:
    """Tell whether steps are shown: there are several, or the one has other units than the line."""
    return len(rows) > 1 or any(row.label == "dynamic" for row in rows)


def note_of(fee: Fee, name: str) -> str:
    """Return what tells a line from others of the same name: bucket and group, or its kind."""
    if fee.kind is FeeKind.MINIMUM:
        return "minimum"
    if fee.kind is FeeKind.COMMITMENT:
        return "minimum commitment"
    correction = "correction" if fee.kind is FeeKind.CORRECTION else ""
    bucket = fee.filter_code if fee.filter_code.lower() not in name.lower() else ""
    group = (f"{key} {value}" if value else f"without {key}" for key, value in fee.group_values)
    return ", ".join(part for part in (bucket, *group, correction) if part)


def more_groups(count: int) -> str:
    """Return what a line that stands for others says of them."""
    return f"{count:,} more groups" if count > 1 else "1 more group"


def price_of(line: Line, currency: str) -> str:
    """Return the unit price if there is one, else how the price is made."""
    rows = line.fee.breakdown
    if shows_steps(rows):
        return "tiered" if any(row.label == TIER for row in rows) else "see below"
    if line.fee.kind is FeeKind.BASE or not rows:
        return ""
    [row] = rows
    if row.label == "instant":  # Many prices: each event has its own.
        return ""
    price = step_price(row, currency)
    return f"{price} a package" if row.label == "package" else price


def parts_of(rows: Sequence[BreakdownRow], currency: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the steps of a price; tiers say where they begin and end."""
    below, unit = "", ""
    for row in rows:
        what = LABELS.get(row.label, row.label.capitalize())
        if row.label == TIER:
            up_to = "" if row.up_to is None else formats.quantity(row.up_to)
            what = tier_name(below, up_to)
            below = up_to
        elif row.label in BREAKS:
            below = ""
        if row.label == "prorated" and row.up_to is not None:
            what = f"{what}, of {formats.quantity(row.up_to)}"
        if row.label == "unbilled" and row.up_to is not None:
            what = f"Days not billed, of {formats.quantity(row.up_to)}"
        flat = not row.units and not row.unit_amount and row.label != TIER
        units, price = formats.quantity(row.units), step_price(row, currency)
        if row.label == "currency":
            units = f"{units} {unit}"
        unit = row.pricing_unit
        yield what, "" if flat else units, "" if flat else price, step_amount(row, currency)


def step_amount(row: BreakdownRow, currency: str) -> str:
    """Return what one step adds: "12.50", or "30 credits" of a custom unit."""
    if row.pricing_unit:
        return f"{formats.quantity(row.amount)} {row.pricing_unit}"
    exact = row.amount if row.label not in SHARES else round(row.amount, SHARE_PLACES)
    return formats.exact(exact, currency)


def step_price(row: BreakdownRow, currency: str) -> str:
    """Return what a unit of one step costs, and its flat part: "0.05 + 10.00", "1.5%"."""
    match row.label:
        case "percentage":
            return f"{formats.quantity(EXACT.scaleb(row.unit_amount, 2))}%"
        case "dynamic":
            return f"\N{MULTIPLICATION SIGN} {formats.quantity(row.unit_amount)}"
        case "custom" | "converted" | "prorated":
            return ""
        case _:
            amounts = [row.unit_amount, row.flat_amount] if row.flat_amount else [row.unit_amount]
            if row.pricing_unit:
                shown = " + ".join(formats.quantity(amount) for amount in amounts)
                return f"{shown} {row.pricing_unit}"
            return " + ".join(formats.exact(amount, currency) for amount in amounts)


def tier_name(below: str, up_to: str) -> str:
    """Return the name of a tier: "Up to 100", "Over 100 up to 500", "Over 500"."""
    over = f"Over {below}" if below else ""
    end = f"up to {up_to}" if up_to else ""
    if not over and not end:
        return "All units"
    return f"{over} {end}".strip() if over else end.capitalize()
