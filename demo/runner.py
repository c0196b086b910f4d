"""Runs the demo: its own suite from start to stop, all stories, and what they came to."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from cli.client import SuiteClient
from cli.running import public_scopes
from cli.spans import Spans
from demo import report
from demo.checks import check_open_usage, check_story
from demo.failure import DemoFailed
from demo.stories import stories
from demo.story import Story
from demo.summary import summarize
from demo.telling import Teller, finalized, open_usage
from deploy.embedded import leftovers
from deploy.embedded.postgres import Postgres
from deploy.embedded.record import find_holder, traces_of
from deploy.embedded.stack import Stack
from libs.auth import INTERNAL_SCOPE
from tally.invoicing.v1.invoice_service_pb2 import Invoice, RenderInvoiceRequest

EXPLAINED = (("electricity", 3), ("saas-credits", 1))  # Story, and the place of the invoice.


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the stories came to."""

    invoices: Mapping[str, Sequence[Invoice]]  # By story, oldest first.
    documents: Mapping[str, bytes]  # PDFs by file name.


def run(console: Console, *, folder: Path, build: Path) -> None:
    """Tell all stories to a fresh suite in `folder`; write what they came to into `build`.

    The suite is stopped at the end; its logs and traces stay until the next run.

    Raises:
        DemoFailed: the outcome is not what the stories say.
    """
    begun = time.monotonic()
    told = stories()
    clear(folder)
    console.print("Starting PostgreSQL, NATS and the four services …")
    with Stack(folder, test_clock=True, env={}) as stack:
        ready = time.monotonic()
        console.print(f"They serve after {ready - begun:.1f} s. The clock is set to 2014:")
        outcome = asyncio.run(_tell(console, stack, told))
        billed = time.monotonic()
    summary = save(outcome, build)
    show(console, told, outcome, Spans.read(sorted(traces_of(folder).glob("*.jsonl*"))))
    report.show_files(console, sorted(build.glob("*.pdf")), summary)
    count = sum(story.event_count for story in told)
    total = sum(len(invoices) for invoices in outcome.invoices.values())
    console.print(
        f"{count:,} events became {total} invoices in {billed - ready:.1f} s; "
        f"all took {time.monotonic() - begun:.1f} s."
    )


def clear(folder: Path) -> None:
    """Remove what an earlier run left in `folder`, processes included.

    Raises:
        DemoFailed: another demo runs from it.
    """
    if (pid := find_holder(folder)) is not None:
        raise DemoFailed(f"a demo already runs from {folder} (process {pid})")
    if folder.exists():
        leftovers.stop_all(folder)
        data = Postgres(folder / "postgres").data
        if folder.resolve() not in data.parents:  # It lies elsewhere if PostgreSQL runs as nobody.
            shutil.rmtree(data.parent, ignore_errors=True)
        shutil.rmtree(folder)


def save(outcome: Outcome, build: Path) -> Path:
    """Write the documents and the summary into `build`; return the summary's path."""
    build.mkdir(parents=True, exist_ok=True)
    for old in build.glob("*.pdf"):
        old.unlink()
    for name, document in outcome.documents.items():
        (build / name).write_bytes(document)
    summary = build / "summary.json"
    text = json.dumps(summarize(outcome.invoices), indent=2)
    summary.write_text(text + "\n", encoding="utf-8")
    return summary


def show(console: Console, told: Sequence[Story], outcome: Outcome, spans: Spans) -> None:
    """Print the stories' invoices, some of them explained, and the path of an event."""
    for story in told:
        report.show_story(console, story, outcome.invoices[story.name])
    for name, place in EXPLAINED:
        invoice = outcome.invoices[name][place]
        report.show_invoice(console, f"{invoice.number} explained", invoice)
    name, place = EXPLAINED[0]
    report.show_trace(console, outcome.invoices[name][place], spans)


async def _tell(console: Console, stack: Stack, told: Sequence[Story]) -> Outcome:
    async with AsyncExitStack() as opened:

        async def connect(tenant: int | None) -> SuiteClient:
            scopes = [INTERNAL_SCOPE] if tenant is None else public_scopes()
            client = SuiteClient(stack.addresses, token=stack.token(tenant, scopes))
            return await opened.enter_async_context(client)

        clients = {story.tenant: await connect(story.tenant) for story in told}
        internal = await connect(None)
        with report.Progressing(console, told) as progress:
            await Teller(clients, internal, progress.told, progress.moved).tell(told)
        invoices = {story.name: await finalized(clients[story.tenant]) for story in told}
        for story in told:
            check_story(story, invoices[story.name])
            check_open_usage(story, await open_usage(clients[story.tenant], story))
        documents: dict[str, bytes] = {}
        for story in told:
            documents |= await _render(clients[story.tenant], invoices[story.name])
    return Outcome(invoices, documents)


async def _render(client: SuiteClient, invoices: Sequence[Invoice]) -> dict[str, bytes]:
    """Return the invoices as PDFs by file name."""
    documents = {}
    for invoice in invoices:
        request = RenderInvoiceRequest(invoice_id=invoice.invoice_id)
        answer = await client.invoices.RenderInvoice(request)
        documents[answer.file_name] = answer.document
    return documents
