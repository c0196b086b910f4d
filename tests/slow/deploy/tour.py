"""The README's tour, with any `tally` command: from an event to an invoice."""

import asyncio
import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.scenario.test_readme import commands
from tests.wait import until

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


async def follow(tally: Tally) -> None:
    """Takes the tour, and checks that two calls are counted and billed."""

    async def counted() -> bool:
        return "0.02" in await tally("usage", "acme-pro")

    said = ""
    for _, *arguments in commands():
        if arguments[0] in {"token", "status"}:
            continue  # Those are about how the suite was started.
        if arguments[0] == "usage":
            await until(counted, seconds=SECONDS)
        else:
            said = await tally(*arguments)
    *_, invoice = json.loads(said)["invoices"]
    assert invoice["status"] == "INVOICE_STATUS_FINALIZED"
    assert 2 < int(invoice["total_minor"]) <= 9902
