"""Invoices and usage as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from libs.money import exponent
from libs.period import local_day
from tally.common.v1.period_pb2 import CivilDate, DayPeriod, Period
from tally.invoicing.v1.invoice_service_pb2 import (
    Invoice,
    InvoiceLine,
    InvoiceStatus,
    LineBreakdownRow,
    LineKind,
)
from tally.rating.v1.billing_period_pb2 import BreakdownRow
from tally.rating.v1.usage_service_pb2 import GetUsageResponse, QueryUsageResponse

WIDTH = 120  # Of a file or a pipe.
DAYS = ("proration", "unbilled")  # Labels of rows that count days.


def open_console() -> Console:
    """Return where to print: as wide as the terminal, or wide where nobody looks at one."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


def money_text(currency: str, minor: int) -> str:
    """Return an amount as "USD 1,234.50"."""
    return f"{currency} {amount_text(currency, minor)}"


def amount_text(currency: str, minor: int) -> str:
    """Return an amount without its currency: "1,234.50"."""
    return f"{Decimal(minor).scaleb(-exponent(currency)):,f}"


def quantity_text(text: str) -> str:
    """Return a decimal with its thousands apart and every digit: "1,234.5067"."""
    return f"{Decimal(text):,f}" if text else ""


def days_text(days: DayPeriod) -> str:
    """Return whole days, the last one included: "2014-01-01 to 2014-01-31"."""
    if not days.HasField("end_day"):
        return ""
    last = _date(days.end_day) - timedelta(days=1)
    return f"{_date(days.first_day)} to {last}"


def period_text(period: Period, zone: str) -> str:
    """Return the local days of a period: "Jan 2014", "2014-03-10 to 2014-03-16"."""
    first = local_day(period.start.ToDatetime(tzinfo=UTC), ZoneInfo(zone))
    end = local_day(period.end.ToDatetime(tzinfo=UTC), ZoneInfo(zone))
    if first.day == end.day == 1 and first < end <= first + timedelta(days=31):
        return f"{first:%b %Y}"
    return f"{first} to {end - timedelta(days=1)}"


