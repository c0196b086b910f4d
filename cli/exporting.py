"""`tally export`: stored events as files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from cli.client import open_client, run
from cli.events.access import Access
from cli.events.event import FileFault
from cli.events.exporting import export_events
from cli.events.fetching import fetch_events
from cli.events.retrying import NoAnswer
from cli.events.sources import Format, Source, find_source
from cli.instants import INSTANT
from cli.options import with_access
from libs.wire import timestamp
from tally.ingest.v1.ingest_service_pb2 import ListEventsRequest

FORMATS = click.Choice([Format.JSONL.value, Format.CSV.value, Format.PARQUET.value])


@click.group()
def export() -> None:
    """Write data to files."""


@export.command("events")
@click.option("--out", required=True, help='The file to write; "-" is standard output.')
@click.option("--format", "format_name", type=FORMATS, help="Else by the name of the file.")
@click.option("--customer", default="", help="Only this customer's.")
@click.option("--subscription", default="", help="Only those that name this subscription.")
@click.option("--type", "type_", default="", help="Only of this type.")
@click.option("--from", "start", type=INSTANT, help="Only at or after this time.")
@click.option("--to", "end", type=INSTANT, help="Only before this time.")
@with_access
def events_command(
    *, out: str, format_name: str | None, tenant: int, token: str | None, **wanted: Any
) -> None:
    """Write stored events to a file, as they were corrected last, without retracted ones.

    The file is JSONL, CSV or Parquet by its name (.jsonl.gz and .csv.zst as well), or what --format
    says. `tally import events` reads it again without loss: where its events are stored already,
    all are duplicates. An event that was sent without a time has received_at in its place.
    """
    try:
        target = find_source(out, Format(format_name) if format_name else None)
    except FileFault as fault:
        raise click.UsageError(str(fault)) from None
    request = ListEventsRequest(
        customer_id=wanted["customer"],
        subscription_id=wanted["subscription"],
        type=wanted["type_"],
        start=_stamp(wanted["start"]),
        end=_stamp(wanted["end"]),
    )
    try:
        count = run(_export(Access(token=token, tenant=tenant), request, target))
    except (FileFault, NoAnswer) as failed:
        raise click.ClickException(str(failed)) from None
    click.echo(f"{count:,} events in {out}", err=target.path is None)


async def _export(access: Access, request: ListEventsRequest, target: Source) -> int:
    async with open_client(token=access.token) as client:
        with _bar() as advance:
            return await export_events(fetch_events(client, access, request), target, advance)


@contextmanager
def _bar() -> Iterator[Callable[[int], None]]:
    """Tell how many events are written, where somebody looks at it."""
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.completed:,.0f} events"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)
        yield lambda count: bar.update(task, completed=count)


def _stamp(instant: datetime | None) -> Any:
    return None if instant is None else timestamp(instant)
