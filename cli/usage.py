"""`tally usage`: what a subscription has used, what it costs so far, and when it was used."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click
from google.protobuf.timestamp_pb2 import Timestamp

from cli.client import SuiteClient, open_client, run
from cli.instants import INSTANT
from cli.options import json_option, json_text, with_access
from cli.rebuilding import rebuild
from cli.tables import open_console, usage_view, windows_table
from tally.rating.v1.usage_service_pb2 import (
    GetUsageRequest,
    GetUsageResponse,
    QueryUsageRequest,
    QueryUsageResponse,
    UsageWindow,
)

SHOW = "show"
WINDOWS = ("hour", "day", "period")


class ShownByDefault(click.Group):
    """What names none of its commands is shown: `tally usage acme`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the command line; without one of the commands it is that of `show`."""
        own = {*self.commands, *self.get_help_option_names(ctx)}
        return super().parse_args(ctx, [SHOW, *args] if args and args[0] not in own else args)


@click.group(cls=ShownByDefault)
def usage() -> None:
    """Show what was used, and compute it again: `tally usage acme` shows that of acme."""


usage.add_command(rebuild)


@usage.command(SHOW)
@click.argument("subscription")
@click.option("--at", type=INSTANT, help="An instant in the period wanted; by default now.")
@click.option("--as-of", type=INSTANT, help="Leave out events dated at or after this instant.")
@click.option("--meter", default="", help="Show what this meter counted, by windows of time.")
@click.option("--by", type=click.Choice(WINDOWS), default="day", help="The windows.")
@click.option("--group-by", multiple=True, help="A property of the events; may be repeated.")
@click.option("--zone", default="", help="Of the windows; by default the subscription's.")
@json_option
@with_access
def show_command(
    subscription: str, *, as_json: bool, tenant: int, token: str | None, **asked: Any
) -> None:
    """Show the usage of SUBSCRIPTION in its current period, priced.

    With --meter: what it counted in that period, by windows and groups, without prices.
    """
    request = GetUsageRequest(
        subscription_id=subscription, at=_stamp(asked["at"]), as_of=_stamp(asked["as_of"])
    )

    async def answer() -> GetUsageResponse | QueryUsageResponse:
        async with open_client(token=token, tenant=tenant) as client:
            found = await client.usage.GetUsage(request)
            return await _windows(client, request, found, asked) if asked["meter"] else found

    found = run(answer())
    if as_json:
        click.echo(json_text(found))
    elif isinstance(found, QueryUsageResponse):
        open_console().print(windows_table(found, asked["group_by"]))
    else:
        open_console().print(usage_view(found))


async def _windows(
    client: SuiteClient, request: GetUsageRequest, found: GetUsageResponse, asked: dict[str, Any]
) -> QueryUsageResponse:
    """Ask for the same period, as far as it was asked for."""
    query = QueryUsageRequest(
        subscription_id=request.subscription_id,
        meter_code=asked["meter"],
        start=found.period.start,
        end=request.as_of if request.HasField("as_of") else found.period.end,
        window=UsageWindow.Value(f"USAGE_WINDOW_{asked['by'].upper()}"),
        group_by=asked["group_by"],
        time_zone=asked["zone"],
    )
    return await client.usage.QueryUsage(query)


def _stamp(instant: datetime | None) -> Timestamp | None:
    if instant is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp
