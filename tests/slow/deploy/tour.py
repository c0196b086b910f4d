"""The README's tour, with any `tally` command: from an event to an invoice."""

import asyncio
import json
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.tidy.tree import ROOT
from tests.wait import until

TOUR = re.compile(r"^## From an event to an invoice.*?(?=^## )", re.M | re.S)
SECONDS = 120.0  # Programs start slowly on a machine that is busy.


@dataclass(frozen=True)
class Tally:
    """A `tally` command, and where and in which environment it runs."""

    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str]

    async def __call__(self, *arguments: str) -> str:
        """Returns what it prints; fails with what it complains of."""
        done = await asyncio.to_thread(
            subprocess.run,
            [*self.command, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{shlex.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout


def commands() -> list[list[str]]:
    """Returns the tour's `tally` commands, split as a shell would."""
    tour = TOUR.search((ROOT / "README.md").read_text())
    assert tour is not None
    lines = re.findall(r"^ *(tally .*)$", tour[0], re.M)
    return [shlex.split(line) for line in lines]


async def follow(tally: Tally) -> None:
    """Takes the tour, and checks that two calls are counted and billed."""

    async def counted() -> bool:
        return "0.02" in await tally("usage", "acme-pro")

    said = ""
    tour = commands()
    assert len(tour) >= 8
    for _, *arguments in tour:
        if arguments[0] in {"token", "status"}:
            continue  # Those are about how the suite was started.
        if arguments[0] == "usage":
            await until(counted, seconds=SECONDS)
        else:
            said = await tally(*arguments)
    *_, invoice = json.loads(said)["invoices"]
    assert invoice["status"] == "INVOICE_STATUS_FINALIZED"
    assert 2 < int(invoice["total_minor"]) <= 9902
