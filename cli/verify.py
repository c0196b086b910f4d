"""`tally verify`: each level computed again from the one below, and compared."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

import click
from rich import box
from rich.table import Table

from cli.client import SuiteClient, open_client, open_internal_client, run
from cli.options import json_option, token_option
from cli.tables import open_console
from tally.common.v1.verification_pb2 import Difference, NamedValue, Unverified, Verification
from tally.invoicing.v1.invoice_service_pb2 import VerifyCreditsRequest, VerifyInvoicesRequest
from tally.rating.v1.usage_service_pb2 import VerifyUsageRequest
from tally.wallet.v1.ledger_service_pb2 import CheckInvariantsRequest

LEVELS = ("usage", "invoices", "ledger")
DIFFERS = 1  # The exit code.
SECONDS_MAX = 3 * 3600  # Of one service: it reads everything that was ever stored.


class CannotTell(click.ClickException):
    """A service did not answer to the end; differences that it told of so far stand."""

    exit_code = 2


@dataclass(slots=True)
class Report:
    """What was found, and what was looked at."""

    counts: Counter[str] = field(default_factory=Counter)
    differences: list[dict[str, Any]] = field(default_factory=list)
    unverified: list[dict[str, Any]] = field(default_factory=list)


@click.command()
@click.argument("level", type=click.Choice([*LEVELS, "all"]))
@click.option(
    "--tenant",
    type=click.IntRange(min=1),
    help="Only this one; by default all. Not used when a token is given.",
)
@json_option
@token_option
def verify(level: str, tenant: int | None, as_json: bool, token: str | None) -> None:
    """Compute usage, invoices or the ledger again from the level below, and compare.

    Usage comes from the event log, fees from usage, invoices from fees, and the ledger from
    itself and the invoices. Prints a line for each difference and then exits with 1; if all
    agrees, a table of what was compared. What could not be finished exits with 2. Nothing is
    changed, and the suite may go on meanwhile. A token needs the scope admin.
    """
    begun = time.monotonic()
    report = Report()
    levels = LEVELS if level == "all" else (level,)
    try:
        run(_verify(levels, report, tenant=tenant, token=token, aloud=not as_json))
    except click.ClickException as error:
        raise CannotTell(error.message) from None
    seconds = round(time.monotonic() - begun, 1)
    if as_json:
        click.echo(json.dumps(_document(report, seconds), indent=2, ensure_ascii=False))
    elif report.differences:
        click.echo(f"{len(report.differences)} differences")
    else:
        open_console().print(_table(report, seconds))
    if report.differences:
        raise click.exceptions.Exit(DIFFERS)


async def _verify(
    levels: Iterable[str], report: Report, *, tenant: int | None, token: str | None, aloud: bool
) -> None:
    opened = open_client(token=token) if token else open_internal_client(tenant=tenant)
    async with opened as client:
        for level in levels:
            async for found in _findings(client, level):
                if isinstance(found, Verification):
                    report.counts.update({one.name: one.count for one in found.counts})
                    continue
                entry = {"level": level, **_fields(found)}
                if isinstance(found, Difference):
                    report.differences.append(entry)
                else:
                    report.unverified.append(entry)
                if aloud:
                    click.echo(line_text(level, found))


async def _findings(
    client: SuiteClient, level: str
) -> AsyncIterator[Difference | Unverified | Verification]:
    """Give what the services say of a level, one after the other."""
    calls: dict[str, list[Any]] = {
        "usage": [(client.usage.VerifyUsage, VerifyUsageRequest())],
        "invoices": [(client.invoices.VerifyInvoices, VerifyInvoicesRequest())],
        "ledger": [
            (client.ledger.CheckInvariants, CheckInvariantsRequest()),
            (client.invoices.VerifyCredits, VerifyCreditsRequest()),
        ],
    }
    for method, request in calls[level]:
        async for answer in method(request, timeout=SECONDS_MAX):
            yield getattr(answer, answer.WhichOneof("result"))


def line_text(level: str, found: Difference | Unverified) -> str:
    """Return a finding as a line: "ledger: wallet wallet_id=… of tenant 1: held_minor is …"."""
    names = " ".join(f"{name}={value}" for name, value in _names(found.names).items())
    what = f"{level}: {found.kind} {names} of tenant {found.tenant}"
    if isinstance(found, Unverified):
        return f"{what} was not compared: {found.reason}"
    stored, recomputed = (text or "nothing" for text in (found.stored, found.recomputed))
    return f"{what}: {found.field} is {stored}, recomputed {recomputed}"


def _fields(found: Difference | Unverified) -> dict[str, Any]:
    entry = {"tenant": found.tenant, "kind": found.kind, "names": _names(found.names)}
    if isinstance(found, Unverified):
        return {**entry, "reason": found.reason}
    return {
        **entry,
        "field": found.field,
        "stored": found.stored,
        "recomputed": found.recomputed,
    }


def _names(names: Iterable[NamedValue]) -> dict[str, str]:
    return {one.name: one.value for one in names}


def _document(report: Report, seconds: float) -> dict[str, Any]:
    return {
        "agrees": not report.differences,
        "differences": report.differences,
        "unverified": report.unverified,
        "compared": dict(report.counts),
        "seconds": seconds,
    }


def _table(report: Report, seconds: float) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="Everything agrees", title_justify="left")
    table.add_column("Compared")
    table.add_column("", justify="right", no_wrap=True)
    for name, count in report.counts.items():
        table.add_row(name, f"{count:,}")
    if report.unverified:
        table.add_row("left out", f"{len(report.unverified):,}")
    table.add_section()
    table.add_row("seconds", f"{seconds:,.1f}")
    return table
