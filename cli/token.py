"""`tally token`: credentials for callers."""

from __future__ import annotations

import re
from datetime import timedelta

import click

from cli.running import public_scopes
from deploy.embedded.keys import KeysMissing
from deploy.embedded.record import find_folder, keys_of
from libs.auth import INTERNAL_SCOPE
from libs.tenant import TENANT_MAX

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LIFETIME_MAX = timedelta(days=3650)


@click.group()
def token() -> None:
    """Make tokens for callers of the services."""


@token.command()
@click.option(
    "--tenant",
    type=click.IntRange(1, TENANT_MAX),
    required=True,
    help="Whose data the token opens.",
)
@click.option("--scopes", required=True, help="What it allows: events:write,usage:read,…")
@click.option("--expires-in", default="1h", show_default=True, help="90s, 15m, 1h or 30d.")
def issue(tenant: int, scopes: str, expires_in: str) -> None:
    """Print a token, and nothing else, signed with the key of the suite that is kept here."""
    lifetime = parse_lifetime(expires_in)
    wanted = parse_scopes(scopes)
    try:
        made = keys_of(find_folder()).issue(tenant=tenant, scopes=wanted, expires_in=lifetime)
    except KeysMissing:
        raise click.ClickException(
            f"{find_folder()} holds no signing key yet: run `tally up` once, or set TALLY_HOME."
        ) from None
    click.echo(made)


def parse_lifetime(text: str) -> timedelta:
    """Read "90s", "15m", "1h" or "30d".

    Raises:
        click.BadParameter: it is something else, or not above zero, or above ten years.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text.strip())
    lifetime = timedelta(seconds=int(match[1]) * SECONDS[match[2]]) if match else timedelta()
    if not timedelta() < lifetime <= LIFETIME_MAX:
        raise click.BadParameter(
            f"{text!r} is no time up to ten years like 90s, 15m, 1h or 30d",
            param_hint="--expires-in",
        )
    return lifetime


def parse_scopes(text: str) -> list[str]:
    """Read scopes parted by commas or spaces.

    Raises:
        click.BadParameter: one is unknown; the message lists what there is.
    """
    known = [*public_scopes(), INTERNAL_SCOPE]
    wanted = [scope for scope in re.split(r"[,\s]+", text) if scope]
    if unknown := [scope for scope in wanted if scope not in known]:
        raise click.BadParameter(
            f"unknown: {', '.join(unknown)}; there are: {', '.join(known)}", param_hint="--scopes"
        )
    if not wanted:
        raise click.BadParameter(f"name some of: {', '.join(known)}", param_hint="--scopes")
    return wanted
