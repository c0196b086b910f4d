"""`tally usage rebuild`: usage computed again from the event log, in place of what is stored."""

from __future__ import annotations

from uuid import UUID, uuid4

import click
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.client import open_client, run
from cli.options import json_option, json_text, with_access
from cli.tables import open_console
from tally.rating.v1.rebuild_pb2 import RebuiltUsage
from tally.rating.v1.usage_service_pb2 import RebuildUsageRequest

SECONDS_MAX = 3 * 3600  # It reads all that was ever recorded of the customers.


@click.command()
@click.option("--customer", default="", help="Whose.")
@click.option("--all", "everybody", is_flag=True, help="Of all customers of the tenant.")
@click.option(
    "--request-id",
    type=click.UUID,
    help="Of an earlier try: what was done already is then told, not done again.",
)
@json_option
@with_access
def rebuild(
    customer: str,
    *,
    everybody: bool,
    request_id: UUID | None,
    as_json: bool,
    tenant: int,
    token: str | None,
) -> None:
    """Compute usage again from the event log, and store it where it differs.

    The suite may go on meanwhile, and nobody sees less usage than there is. If it is stopped
    halfway, whole days are done: run it again. A token needs the scope admin.
    """
    if everybody == bool(customer):
        raise click.UsageError("Give either --customer or --all.")
    request = RebuildUsageRequest(request_id=str(request_id or uuid4()), customer_id=customer)
    done = run(_rebuild(request, tenant=tenant, token=token, aloud=not as_json))
    if as_json:
        click.echo(json_text(done))
    else:
        open_console().print(_table(done))


async def _rebuild(
    request: RebuildUsageRequest, *, tenant: int, token: str | None, aloud: bool
) -> RebuiltUsage:
    """Rebuild, with a bar where somebody looks at it."""
    done = RebuiltUsage()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not aloud,
    )
    with bar:
        customers = bar.add_task("customers", total=None)
        async with open_client(token=token, tenant=tenant) as client:
            async for answer in client.usage.RebuildUsage(request, timeout=SECONDS_MAX):
                said = answer.progress
                if answer.HasField("rebuilt"):
                    done = answer.rebuilt
                else:
                    text = f"{said.event_count:,} events"
                    bar.update(
                        customers,
                        description=text,
                        completed=said.customers_done,
                        total=said.customer_count,
                    )
    return done


def _table(done: RebuiltUsage) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Computed again", title_justify="left")
    table.add_column("")
    table.add_column("", justify="right", no_wrap=True)
    for name, count in (
        ("customers", done.customer_count),
        ("events", done.event_count),
        ("cells", done.cell_count),
        ("cells changed", done.changed_cell_count),
        ("periods told of as changed", done.late_period_count),
    ):
        table.add_row(name, f"{count:,}")
    return table
