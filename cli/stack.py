"""`tally up`, `down`, `status` and `migrate`: the suite on this machine."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.table import Table

from deploy.embedded import leftovers, logs, processes, record, supervisor, tables
from deploy.embedded.binaries import ProgramMissing
from deploy.embedded.databases import SERVICES
from deploy.embedded.environment import SettingsMissing, python_environment, read_owner_urls
from deploy.embedded.files import size, tail
from deploy.embedded.health import SERVING
from deploy.embedded.nats import NatsFailed
from deploy.embedded.ports import NoPort
from deploy.embedded.postgres import PostgresFailed
from deploy.embedded.record import AlreadyRunning
from deploy.embedded.service import ServiceFailed
from deploy.embedded.stack import Stack
from deploy.embedded.status import StackStatus, find_status
from deploy.embedded.supervisor import Supervisor

DETACHED_SECONDS = 180.0
DOWN_SECONDS = 60.0
POLL_SECONDS = 0.1
EXPECTED = (
    AlreadyRunning,
    NatsFailed,
    NoPort,
    PostgresFailed,
    ProgramMissing,
    ServiceFailed,
    SettingsMissing,
)


@click.command()
@click.option(
    "--test-clock", is_flag=True, help="Let `tally clock` move the suite's time; for trying out."
)
@click.option("--detach", is_flag=True, help="Return when everything serves, and let it run on.")
def up(test_clock: bool, detach: bool) -> None:
    """Run PostgreSQL, NATS and the four services, until Ctrl-C.

    Shows one log of all services; each one's JSON lines are in logs/ of the data folder. What a
    crash left behind is cleared first. Servers of your own are used if <SERVICE>_DATABASE_URL, its
    _WORKER_ and _OWNER_ twins, and NATS_URL name them.
    """
    folder = record.find_folder()
    if detach:
        _up_detached(folder, test_clock)
    else:
        _up(folder, test_clock)


@click.command()
def down() -> None:
    """Stop the suite that runs from the data folder, or what a crash left of it."""
    folder = record.find_folder()
    if (holder := record.find_holder(folder)) is not None:
        _stop_holder(folder, holder)
        click.echo(f"The suite in {folder} is stopped.")
        return
    stopped = leftovers.stop_all(folder) if folder.is_dir() else []
    if stopped:
        click.echo(f"Stopped what a crash left running in {folder}: {', '.join(stopped)}.")
    else:
        click.echo(f"Nothing runs from {folder}.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Show what runs; the exit status is 1 if anything that should run does not."""
    folder = record.find_folder()
    found = find_status(folder)
    if as_json:
        nothing = StackStatus(False, None, False, record.suite_version(), [])
        click.echo(json.dumps(asdict(found or nothing), indent=2))
    elif found is None:
        click.echo(f"No suite runs from {folder}. Start it with `tally up`.", err=True)
    else:
        _show_status(found)
    sys.exit(0 if found is not None and found.running else 1)


@click.command()
@click.argument("services", nargs=-1, type=click.Choice(SERVICES), metavar="[SERVICE]...")
def migrate(services: Sequence[str]) -> None:
    """Bring the databases of the services, or of all four, to the newest revision.

    `tally up` does this by itself; here it is for servers of your own, before a new version runs.
    Such a database is named by <SERVICE>_OWNER_DATABASE_URL, and nothing else is needed or made.
    """
    names = tuple(services) or SERVICES
    urls = read_owner_urls(os.environ, names)
    try:
        for name, url in urls.items():
            tables.upgrade(name, url)
        if embedded := [name for name in names if name not in urls]:
            # Neither NATS nor a service is needed; some address keeps NATS from being started.
            env = {**os.environ, "NATS_URL": "nats://unused"}
            Stack(services=embedded, env=env).migrate_only()
    except AlreadyRunning:
        raise click.ClickException(
            "The suite runs, and was migrated when it started. Stop it first (`tally down`)."
        ) from None
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"Migrated: {', '.join(names)}.")


