"""`tally usage`: what a subscription has used, and what it costs so far."""

from __future__ import annotations

from datetime import datetime

import click
from google.protobuf.timestamp_pb2 import Timestamp

from cli.client import open_client, run
from cli.instants import INSTANT
from cli.options import json_option, json_text, with_access
from cli.tables import open_console, usage_view
from tally.rating.v1.usage_service_pb2 import GetUsageRequest, GetUsageResponse


@click.command()
@click.argument("subscription")
@click.option("--at", type=INSTANT, help="An instant in the period wanted; by default now.")
@json_option
@with_access
def usage(
    subscription: str, at: datetime | None, as_json: bool, tenant: int, token: str | None
) -> None:
    """Show the usage of SUBSCRIPTION in its current period, priced."""
    request = GetUsageRequest(subscription_id=subscription)
    if at is not None:
        stamp = Timestamp()
        stamp.FromDatetime(at)
        request.at.CopyFrom(stamp)
    found = run(_usage(request, tenant, token))
    if as_json:
        click.echo(json_text(found))
    else:
        open_console().print(usage_view(found))


async def _usage(request: GetUsageRequest, tenant: int, token: str | None) -> GetUsageResponse:
    async with open_client(token=token, tenant=tenant) as client:
        return await client.usage.GetUsage(request)
