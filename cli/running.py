"""The suite that runs here: where its services answer, and tokens that they accept."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import click

from deploy.embedded.databases import SERVICES
from deploy.embedded.keys import KeysMissing
from deploy.embedded.record import find_folder, find_record, keys_of
from libs.auth import INTERNAL_SCOPE
from tally.common.v1.options_pb2 import Scope

TOKEN_LIFETIME = timedelta(hours=1)


def public_scopes() -> list[str]:
    """Return every scope but `internal`, as tokens name them: "events:write"."""
    names = (name.removeprefix("SCOPE_").lower() for name in Scope.keys()[1:])
    return [name.replace("_", ":") for name in names if name != INTERNAL_SCOPE]


def find_addresses(
    folder: Path | None = None, env: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Return host:port by service: of TALLY_<SERVICE>_ADDRESS, else of the suite in `folder`.

    Raises:
        click.ClickException: no suite runs from the folder.
    """
    given = {name: env.get(f"TALLY_{name.upper()}_ADDRESS", "") for name in SERVICES}
    if all(given.values()):
        return given
    folder = folder or find_folder(env)
    record = find_record(folder)
    if record is None:
        raise click.ClickException(f"no suite runs from {folder}; start it with `tally up`")
    return {name: address or record.addresses.get(name, "") for name, address in given.items()}


def issue(folder: Path | None, *, tenant: int | None, scopes: Sequence[str]) -> str:
    """Return a token, signed with the key of the suite in `folder`, that is good for an hour.

    Raises:
        click.ClickException: the folder has no key.
    """
    try:
        keys = keys_of(folder or find_folder())
        return keys.issue(tenant=tenant, scopes=scopes, expires_in=TOKEN_LIFETIME)
    except KeysMissing as error:
        raise click.ClickException(f"{error} Or give a token, in TALLY_TOKEN.") from None
