"""`tally import`: usage events out of files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from cli.client import open_client, run
from cli.events.access import Access
from cli.events.checkpoint import CannotResume
from cli.events.event import Event, FileFault
from cli.events.fields import Kind, Rules, is_name
from cli.events.importing import Advance, Importing, Options, Stopped
from cli.events.report import Report
from cli.events.retrying import NoAnswer
from cli.events.sending import Sender, Verdicts
from cli.events.sources import STDIN, Format, Source, find_source
from cli.options import json_option, with_access
from cli.tables import open_console

UNSTORED, UNFINISHED = 1, 2  # Exit codes.
GO_ON = "The same command with --resume goes on from here."


class Pairs(click.ParamType[tuple[str, str]]):
    """FIELD=TEXT, of a field of events or a property."""

    name = "field=text"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        field, equals, text = value.partition("=")
        if not equals or not text:
            self.fail(f"{value!r} is no FIELD=TEXT", param, ctx)
        if not is_name(field):
            self.fail(f"{value!r}: there is no field {field!r}", param, ctx)
        return field, text


class Zone(click.ParamType[ZoneInfo]):
    """The name of a time zone."""

    name = "zone"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> ZoneInfo:
        if isinstance(value, ZoneInfo):
            return value
        try:
            return ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self.fail(f"there is no time zone {value!r}", param, ctx)


@click.group("import")
def import_() -> None:
    """Bring data in from files."""


FORMATS = click.Choice([one.value for one in Format])
FILE = click.Path(path_type=Path, dir_okay=False, writable=True)


@import_.command("events")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--format", "format_name", type=FORMATS, help="Of all files; else by their names.")
@click.option(
    "--map",
    "renamed",
    type=Pairs(),
    multiple=True,
    help="What a field is called in the file: --map customer_id=user.",
)
@click.option(
    "--set",
    "constants",
    type=Pairs(),
    multiple=True,
    help="What holds where a row says nothing: --set type=api_calls.",
)
@click.option("--decimal", "decimals", multiple=True, help="A property whose text is a decimal.")
@click.option("--flag", "flags", multiple=True, help="A property whose text is true or false.")
@click.option(
    "--time-zone",
    "zone",
    type=Zone(),
    help="Of times without an offset, which are unreadable otherwise.",
)
@click.option("--delimiter", default=",", show_default=True, help="Between the cells of CSV.")
@click.option("--skip-unknown", is_flag=True, help="Leave out what is no field of an event.")
@click.option(
    "--ids-from-content",
    is_flag=True,
    help="Make the ids that are missing, from the line's number and content.",
)
@click.option(
    "--received-as-time",
    is_flag=True,
    help="Take received_at of exported events as the time of those that had none.",
)
@click.option("--strict", is_flag=True, help="Stop at the first row that is not stored.")
@click.option("--check", is_flag=True, help="Read everything, send nothing.")
@click.option(
    "--resume", is_flag=True, help="Go on where an interrupted import of the same file stopped."
)
@click.option(
    "--batch-size",
    type=click.IntRange(1, 10_000),
    default=5_000,
    show_default=True,
    help="Events in a request.",
)
@click.option("--report", type=FILE, help="Write every row that is not stored to it, as JSONL.")
@click.option(
    "--show",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many rows that are not stored to print.",
)
@json_option
@with_access
def events_command(
    files: Sequence[str], *, as_json: bool, tenant: int, token: str | None, **asked: Any
) -> None:
    """Record the usage events of each FILE; "-" is standard input.

    A file is JSONL, CSV or Parquet by its name (.jsonl.gz and .csv.zst as well), or what --format
    says. Its names are those of an event's fields: id, source, type, time, customer_id,
    subscription_id, amount, hold_id and properties, or properties.KEY for one of them.

    Rows that are not stored are listed and make the exit code 1. To import a file again is safe:
    what is stored already is a duplicate.
    """
    access = Access(token=token, tenant=tenant)
    options = Options(
        rules=_rules(asked),
        delimiter=asked["delimiter"],
        batch_size=asked["batch_size"],
        strict=asked["strict"],
        resumes=asked["resume"],
        keeps_checkpoints=not asked["check"],
        tenant=access.tenant,
    )
    sources = _sources(files, asked["format_name"])
    begun = time.monotonic()
    with _open_report(asked) as report:
        with _bar(sources, aloud=not as_json) as progress:
            end = _import(access, options, sources, report, progress, checks=asked["check"])
        _tell(report, time.monotonic() - begun, as_json=as_json)
    if end is not None:
        raise end
    if report.unstored:
        raise click.exceptions.Exit(UNSTORED)


def _open_report(asked: dict[str, Any]) -> Report:
    path = asked["report"]
    try:
        return Report(shown_max=asked["show"], path=path, appends=asked["resume"])
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror}") from None


def _rules(asked: dict[str, Any]) -> Rules:
    kinds = dict.fromkeys(asked["decimals"], Kind.DECIMAL)
    if both := kinds.keys() & set(asked["flags"]):
        raise click.UsageError(f"{', '.join(sorted(both))}: either --decimal or --flag.")
    return Rules(
        renamed={name: field for field, name in asked["renamed"]},
        constants=dict(asked["constants"]),
        kinds=kinds | dict.fromkeys(asked["flags"], Kind.FLAG),
        zone=asked["zone"],
        skips_unknown=asked["skip_unknown"],
        ids_from_content=asked["ids_from_content"],
        received_as_time=asked["received_as_time"],
    )


def _sources(files: Sequence[str], format_name: str | None) -> list[Source]:
    if missing := [name for name in files if name != STDIN and not Path(name).exists()]:
        raise click.UsageError(f"there is no file {', '.join(missing)}")
    try:
        return [find_source(name, Format(format_name) if format_name else None) for name in files]
    except FileFault as fault:
        raise click.UsageError(str(fault)) from None


def _import(
    access: Access,
    options: Options,
    sources: Sequence[Source],
    report: Report,
    progress: Advance,
    *,
    checks: bool,
) -> click.exceptions.ClickException | None:
    """Import, and return why it ended too soon, if it did."""

    async def work() -> None:
        if checks:
            await Importing(options, Unsent(), report, progress).run(sources)
            return
        async with open_client(token=access.token) as client:
            await Importing(options, Sender(client, access), report, progress).run(sources)

    try:
        run(work())
    except (Stopped, CannotResume) as stopped:
        return Unfinished(f"{stopped}.")
    except NoAnswer as failed:
        return Unfinished(f"{failed}\n{GO_ON}")
    except KeyboardInterrupt:
        return Unfinished(f"interrupted. {GO_ON}")
    return None


class Unfinished(click.ClickException):
    """Files were not read to their end."""

    exit_code = UNFINISHED


class Unsent:
    """Takes events and tells nobody: what is readable counts as READABLE."""

    async def send(self, events: Sequence[Event]) -> Verdicts:
        """Return that they could be read."""
        return Verdicts(readable=len(events))


@contextmanager
def _bar(sources: Sequence[Source], *, aloud: bool) -> Iterator[Advance]:
    """Draw how many bytes of the sources are read, where somebody looks at it."""
    sizes = {source: source.size for source in sources}
    known = [size for size in sizes.values() if size is not None]
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(show_speed=False),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not aloud,
    )
    rows, behind, present = 0, 0, sources[0]

    def advance(source: Source, position: int, count: int) -> None:
        nonlocal rows, behind, present
        if source is not present:
            behind, present = behind + (sizes[present] or 0), source
        rows += count
        bar.update(task, description=f"{source.name}: {rows:,} rows", completed=behind + position)

    with bar:
        task = bar.add_task("", total=sum(known) if len(known) == len(sources) else None)
        yield advance


def _tell(report: Report, seconds: float, *, as_json: bool) -> None:
    if as_json:
        document = report.document(seconds)
        click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
    else:
        open_console().print(report.view(seconds))
