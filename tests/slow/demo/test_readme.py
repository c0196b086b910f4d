"""The README's tour works as it is written."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.__main__ import main
from deploy.embedded.stack import Stack
from tests.readme import OWN_CODE, commands
from tests.servers import TestPostgres
from tests.suite import Suite
from tests.wait import until

TOUR = "## From an event to an invoice in five calls"


@pytest.fixture(scope="module")
def suite(postgres: TestPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A suite as `tally up` starts it: forks have not the marks that `tally status` reads."""
    name, folder = postgres.suite_name(), tmp_path_factory.mktemp("suite")
    with Stack(folder, test_clock=True, postgres=postgres.server, suite=name, env={}) as stack:
        yield Suite(stack)
    postgres.drop(name)


async def test_the_tour_leads_from_an_event_to_an_invoice(suite: Suite, tmp_path: Path) -> None:
    tenant = suite.new_tenant()
    env = {
        **os.environ,
        "TALLY_HOME": str(suite.stack.folder),
        "TALLY_TOKEN": suite.token(tenant),
        "TALLY_TENANT": str(tenant),
    }

    async def tally(*arguments: str) -> str:
        # In a thread: a command runs an event loop of its own.
        ran = await asyncio.to_thread(CliRunner(env=env).invoke, main, arguments)
        assert ran.exit_code == 0, f"tally {shlex.join(arguments)}\n{ran.output}{ran.exception}"
        return ran.stdout

    async def counted() -> bool:
        return "0.02" in await tally("usage", "acme-pro")

    tour = [shlex.split(line) for line in commands(TOUR, "tally")]
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


def test_a_service_answers_without_any_client(suite: Suite) -> None:
    bin = Path(sys.executable).parent
    addresses = {f"TALLY_{name.upper()}_ADDRESS": at for name, at in suite.stack.addresses.items()}
    env = {
        **os.environ,
        **addresses,
        "TALLY_TOKEN": suite.token(suite.new_tenant()),
        "PATH": f"{bin}:{os.environ['PATH']}",
    }

    def shell(line: str) -> str:
        ran = subprocess.run(
            line, shell=True, env=env, capture_output=True, text=True, check=False, timeout=60
        )
        assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    listed, recorded, meters = (shell(line) for line in commands(OWN_CODE, "buf"))
    assert "tally.ingest.v1.IngestService/RecordEvents" in listed.split()
    assert json.loads(recorded)["verdicts"] == [{"verdict": "VERDICT_ACCEPTED"}]
    assert json.loads(meters) == {}
