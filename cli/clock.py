"""`tally clock`: the suite's business time, when it runs with a test clock."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import click
import grpc

from cli.client import SuiteClient, open_internal_client, run
from cli.instants import parse_duration, parse_instant
from libs.testclock import advance
from tally.internal.v1.test_clock_service_pb2 import GetTimeRequest


@click.group()
def clock() -> None:
    """Show and move the suite's business time (`tally up --test-clock`)."""


@clock.command("now")
def now_command() -> None:
    """Print the suite's business time."""
    now, moved = run(_now())
    click.echo(time_text(now) + ("" if moved else " (the time on the wall: it was never moved)"))


@clock.command("advance")
@click.argument("to")
def advance_command(to: str) -> None:
    """Move the suite forward to TO, doing all that falls due on the way.

    TO is a time like 2014-02-01 or 2014-02-01T10:00:00+11:00 (UTC if it says nothing else), or a
    step like +90m, +32d, +2w from now.
    """
    try:
        target = parse_target(to)
    except ValueError:
        raise click.BadParameter(f"{to!r} is no time and no step like +32d") from None
    now = run(_advance(target))
    click.echo(time_text(now))


def parse_target(text: str) -> datetime | timedelta:
    """Read an instant or a step.

    Raises:
        ValueError: it is neither.
    """
    step = parse_duration(text)
    return parse_instant(text) if step is None else step


def time_text(instant: datetime) -> str:
    """Return an instant as "2014-02-01T00:10:00Z"."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


async def _now() -> tuple[datetime, bool]:
    async with open_internal_client() as client:
        return await _time(client)


async def _advance(target: datetime | timedelta) -> datetime:
    async with open_internal_client() as client:
        now, _ = await _time(client)
        to = now + target if isinstance(target, timedelta) else target
        await advance(client.clocks, to)
        return to


async def _time(client: SuiteClient) -> tuple[datetime, bool]:
    """Return the latest time that any service shows, and whether it was ever moved."""
    try:
        asked = [clock.GetTime(GetTimeRequest()) for clock in client.clocks.values()]
        answers = await asyncio.gather(*asked)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            raise click.ClickException(
                "the suite keeps to the time on the wall; start it with `tally up --test-clock`"
            ) from None
        raise
    moved = [answer for answer in answers if answer.moved]
    times = [answer.now.ToDatetime(tzinfo=UTC) for answer in moved or answers]
    return max(times), bool(moved)
