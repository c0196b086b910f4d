"""An invoice as its document shows it: text only, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from zoneinfo import ZoneInfo

from libs.money import EXACT
from libs.period import local_day
from libs.quantity import decimal_text
from services.invoicing.document import formats
from services.invoicing.domain.coupon import OpenCoupon
from services.invoicing.domain.discounts import AmountOff, PercentOff
from services.invoicing.domain.folded_lines import shown_lines
from services.invoicing.domain.invoice import Invoice, Status
from services.invoicing.domain.line import BreakdownRow, Fee, FeeKind, Line
from services.invoicing.domain.party import Party

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


@dataclass(frozen=True, slots=True)
class InvoiceView:
    """All that stands on the page."""

    draft: bool
    title: str
    number: str
    facts: tuple[tuple[str, str], ...]
    seller: tuple[str, ...]
    buyer: tuple[str, ...]
    currency: str
    currency_name: str
    groups: tuple[GroupView, ...]
    sums: tuple[tuple[str, str], ...]
    total_label: str
    total: str
    due: str
    trace: str


def view_of(invoice: Invoice) -> InvoiceView:
    """Return what the document of an invoice says."""
    draft = invoice.status in (Status.DRAFT, Status.FINALIZING)
    return InvoiceView(
        draft=draft,
        title="Draft invoice" if draft else "Invoice",
        number=invoice.number,
        facts=tuple(facts_of(invoice)),
        seller=party_lines(invoice.seller),
        buyer=party_lines(invoice.buyer),
        currency=invoice.currency,
        currency_name=formats.currency_name(invoice.currency),
        groups=tuple(groups_of(shown_lines(invoice.invoice_id, invoice.lines), invoice.currency)),
        sums=tuple(sums_of(invoice)),
        total_label="Total so far" if draft else "Total due",
        total=formats.money(invoice.total_minor, invoice.currency),
        due=due_of(invoice),
        trace=invoice.trace_id,
    )


def facts_of(invoice: Invoice) -> Iterator[tuple[str, str]]:
    """Yield what stands at the head, by name."""
    if invoice.number:
        yield "Invoice number", invoice.number
    if invoice.issue_date is not None:
        yield "Issued", formats.day(invoice.issue_date)
    if invoice.due_date is not None and invoice.total_minor:
        yield "Payment due", formats.day(invoice.due_date)
    if invoice.status is Status.DRAFT:
        closing = local_day(invoice.finalize_at, ZoneInfo(invoice.time_zone))
        yield "To be finalized", formats.day(closing)
    yield "Customer", invoice.customer_id


def due_of(invoice: Invoice) -> str:
    """Return the sentence beside the total."""
    if invoice.due_date is None:
        return "This is a draft and not a request to pay."
    if invoice.total_minor == 0:
        return "Nothing is left to pay."
    if invoice.due_date == invoice.issue_date:
        return "Payable on receipt."
    return f"Please pay by {formats.day(invoice.due_date)}."


def party_lines(party: Party) -> tuple[str, ...]:
    """Return a party as an address block; the first line is the name."""
    address = party.address
    town = " ".join(part for part in (address.postal_code, address.city) if part)
    place = ", ".join(part for part in (town, address.region) if part)
    tail = [
        place,
        formats.country(address.country_code) if address.country_code else "",
        party.email,
        f"Tax ID {party.tax_id}" if party.tax_id else "",
    ]
    return (party.name, *address.lines, *(line for line in tail if line))


def groups_of(lines: Sequence[Line], currency: str) -> Iterator[GroupView]:
    """Yield the lines by subscription and days, in their order; adjustments name their origin."""
    key = group_key
    for (adjusts, subscription, plan, first_day, end_day), members in groupby(lines, key):
        if first_day == end_day and not subscription:  # Without a period.
            rows = tuple(row_of(line, currency) for line in members)
            yield GroupView(title="", days="", rows=rows)
            continue
        title = f"Adjustment of {subscription}" if adjusts else subscription
        yield GroupView(
            title=f"{title} \N{MIDDLE DOT} {plan}" if plan else title,
            days=formats.days(first_day, end_day),
            rows=tuple(row_of(line, currency) for line in members),
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
    named = fee.description or fee.charge_code or "Base fee"
    return RowView(
        description=named,
        note=note_of(fee, named) if not line.folded_lines else more_groups(line.folded_lines),
        units=formats.quantity(fee.units) if fee.kind in COUNTED else "",
        price=price_of(line, currency),
        amount=formats.plain(fee.amount_minor, currency),
        parts=tuple(parts_of(fee.breakdown, currency)) if stepwise else (),
    )


def shows_steps(rows: Sequence[BreakdownRow]) -> bool:
    """Tell whether steps are shown: there are several, or the one has other units than the line."""
    return len(rows) > 1 or any(row.label == "dynamic" for row in rows)


def note_of(fee: Fee, named: str) -> str:
    """Return what tells a line from others of the same name: bucket and group, or its kind."""
    if fee.kind is FeeKind.MINIMUM:
        return "minimum"
    if fee.kind is FeeKind.COMMITMENT:
        return "minimum commitment"
    correction = "correction" if fee.kind is FeeKind.CORRECTION else ""
    bucket = fee.filter_code if fee.filter_code.lower() not in named.lower() else ""
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


def sums_of(invoice: Invoice) -> Iterator[tuple[str, str]]:
    """Yield what stands above the total, by name."""
    currency = invoice.currency
    for one in invoice.early:
        yield f"Billed before on {one.number}", formats.money(-one.amount_minor, currency)
    for use in invoice.coupons:
        yield coupon_name(use.coupon), formats.money(-use.amount_minor, currency)
    yield "Subtotal", formats.money(invoice.subtotal_minor, currency)
    for tax in invoice.taxes:
        rate = decimal_text(tax.tax.rate_percent)
        base = formats.money(tax.base_minor, currency)
        yield f"{tax.tax.name} {rate}% on {base}", formats.money(tax.amount_minor, currency)
    if invoice.buyer.tax_note:
        yield invoice.buyer.tax_note, formats.money(0, currency)
    for note in invoice.notes:
        yield f"Credit note {note.number}", formats.money(-note.amount_minor, currency)
    if invoice.credits_minor:
        yield "Paid from prepaid credits", formats.money(-invoice.credits_minor, currency)


def coupon_name(coupon: OpenCoupon) -> str:
    """Return what documents call a coupon: "Coupon Spring", with the rate of a percentage."""
    match coupon.discount:
        case PercentOff(percent):
            return f"Coupon {coupon.name} {decimal_text(percent)}%"
        case AmountOff():
            return f"Coupon {coupon.name}"