def invoices_table(invoices: Iterable[Invoice]) -> Table:
    """Return a row for each invoice."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Number", no_wrap=True)
    table.add_column("Customer", overflow="fold")
    for name in ("Period", "Status"):
        table.add_column(name)
    table.add_column("To pay", justify="right", no_wrap=True)
    for invoice in invoices:
        table.add_row(
            invoice.number or "-",
            escape(invoice.customer_name or invoice.customer_id),
            _billed(invoice),
            status_text(invoice),
            money_text(invoice.currency_code, invoice.total_minor),
        )
    return table


def status_text(invoice: Invoice) -> str:
    """Return the status as a word: "finalized"."""
    return InvoiceStatus.Name(invoice.status).removeprefix("INVOICE_STATUS_").lower()


def invoice_view(invoice: Invoice) -> RenderableType:
    """Return an invoice with its lines, how each came about, its taxes and its sums."""
    currency = invoice.currency_code
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Line")
    for name in ("Units", "Unit price", f"Amount ({currency})"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in invoice.lines:
        rows = list(line.breakdown)
        alone = len(rows) == 1 and rows[0].units == line.units
        price = price_text(rows[0]) if alone else ""
        amount = amount_text(currency, line.amount_minor)
        table.add_row(_line_name(line, invoice), quantity_text(line.units), price, amount)
        floor = ""
        for row in rows if not alone else ():
            parts = (f"  {step_text(row, floor)}", quantity_text(row.units), price_text(row))
            table.add_row(*parts, _in_unit(quantity_text(row.amount), row), style="dim")
            floor = "" if row.label in DAYS else row.up_to
    table.add_section()
    for name, minor in _totals(invoice):
        table.add_row(name, "", "", amount_text(currency, minor), style="bold")
    customer = invoice.customer_name or invoice.customer_id
    title = f"Invoice {invoice.number or invoice.invoice_id} ({status_text(invoice)})"
    about = f"{title} for {customer}, {_billed(invoice)} in {invoice.time_zone}"
    return Group(Text(about), table, Text(f"Trace {invoice.trace_id or '-'}", style="dim"))


def _billed(invoice: Invoice) -> str:
    """Return the days that an invoice bills; of add-ons, the day it is dated."""
    if invoice.HasField("period"):
        return period_text(invoice.period, invoice.time_zone)
    return str(local_day(invoice.created_at.ToDatetime(tzinfo=UTC), ZoneInfo(invoice.time_zone)))


def step_text(row: LineBreakdownRow | BreakdownRow, floor: str = "") -> str:
    """Return what one step of a price is: "tier up to 500", "tier above 500".

    `floor` is the last unit of the tier before it.
    """
    if row.up_to and row.label in DAYS:
        return f"{row.label} of {quantity_text(row.up_to)} days"
    if row.up_to:
        return f"{row.label} up to {quantity_text(row.up_to)}"
    return f"{row.label} above {quantity_text(floor)}" if floor else row.label


def price_text(row: LineBreakdownRow | BreakdownRow) -> str:
    """Return the price of a unit, and the flat part if there is one: "0.05 + 10"."""
    flat = row.flat_amount if row.flat_amount and Decimal(row.flat_amount) else ""
    price = " + ".join(quantity_text(part) for part in (row.unit_amount, flat) if part)
    return _in_unit(price, row)


def _in_unit(text: str, row: LineBreakdownRow | BreakdownRow) -> str:
    """Return an amount with the custom unit that it is in, if it is in one."""
    return f"{text} {row.pricing_unit}" if row.pricing_unit else text


def usage_view(usage: GetUsageResponse) -> RenderableType:
    """Return the usage of a period with what it costs so far."""
    start, end = (at.ToJsonString() for at in (usage.period.start, usage.period.end))
    table = Table(box=box.SIMPLE_HEAD, title=f"Usage from {start} to {end}", title_justify="left")
    for name in ("Charge", "Bucket"):
        table.add_column(name)
    for name in ("Events", "Units", "Amount so far"):
        table.add_column(name, justify="right", no_wrap=True)
    for fee in usage.fees:
        table.add_row(
            escape(fee.display_name or fee.charge_code),
            escape(fee.filter_code),
            f"{fee.event_count:,}",
            quantity_text(fee.units),
            money_text(fee.amount.currency_code, fee.amount.amount_minor),
        )
    table.add_section()
    total = money_text(usage.amount.currency_code, usage.amount.amount_minor)
    table.add_row(Text("Total", style="bold"), "", "", "", Text(total, style="bold"))
    return table


def windows_table(found: QueryUsageResponse, keys: Sequence[str]) -> Table:
    """Return a row for each window and combination of the values of `keys`."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("From", "To", *keys):
        table.add_column(escape(name))
    for name in ("Events", "Units"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(
            *(at.ToJsonString() for at in (row.window.start, row.window.end)),
            *map(escape, row.group_values),
            f"{row.event_count:,}",
            quantity_text(row.units),
        )
    return table


def _line_name(line: InvoiceLine, invoice: Invoice) -> str:
    name = line.description or line.charge_code
    if line.filter_code and line.filter_code not in name:
        name += f", {line.filter_code}"
    for group in line.group_values:
        name += f", {group.key} {group.value}" if group.value else f", without {group.key}"
    if line.folded_lines:
        name += f", {line.folded_lines} more groups"
    if line.kind == LineKind.LINE_KIND_MINIMUM:
        name += " (minimum)"
    if line.kind == LineKind.LINE_KIND_COMMITMENT:
        name += " (minimum commitment)"
    if line.kind == LineKind.LINE_KIND_CORRECTION:
        name += " (correction)"
    if line.kind == LineKind.LINE_KIND_ADJUSTMENT:
        name += " (adjustment)"
    if line.period != invoice.period and line.HasField("days"):
        name += f", {days_text(line.days)}"
    return escape(name)


def _totals(invoice: Invoice) -> list[tuple[str, int]]:
    rows = [
        (f"Billed before on {one.number}", -one.amount_minor) for one in invoice.progressive_credits
    ]
    rows += [(f"Coupon {escape(one.name)}", -one.amount_minor) for one in invoice.coupons]
    rows.append(("Subtotal", invoice.subtotal_minor))
    for tax in invoice.taxes:
        base = amount_text(invoice.currency_code, tax.base_minor)
        rows.append((f"{tax.name} {tax.rate_percent} % on {base}", tax.amount_minor))
    if invoice.tax_note:
        rows.append((escape(invoice.tax_note), 0))
    for note in invoice.credit_notes:
        rows.append((f"Credit note {note.number}", -note.amount_minor))
    if invoice.credits_minor:
        rows.append(("Paid from credits", -invoice.credits_minor))
    return [*rows, ("To pay", invoice.total_minor)]


def _date(day: CivilDate) -> date:
    return date(day.year, day.month, day.day)
