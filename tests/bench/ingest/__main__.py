"""`python -m tests.bench.ingest`: measure ingest, write build/bench-ingest.json."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.client import SuiteClient
from cli.running import public_scopes
from deploy.embedded.stack import Stack
from libs.auth import INTERNAL_SCOPE
from libs.wire import timestamp
from tally.internal.v1.test_clock_service_pb2 import SetTimeRequest
from tests.bench import baselines, machine, pipeline
from tests.bench.ingest import catching_up, measuring
from tests.bench.ingest.flood import flood_figures
from tests.bench.ingest.load import Load
from tests.bench.workload import START

OUTPUT = Path("build/bench-ingest.json")
TENANT = 1
SUBSCRIPTIONS = 10_000
COLUMNS_BATCH, ROWS_BATCH, SMALL_BATCH = 5_000, 1_000, 100
IN_FLIGHT = 12
SINGLE_CALLERS = 32
PACED_SECONDS = 8
FILL_BATCHES = 100  # Prepared at once.
# What must be, and whether it is the least or the most.
MUST: Mapping[str, tuple[str, float]] = {
    "columns_over_copy": ("≥", 0.4),
    "rows_over_copy": ("≥", 0.2),
    "at_10m_over_empty": ("≥", 0.7),
    "single_over_naive": ("≥", 1.0),
    "ack_p99_over_commit_p50": ("≤", 60),
    "visible_p99_ms": ("≤", 1_000),
    "bytes_per_event": ("≤", 170),
    "ingest_peak_mib": ("≤", 512),
    "catch_up_over_ingest": ("≥", 2),
    "flood_ack_p99_ratio": ("≤", 3),
}


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Interleaved runs; medians count.")
@click.option("--events", default=300_000, show_default=True, help="As columns, in each run.")
@click.option("--stored", default=10_000_000, show_default=True, help="Of at_10m_over_empty.")
@click.option("--subscriptions", default=SUBSCRIPTIONS, show_default=True)
def main(rounds: int, events: int, stored: int, subscriptions: int) -> None:
    """Measure how fast events come in on this machine, the load generator included."""
    console = Console()
    signal.signal(signal.SIGTERM, _leave)  # Else the suite would outlive us.
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder:
        with Stack(Path(folder), test_clock=True, env={}) as stack:
            figures = asyncio.run(
                _measure(stack, console, Load(subscriptions, seed=1), rounds, events, stored)
            )
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(figures, indent=2) + "\n")
    _show(console, figures)


def _leave(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


async def _measure(
    stack: Stack, console: Console, load: Load, rounds: int, events: int, stored: int
) -> dict[str, Any]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    client = SuiteClient(stack.addresses, token=stack.token(TENANT, public_scopes()))
    internal = SuiteClient(stack.addresses, token=stack.token(None, [INTERNAL_SCOPE]))
    with Progress(*columns, console=console, transient=True) as progress:
        async with client, internal:
            task = progress.add_task("", total=None)
            bench = IngestBench(stack, client, internal, load, progress, task)
            return await bench.measure(rounds, events, stored)


@dataclass(slots=True)
class IngestBench:
    """A running suite whose ingest is measured from outside."""

    stack: Stack
    client: SuiteClient
    internal: SuiteClient
    load: Load
    progress: Progress
    task: TaskID
    runs: dict[str, list[float]] = field(default_factory=dict)

    async def measure(self, rounds: int, events: int, stored: int) -> dict[str, Any]:
        """Return all figures."""
        self._say(f"{self.load.customers:,} subscriptions")
        for clock in self.internal.clocks.values():
            await clock.SetTime(SetTimeRequest(now=timestamp(START)))
        await pipeline.prepare(self.client, self.load.customers)
        await self._columns(events)  # Warms up; time-ordered ids only, as are most in practice.
        size = await measuring.log_bytes(self._database) / self.load.sent
        commit = await measuring.commit_p50_s(self._database)
        for number in range(1, rounds + 1):
            await self._round(number, rounds, events)
        found = await self._waits(commit)
        found["catch_up_over_ingest"] = await self._catch_up(rounds, events)
        mixed = await measuring.log_bytes(self._database) / self.load.sent
        found["bytes_per_event_of_all"] = round(mixed)  # Random ids, small batches, UUIDv7.
        self._say("a flood of another tenant")
        found |= await flood_figures(self.stack, rounds=rounds)
        if stored:
            found |= await self._fill(rounds, events, stored)
        await self._check()
        peaks = {
            name: machine.peak_mib(process.pid)
            for name in self.stack.services
            if (process := self.stack.process(name))
        }
        return self._figures(found, size, peaks)

    async def _round(self, number: int, rounds: int, events: int) -> None:
        """Let all ways take turns."""
        of = f"run {number} of {rounds}"
        self._say(f"{of}: bare COPY")
        self._add("raw_copy_rows_per_s", await baselines.raw_copy_rows_per_s(self._database))
        self._say(f"{of}: one call and INSERT an event")
        self._add("naive_events_per_s", await baselines.naive_events_per_s(self._database))
        self._say(f"{of}: columns until all is usage")
        self._add("columns_events_per_s", await self._columns(events))
        self._say(f"{of}: columns with random ids")
        self._add("columns_random_ids_events_per_s", await self._columns(events, ordered=False))
        self._say(f"{of}: rows until all is usage")
        self._add("rows_events_per_s", await self._rows(events // 3, ROWS_BATCH))
        self._say(f"{of}: one call an event")
        self._add("single_events_per_s", await self._singles())
        ran = ", ".join(f"{name} {found[-1]:,.0f}" for name, found in self.runs.items())
        self.progress.console.print(f"run {number}: {ran}")

    async def _columns(self, events: int, *, ordered: bool = True) -> float:
        count = max(events // COLUMNS_BATCH, 1)
        batches = [self.load.batch(COLUMNS_BATCH, ordered=ordered) for _ in range(count)]
        return await self._seen_per_s(measuring.prepare_columns(batches))

    async def _rows(self, events: int, size: int) -> float:
        batches = [self.load.batch(size) for _ in range(max(events // size, 1))]
        return await self._seen_per_s(measuring.prepare_rows(batches))

    async def _seen_per_s(self, prepared: measuring.Prepared) -> float:
        sent = await measuring.send(self.client, self.internal, prepared, in_flight=IN_FLIGHT)
        return prepared.events / sent.seen

    async def _singles(self) -> float:
        """As the naive service is measured: until the answers are there."""
        naive = median(self.runs["naive_events_per_s"])
        batches = [self.load.batch(1) for _ in range(int(naive * 3))]
        prepared = measuring.prepare_rows(batches)
        sent = await measuring.send(self.client, self.internal, prepared, in_flight=SINGLE_CALLERS)
        return prepared.events / sent.acked

    async def _waits(self, commit_s: float) -> dict[str, Any]:
        """Send small batches at half of what is taken, and watch single events on their way."""
        self._say("small batches at full load")
        full = await self._rows(20_000, SMALL_BATCH)
        self._say(f"waits at {full / 2:,.0f} events a second")
        count = int(full / 2 * PACED_SECONDS / SMALL_BATCH)
        batches = [self.load.batch(SMALL_BATCH) for _ in range(count)]
        acks, seen = await measuring.send_paced(
            self.client,
            measuring.prepare_rows(batches),
            self.load,
            per_second=full / 2 / SMALL_BATCH,
        )
        await measuring.settle(self.internal)
        return {
            "small_batches_events_per_s": round(full),
            "commit_p50_ms": round(commit_s * 1_000, 2),
            "ack_p50_ms": _millis(acks, 0.5),
            "ack_p99_ms": _millis(acks, 0.99),
            "ack_p99_over_commit_p50": round(_millis(acks, 0.99) / commit_s / 1_000, 1),
            "visible_p50_ms": _millis(seen, 0.5),
            "visible_p99_ms": _millis(seen, 0.99),
        }

    async def _catch_up(self, rounds: int, events: int) -> float:
        """Let rating begin with all of a run before it."""
        ratios = []
        for number in range(1, rounds + 1):
            self._say(f"catching up, run {number} of {rounds}")
            batches = [self.load.batch(COLUMNS_BATCH) for _ in range(events // COLUMNS_BATCH)]
            prepared = measuring.prepare_columns(batches)
            caught_up = await catching_up.measure(
                self.stack, self.client, self.internal, prepared, in_flight=IN_FLIGHT
            )
            ratios.append(caught_up.ratio)
        return round(median(ratios), 2)

    async def _fill(self, rounds: int, events: int, stored: int) -> dict[str, Any]:
        """Store events until there are so many, and measure again."""
        self.progress.update(self.task, total=stored)
        while self.load.sent < stored:
            self._say(f"storing {stored:,} events", completed=self.load.sent)
            await self._columns(COLUMNS_BATCH * FILL_BATCHES)
        self.progress.update(self.task, total=None)
        self._say("columns again")
        after = [await self._columns(events) for _ in range(rounds)]
        ratio = median(after) / median(self.runs["columns_events_per_s"])
        return {"stored": self.load.sent, "at_10m_over_empty": round(ratio, 2)}

    async def _check(self) -> None:
        self.progress.update(self.task, total=self.load.customers, completed=0)
        self._say("comparing every customer's usage")
        await measuring.check_usage(
            self.client, self.load, lambda: self.progress.advance(self.task)
        )

    def _figures(
        self, found: dict[str, Any], size: float, peaks: Mapping[str, int]
    ) -> dict[str, Any]:
        rates = {name: round(median(runs)) for name, runs in self.runs.items()}
        copy = rates["raw_copy_rows_per_s"]
        figures: dict[str, Any] = {
            **rates,
            "columns_over_copy": round(rates["columns_events_per_s"] / copy, 2),
            "rows_over_copy": round(rates["rows_events_per_s"] / copy, 2),
            "single_over_naive": round(
                rates["single_events_per_s"] / rates["naive_events_per_s"], 2
            ),
            **found,
            "bytes_per_event": round(size),
            "ingest_peak_mib": peaks["ingest"],
            "peak_mib": dict(peaks),
            "machine": machine.describe(),
        }
        figures["met"] = {
            key: figures[key] >= bound if side == "≥" else figures[key] <= bound
            for key, (side, bound) in MUST.items()
            if key in figures
        }
        return figures

    @property
    def _database(self) -> str:
        return self.stack.url("ingest", "owner").replace("+asyncpg", "")

    def _add(self, name: str, figure: float) -> None:
        self.runs.setdefault(name, []).append(figure)

    def _say(self, doing: str, **more: Any) -> None:
        self.progress.update(self.task, description=doing, **more)


def _millis(seconds: list[float], share: float) -> float:
    """Return the value that `share` of `seconds` do not exceed, in milliseconds."""
    ordered = sorted(seconds)
    return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)] * 1_000, 1)


def _show(console: Console, figures: Mapping[str, Any]) -> None:
    table = Table(title="make bench-ingest", title_justify="left")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("must", justify="right")
    table.add_column("met")
    met: Mapping[str, bool] = figures["met"]
    for name, value in figures.items():
        if isinstance(value, dict):
            continue
        must = "{} {:,g}".format(*MUST[name]) if name in MUST else ""
        kept = {None: "", True: "yes", False: "no"}[met.get(name)]
        table.add_row(name, f"{value:,}", must, kept)
    console.print(table)
    console.print(f"{', '.join(map(str, figures['machine'].values()))}; written to {OUTPUT}")


if __name__ == "__main__":
    main()
