"""The README's tour works as it is written."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
from pathlib import Path

from click.testing import CliRunner

from cli.__main__ import main
from tests.suite import Suite
from tests.wait import until

README = Path(__file__).parents[2] / "README.md"
TOUR = "## From an event to an invoice in five calls"


def commands() -> list[list[str]]:
    """Return the tour's `tally` commands, split as a shell would."""
    tour = README.read_text(encoding="utf-8").split(TOUR)[1].split("\n## ")[0]
    blocks = re.findall(r"```\n(.*?)```", tour, flags=re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line.startswith("tally ")]


async def test_the_tour_leads_from_an_event_to_an_invoice(suite: Suite, tmp_path: Path) -> None:
    env = {
        **os.environ,
        "TALLY_HOME": str(suite.stack.folder),
        "TALLY_TOKEN": suite.token(1),
        "TALLY_TENANT": "1",
    }

    async def tally(*arguments: str) -> str:
        # In a thread: a command runs an event loop of its own.
        ran = await asyncio.to_thread(CliRunner(env=env).invoke, main, arguments)
        assert ran.exit_code == 0, f"tally {shlex.join(arguments)}\n{ran.output}{ran.exception}"
        return ran.stdout

    async def counted() -> bool:
        return "0.02" in await tally("usage", "acme-pro")

    tour = commands()
    assert len(tour) >= 8
    said = {}
    for _, *arguments in tour:
        if arguments[0] == "usage":
            await until(counted)  # What was just acknowledged is in usage a moment later.
        said[" ".join(arguments[:2])] = await tally(*arguments)
    # The oldest one: from the end of January, 32 days pass the end of February too.
    *_, invoice = json.loads(said["call invoicing.v1.InvoiceService/ListInvoices"])["invoices"]
    # $99 for the days from today on, and two calls at a cent.
    assert invoice["status"] == "INVOICE_STATUS_FINALIZED"
    assert 2 < int(invoice["total_minor"]) <= 9902
    number = invoice["number"]
    assert number in await tally("invoices", "show", number)
    assert number in await tally("invoices", "list")
    document = tmp_path / "invoice.pdf"
    await tally("invoices", "pdf", number, "--output", str(document))
    assert document.read_bytes().startswith(b"%PDF-")
    assert json.loads(await tally("trace", number, "--json"))