class _Interrupt:
    """Turns the first request to stop into KeyboardInterrupt, and hurries at the next."""

    def __init__(self, stack: Stack, say: supervisor.Say) -> None:
        self._stack = stack
        self._say = say
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            self._stack.hurry()
        else:
            self._asked = True
            self._say("stopping; Ctrl-C again kills what still drains")
            raise KeyboardInterrupt


def _up(folder: Path, test_clock: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)

    def say(message: str) -> None:
        console.print(logs.sentence(message, now=datetime.now()))

    try:
        stack = Stack(folder, test_clock=test_clock, say=say)
        _Interrupt(stack, say)
        files = {name: stack.logs / f"{name}.jsonl" for name in SERVICES}
        with logs.Follower(files, lambda name, line: console.print(logs.render(name, line))):
            _run(stack, say, console)
    except EXPECTED as error:
        raise click.ClickException(str(error)) from None


def _run(stack: Stack, say: supervisor.Say, console: Console) -> None:
    try:
        stack.start()
        console.print(_endpoints(stack))
        say(f"ready; data is in {stack.folder}; Ctrl-C stops")
        supervisor.run(Supervisor(stack, say))
    except KeyboardInterrupt:
        stack.stop()
        say("stopped")
    finally:
        stack.stop()


def _endpoints(stack: Stack) -> Table:
    table = Table("service", "gRPC", "metrics")
    for name in SERVICES:
        table.add_row(name, stack.address(name), f"http://{stack.metrics_address(name)}/metrics")
    return table


def _up_detached(folder: Path, test_clock: bool) -> None:
    if (holder := record.find_holder(folder)) is not None:
        raise click.ClickException(
            f"The suite already runs from {folder} (process {holder}). `tally down` stops it."
        )
    log = folder / "logs" / "up.log"
    start = size(log)
    process = processes.start(
        [sys.executable, "-P", "-m", "cli", "up", *(["--test-clock"] if test_clock else [])],
        name="up",
        folder=folder,
        log=log,
        env={**python_environment(os.environ), "TALLY_HOME": str(folder.resolve())},
    )
    until = time.monotonic() + DETACHED_SECONDS
    while time.monotonic() < until and not process.wait(POLL_SECONDS):
        said = record.find_record(folder)
        if said is not None and said.ready and said.supervisor_pid == process.pid:
            break
    else:
        process.stop(DOWN_SECONDS)
        raise click.ClickException(f"The suite did not start:\n{tail(log, start=start)}")
    if (found := find_status(folder)) is not None:
        _show_status(found)
    click.echo(f"The suite runs; its log is {log}. `tally down` stops it.")


def _stop_holder(folder: Path, holder: int) -> None:
    process = processes.hold(holder) if holder else None
    if process is not None and record.find_holder(folder) == holder:
        process.send(signal.SIGTERM)
        if not process.wait(DOWN_SECONDS):
            click.echo(f"Process {holder} did not stop in time; killing it.", err=True)
            process.kill()
    until = time.monotonic() + DOWN_SECONDS
    while record.find_holder(folder) is not None and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    leftovers.stop_all(folder)


def _show_status(found: StackStatus) -> None:
    table = Table("part", "health", "address", "pid", "up for")
    for part in found.parts:
        color = "green" if part.health == SERVING else "red"
        pid = str(part.pid) if part.pid else "–"
        table.add_row(
            part.name,
            f"[{color}]{part.health}[/]",
            part.address,
            pid,
            uptime_text(part.uptime_seconds),
        )
    console = Console(highlight=False)
    console.print(table)
    keeper = f"kept by process {found.supervisor_pid}"
    if found.supervisor_pid is None:
        keeper = (
            "[red]nobody keeps it running: `tally up` starts it again, `tally down` clears it[/]"
        )
    clock = ", test clock" if found.test_clock else ""
    console.print(f"Tally {found.version}{clock}, {keeper}", soft_wrap=True)


def uptime_text(seconds: int | None) -> str:
    """Return "3 d 4:05:06", "0:00:07" or, if nobody knows, a dash."""
    if seconds is None:
        return "–"
    rest = timedelta(seconds=seconds % 86400)
    return f"{seconds // 86400} d {rest}" if seconds >= 86400 else str(rest)
