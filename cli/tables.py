"""Invoices and usage as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from rich.console import Group, RenderableType
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
from tally.rating.v1.usage_service_pb2 import GetUsageResponse


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


def invoices_table(invoices: Iterable[Invoice], *, title: str | None = None) -> Table:
    """Return a row for each invoice."""
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in ("Number", "Customer", "Period", "Status"):
        table.add_column(name)
    for name in ("Subtotal", "Tax", "Credits", "Total"):
        table.add_column(name, justify="right", no_wrap=True)
    for invoice in invoices:
        table.add_row(
            invoice.number or "-",
            escape(invoice.customer_name or invoice.customer_id),
            period_text(invoice.period, invoice.time_zone),
            status_text(invoice),
            *_sums(invoice),
        )
    return table


def status_text(invoice: Invoice) -> str:
    """Return the status as a word: "finalized"."""
    return InvoiceStatus.Name(invoice.status).removeprefix("INVOICE_STATUS_").lower()


def invoice_view(invoice: Invoice) -> RenderableType:
    """Return an invoice with its lines, how each came about, its taxes and its sums."""
    title = f"Invoice {invoice.number or invoice.invoice_id} ({status_text(invoice)})"
    table = Table(title=title, title_justify="left", title_style="bold", show_footer=False)
    table.add_column("Line")
    table.add_column("Days", no_wrap=True)
    table.add_column("Units", justify="right")
    table.add_column("Amount", justify="right", no_wrap=True)
    for line in invoice.lines:
        table.add_row(
            escape(_line_name(line)),
            days_text(line.days),
            quantity_text(line.units),
            money_text(invoice.currency_code, line.amount_minor),
        )
        for row in line.breakdown:
            table.add_row("", "", Text(breakdown_text(row), style="dim"), "")
    table.add_section()
    for name, amount in _totals(invoice):
        table.add_row(Text(name, style="bold"), "", "", Text(amount, style="bold"))
    about = f"{invoice.customer_name or invoice.customer_id}, times in {invoice.time_zone}"
    return Group(table, Text(f"For {about}. Trace {invoice.trace_id or '-'}.", style="dim"))


def breakdown_text(row: LineBreakdownRow | BreakdownRow) -> str:
    """Return one step of a price: "tier to 500: 120 × 0.095 = 11.4"."""
    tier = f" to {quantity_text(row.up_to)}" if row.up_to else ""
    price = f"{quantity_text(row.units)} × {row.unit_amount or '0'}"
    if row.flat_amount and Decimal(row.flat_amount):
        price += f" + {row.flat_amount}"
    return f"{row.label}{tier}: {price} = {quantity_text(row.amount) or '0'}"


def usage_view(usage: GetUsageResponse) -> RenderableType:
    """Return the usage of a period with what it costs so far."""
    start, end = (at.ToJsonString() for at in (usage.period.start, usage.period.end))
    table = Table(title=f"Usage from {start} to {end}", title_justify="left", title_style="bold")
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


def _line_name(line: InvoiceLine) -> str:
    name = line.description or line.charge_code
    if line.filter_code and line.filter_code not in name:
        name += f", {line.filter_code}"
    if line.kind == LineKind.LINE_KIND_ADJUSTMENT:
        name += " (adjustment)"
    return name


def _sums(invoice: Invoice) -> Sequence[str]:
    amounts = (invoice.tax_minor, invoice.credits_minor, invoice.total_minor)
    rest = (money_text(invoice.currency_code, amount) for amount in amounts)
    return money_text(invoice.currency_code, invoice.subtotal_minor), *rest


def _totals(invoice: Invoice) -> list[tuple[str, str]]:
    currency = invoice.currency_code
    rows = [("Subtotal", money_text(currency, invoice.subtotal_minor))]
    for tax in invoice.taxes:
        base = money_text(currency, tax.base_minor)
        name = f"{tax.name} {tax.rate_percent} % on {base}"
        rows.append((name, money_text(currency, tax.amount_minor)))
    if invoice.credits_minor:
        rows.append(("Paid from credits", money_text(currency, -invoice.credits_minor)))
    return [*rows, ("To pay", money_text(currency, invoice.total_minor))]


def _date(day: CivilDate) -> date:
    return date(day.year, day.month, day.day)
