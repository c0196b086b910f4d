"""`tally trace`: how an invoice came about, over all services."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click
import msgspec
from rich.markup import escape
from rich.tree import Tree

from cli.options import json_option
from cli.spans import Span, Spans, children
from cli.tables import open_console
from deploy.embedded.record import find_folder, traces_of

COLORS = {"ingest": "green", "rating": "cyan", "invoicing": "magenta", "wallet": "yellow"}
CAUSES_MAX = 8
DEMO_FOLDER = "demo"
TRACE_ID = re.compile(r"[0-9a-f]{32}")
PACKAGE = re.compile(r"\btally\.[a-z]+\.v\d+\.")
# Set on the span that finalizes an invoice, so that a suite that is down can still be read.
ATTRIBUTES = ("invoice_number", "invoice_id")


@click.command()
@click.argument("invoice")
@json_option
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="The data folder of the suite; by default the running suite's, then the demo's.",
)
def trace(invoice: str, as_json: bool, folder: Path | None) -> None:
    """Show how INVOICE came about: from the events that were recorded to its credits.

    INVOICE is an invoice's number or id, or a trace id of 32 hex digits. The spans are read from
    files, so that the suite need not run.
    """
    spans, trace_id = find_trace(invoice, [folder] if folder else default_folders())
    story = spans.story(trace_id)
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(story), indent=2).decode())
    else:
        open_console().print(trace_tree(story, trace_id))


def default_folders() -> list[Path]:
    """Return where to look: the suite's own folder, then the demo's."""
    home = find_folder()
    return [home, home / DEMO_FOLDER]


def find_trace(invoice: str, folders: Sequence[Path]) -> tuple[Spans, str]:
    """Return all spans of the suite that made the invoice, and the invoice's trace.

    Raises:
        click.ClickException: no suite's files know the invoice, or its trace.
    """
    for folder in folders:
        spans = Spans.read(sorted(traces_of(folder).glob("*.jsonl*")))
        known = TRACE_ID.fullmatch(invoice) is not None
        trace_id = invoice if known else spans.find_trace(ATTRIBUTES, invoice)
        if trace_id in spans.by_trace:
            return spans, trace_id
    looked = " or ".join(str(traces_of(folder)) for folder in folders)
    raise click.ClickException(f"there are no spans of {invoice} in {looked}")


def trace_tree(story: Sequence[Span], trace_id: str, *, causes_max: int = CAUSES_MAX) -> Tree:
    """Return a trace as a tree of spans; the traces that a span links to stand below it.

    Each of those is drawn once, and no more than `causes_max` of them in all.
    """
    by_trace: dict[str, list[Span]] = {}
    for span in story:
        by_trace.setdefault(span.trace_id, []).append(span)
    tree = Tree(f"[bold]trace {trace_id}[/bold]")
    _Drawing(by_trace, {trace_id}, 1 + causes_max).draw(tree, trace_id)
    return tree


@dataclass(frozen=True, slots=True)
class _Drawing:
    by_trace: Mapping[str, Sequence[Span]]
    drawn: set[str]
    drawn_max: int
    left_out: set[str] = field(default_factory=set)

    def draw(self, below: Tree, trace_id: str) -> None:
        roots, inner = children([span for span in self.by_trace[trace_id] if not is_query(span)])
        for root in roots:
            self._span(below, root, inner)

    def _span(self, below: Tree, span: Span, inner: Mapping[str, list[Span]]) -> None:
        color = COLORS.get(span.service, "white")
        failed = " [red]failed[/red]" if span.status == "error" else ""
        name = f"[{color}]{span.service:<9}[/{color}] {escape(name_text(span))}"
        node = below.add(f"{name} [dim]{span.milliseconds} ms[/dim]{failed}")
        for child in inner.get(span.span_id, []):
            self._span(node, child, inner)
        self._causes(node, span)

    def _causes(self, node: Tree, span: Span) -> None:
        """Draw what the span links to, unless it is drawn or left out elsewhere."""
        linked = dict.fromkeys(link.trace_id for link in span.links)
        seen = self.drawn | self.left_out
        fresh = [cause for cause in linked if cause in self.by_trace and cause not in seen]
        room = max(0, self.drawn_max - len(self.drawn))
        self.drawn.update(fresh[:room])
        self.left_out.update(fresh[room:])
        for cause in fresh[:room]:
            self.draw(node.add(f"[dim]caused by trace {cause}[/dim]"), cause)
        if rest := len(fresh[room:]):
            node.add(f"[dim]and by {rest} more[/dim]")


def name_text(span: Span) -> str:
    """Return what a span is about: "IngestService/RecordEvents", "→ RatingService/ClosePeriod"."""
    asked = "→ " if span.name.startswith("/") else ""
    plain = span.name.removeprefix("/").removeprefix(f"{span.service} ")
    return asked + PACKAGE.sub("", plain)


def is_query(span: Span) -> bool:
    """Tell whether the span is a statement to a database."""
    return "db.system" in span.attributes or "db.system.name" in span.attributes
