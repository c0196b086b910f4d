"""Shows the demo to people: progress while it runs, then tables, an invoice and a trace."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from cli.spans import Spans
from cli.tables import amount_text, invoice_view, period_text
from cli.trace import trace_tree
from demo.failure import DemoFailed
from demo.story import Story
from tally.invoicing.v1.invoice_service_pb2 import Invoice, InvoiceLine

# Tables show quantities to here; the explained invoices show every digit.
LARGE, LARGE_STEP, SMALL_STEP = Decimal(100_000), Decimal(1), Decimal("0.001")


class Progressing:
    """A bar of events for each story, and the suite's time; without a terminal a line a month."""

    def __init__(self, console: Console, stories: Sequence[Story]) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {
            story.name: self._progress.add_task(story.name, total=story.event_count, unit="events")
            for story in stories
        }
        self._start = min(story.start for story in stories)
        end = max(story.windows[-1].end for story in stories)
        days = (end - self._start).days + 1
        self._clock = self._progress.add_task("clock", total=days, unit="days")
        self._recorded = 0
        self._month = ""

    def __enter__(self) -> Progressing:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def told(self, story: Story, count: int) -> None:
        """Show that `count` more events of a story are recorded."""
        self._progress.advance(self._bars[story.name], count)
        self._recorded += count

    def moved(self, instant: datetime) -> None:
        """Show the suite's time."""
        now = instant.astimezone(UTC)
        unit = f"days, now {now:%Y-%m-%d %H:%M}"
        self._progress.update(self._clock, completed=(now - self._start).days + 1, unit=unit)
        if not self._console.is_terminal and self._recorded and self._month != f"{now:%b %Y}":
            self._month = f"{now:%b %Y}"
            self._console.print(f"  {self._month}: {self._recorded:,} events recorded")


def show_story(console: Console, story: Story, invoices: Sequence[Invoice]) -> None:
    """Print a story's invoices with what each bills."""
    console.print()
    console.rule(f"[bold]{story.name}[/bold]", align="left")
    console.print(story.about)
    console.print(_story_table(invoices))


def show_invoice(console: Console, title: str, invoice: Invoice) -> None:
    """Print one invoice with how each line came about."""
    console.print()
    console.rule(f"[bold]{title}[/bold]", align="left")
    console.print(invoice_view(invoice))


def show_trace(console: Console, invoice: Invoice, spans: Spans) -> None:
    """Print the path of one event of an invoice, from the request that recorded it."""
    console.print()
    console.rule(f"[bold]From an event to {invoice.number}[/bold]", align="left")
    story = spans.story(invoice.trace_id)
    if not story:
        raise DemoFailed(f"{invoice.number} names the trace {invoice.trace_id}, which has no spans")
    console.print(trace_tree(story, invoice.trace_id, causes_max=2))
    again = f"`.venv/bin/tally trace {invoice.number}` shows all of it."
    console.print(again, style="dim", highlight=False)


def show_files(console: Console, documents: Sequence[Path], summary: Path) -> None:
    """Print where the documents are."""
    console.print()
    console.rule("[bold]Files[/bold]", align="left")
    for path in documents:
        console.print(str(path), highlight=False, soft_wrap=True)
    console.print(f"{summary} holds all invoices for programs.", highlight=False, soft_wrap=True)


def _story_table(invoices: Sequence[Invoice]) -> Table:
    """Return a row for each invoice, and a column of units for each kind of usage."""
    usage = [line for invoice in invoices for line in invoice.lines if line.charge_code]
    kinds = {_kind(line): _heading(line) for line in usage}
    sums = {"Tax": "tax_minor", "Credits": "credits_minor"}
    shown = {name: part for name, part in sums.items() if any(getattr(i, part) for i in invoices)}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True)
    table.add_column("Invoice", no_wrap=True)
    table.add_column("Period", overflow="fold")
    for name in (*kinds.values(), *shown, f"To pay ({invoices[0].currency_code})"):
        table.add_column(name, justify="right", overflow="fold")
    for invoice in invoices:
        units = {_kind(line): short_text(line.units) for line in invoice.lines}
        amounts = [getattr(invoice, part) for part in shown.values()] + [invoice.total_minor]
        table.add_row(
            invoice.number,
            period_text(invoice.period, invoice.time_zone),
            *(units.get(kind, "") for kind in kinds),
            *(amount_text(invoice.currency_code, amount) for amount in amounts),
        )
    return table


def short_text(units: str) -> str:
    """Return a quantity as a table has room for it: "2,632,014", "9.345", "1,486"."""
    value = Decimal(units)
    rounded = value.quantize(LARGE_STEP if abs(value) >= LARGE else SMALL_STEP)
    return f"{value if value == value.to_integral_value() else rounded:,f}"


def _kind(line: InvoiceLine) -> tuple[str, str]:
    return line.charge_code, line.filter_code


def _heading(line: InvoiceLine) -> str:
    name = line.charge_code.replace("_", " ")
    return f"{name} {line.filter_code}".strip()
