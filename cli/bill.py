"""`tally bill run`: finalize what is due, and look at what would be."""

from __future__ import annotations

from datetime import datetime

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from cli.client import open_client, run
from cli.instants import INSTANT
from cli.options import with_access
from cli.tables import invoices_table, open_console
from libs.wire import timestamp
from tally.invoicing.v1.billing_service_pb2 import BilledInvoice, BillingDone, RunBillingRequest

SECONDS_MAX = 3 * 3600


@click.group()
def bill() -> None:
    """Bill what is due."""


@bill.command("run")
@click.option(
    "--as-of",
    type=INSTANT,
    help="Drafts whose grace is over by then; by default now. A later instant ends it earlier.",
)
@click.option("--customer", default="", help="Only this customer's.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be finalized.")
@with_access
def run_command(
    as_of: datetime | None, customer: str, *, dry_run: bool, tenant: int, token: str | None
) -> None:
    """Finalize all drafts that are due, and list them.

    Those that are due are finalized without it, too. Stopped halfway, what is done stays: run it
    again. A token needs the scope invoices:write.
    """
    request = RunBillingRequest(customer_id=customer, dry_run=dry_run)
    if as_of is not None:
        request.as_of.CopyFrom(timestamp(as_of))
    billed, done = run(_run(request, tenant=tenant, token=token))
    console = open_console()
    if billed:
        console.print(invoices_table(one.invoice for one in billed))
    for one in billed:
        if one.problem:
            console.print(f"{one.invoice.invoice_id} waits: {one.problem}", markup=False)
    counts = f"{done.finalized_count} finalized, {done.skipped_count} skipped"
    click.echo(f"{counts}, {done.waiting_count} {'to finalize' if dry_run else 'waiting'}")


async def _run(
    request: RunBillingRequest, *, tenant: int, token: str | None
) -> tuple[list[BilledInvoice], BillingDone]:
    """Run, with a bar where somebody looks at it."""
    billed: list[BilledInvoice] = []
    done = BillingDone()
    bar = Progress(
        TextColumn("invoices"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("invoices", total=None)
        async with open_client(token=token, tenant=tenant) as client:
            async for answer in client.billing.RunBilling(request, timeout=SECONDS_MAX):
                match answer.WhichOneof("step"):
                    case "found":
                        bar.update(task, total=answer.found.invoice_count)
                    case "billed":
                        billed.append(answer.billed)
                        bar.advance(task)
                    case "done":
                        done = answer.done
    return billed, done
