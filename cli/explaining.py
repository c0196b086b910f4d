"""`tally invoices explain`: a line of an invoice, down to the events that it was priced from."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal

import click
from google.protobuf import json_format
from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cli.client import SuiteClient, open_client, run
from cli.options import invoice_request, json_option, with_access
from cli.tables import DAYS, amount_text, open_console, price_text, quantity_text, step_text
from libs.money import EXACT
from tally.invoicing.v1.billing_service_pb2 import (
    ExplainedLine,
    ExplainLineRequest,
    ExplainLineResponse,
)
from tally.invoicing.v1.invoice_service_pb2 import Invoice
from tally.rating.v1.fee_explanation_pb2 import FeeEvent

SECONDS_MAX = 600


@click.command("explain")
@click.argument("invoice")
@click.argument("line")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="List at most this many events; all are counted.",
)
@json_option
@with_access
def explain_command(
    invoice: str, line: str, *, limit: int, as_json: bool, tenant: int, token: str | None
) -> None:
    """Tell why LINE of INVOICE, a number or an id, costs what it does, down to its events.

    LINE is an id, or the line's place on the invoice from 1 on. Events are those that were counted
    when the period was closed. --json prints a message a line, with all events.
    """
    if as_json:
        run(_print_json(invoice, line, tenant, token))
        return
    open_console().print(run(_explain(invoice, line, limit=limit, tenant=tenant, token=token)))


async def _print_json(invoice: str, line: str, tenant: int, token: str | None) -> None:
    async with open_client(token=token, tenant=tenant) as client:
        async for part in _parts(client, invoice, line):
            fields = json_format.MessageToJson(part, preserving_proto_field_name=True, indent=None)
            click.echo(fields)


async def _explain(
    invoice: str, line: str, *, limit: int, tenant: int, token: str | None
) -> RenderableType:
    """Read all events, with a bar where somebody looks at it, and keep the first ones."""
    told, shown = ExplainedLine(), list[FeeEvent]()
    count, total = 0, Decimal(0)
    bar = Progress(
        TextColumn("events"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("events", total=None)
        async with open_client(token=token, tenant=tenant) as client:
            async for part in _parts(client, invoice, line):
                if part.HasField("line"):
                    told = part.line
                    bar.update(task, total=told.line.event_count)
                    continue
                events = part.events.events
                shown += events[: max(limit - len(shown), 0)]
                count += len(events)
                for event in events:
                    total = EXACT.add(total, Decimal(event.value))
                bar.advance(task, len(events))
    return explained_view(told, shown, count=count, total=total)


def explained_view(
    told: ExplainedLine, events: list[FeeEvent], *, count: int, total: Decimal
) -> RenderableType:
    """Return a line, how its amount came about, and the first of its `count` events."""
    line, currency = told.line, told.currency_code
    about = f"{line.description or line.charge_code}: {quantity_text(line.units)} units of"
    about += f" {line.event_count:,} events, {currency} {amount_text(currency, line.amount_minor)}"
    steps = Table(box=box.SIMPLE_HEAD)
    steps.add_column("Step")
    for name in ("Units", "Unit price", f"Amount ({currency})"):
        steps.add_column(name, justify="right", no_wrap=True)
    floor = ""
    for row in line.breakdown:
        name = escape(step_text(row, floor))
        floor = "" if row.label in DAYS else row.up_to
        steps.add_row(name, quantity_text(row.units), price_text(row), quantity_text(row.amount))
    parts: list[RenderableType] = [Text(about), steps]
    plan = f"plan {line.plan_code} version {line.plan_version}" if line.plan_code else "no plan"
    meter = f"meter {line.meter_code}, " if line.meter_code else ""
    parts.append(Text(f"{meter}{plan}, trace {line.trace_id or '-'}", style="dim"))
    if told.HasField("basis"):
        counted = ", ".join(
            f"shard {one.shard} up to segment {one.number}" for one in told.basis.counted_slices
        )
        frozen = "frozen" if told.basis.frozen else "not frozen yet"
        parts.append(Text(f"log counted: {counted or 'nothing'} ({frozen})", style="dim"))
    if told.note:
        parts.append(Text(told.note))
    if events:
        parts.append(_events_table(events))
    if count:
        left = f", {count - len(events):,} of them not listed" if count > len(events) else ""
        parts.append(Text(f"{count:,} events{left}; their values add up to {total:,f}"))
    return Group(*parts)


def _events_table(events: list[FeeEvent]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("Time", "Event", "Dimensions"):
        table.add_column(name, overflow="fold")
    table.add_column("Value", justify="right", no_wrap=True)
    for event in events:
        values = ", ".join(f"{key} {value or '-'}" for key, value in event.dimensions.items())
        name = f"{event.source} {event.id}".strip()
        row = (event.time.ToJsonString(), escape(name), escape(values))
        table.add_row(*row, quantity_text(event.value))
    return table


async def _parts(
    client: SuiteClient, invoice: str, line: str
) -> AsyncIterator[ExplainLineResponse]:
    """Give the explanation of a line of an invoice, both as they were typed."""
    found = (await client.invoices.GetInvoice(invoice_request(invoice))).invoice
    request = ExplainLineRequest(invoice_id=found.invoice_id, line_id=_line_id(found, line))
    async for part in client.billing.ExplainLine(request, timeout=SECONDS_MAX):
        yield part


def _line_id(invoice: Invoice, line: str) -> str:
    """Return the id of a line that is named by it, or by its place from 1 on."""
    if not line.isdecimal():
        return line
    place = int(line)
    if not 1 <= place <= len(invoice.lines):
        raise click.UsageError(f"The invoice has lines 1 to {len(invoice.lines)}, not {place}.")
    return invoice.lines[place - 1].line_id
