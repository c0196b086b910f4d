"""`python -m tests.bench`: measure, print a table, write build/bench.json. A miss is no failure."""

from __future__ import annotations

import asyncio
import json
import signal
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from cli.client import SuiteClient
from cli.running import public_scopes
from deploy.embedded.stack import Stack
from libs.auth import INTERNAL_SCOPE
from libs.wire import timestamp
from tally.internal.v1.test_clock_service_pb2 import SetTimeRequest
from tests.bench import (
    baselines,
    documents,
    entitlements,
    machine,
    others,
    periods,
    pipeline,
    pure,
    rating,
    stages,
    wallets,
)
from tests.bench.workload import BATCH_EVENTS, START, Workload

OUTPUT = Path("build/bench.json")
TENANT = 1
RATING_TENANT = 2
SUBSCRIPTIONS = 1_000
WARM_UP_BATCHES = 20
PACED_SECONDS = 6
MILLIS, MICROS = 1_000, 1_000_000

ROWS_PER_S_MIN = 15_000
OVER_NAIVE_MIN = 5
SERVICE_MIB_MAX = 512
FOLD_EVENTS_PER_S_MIN = 300_000
OVER_PK_READ_MAX = 3
BACKTEST_S_MAX = 5
PERIODS_S_MAX = 30
ENTITLEMENTS_MS_MAX = 300
OVER_DEBIT_MIN, MANY_OVER_DEBIT_MIN = 3, 2
AUTHORIZE_P99_MS_MAX = 20
PRICE_GRADUATED_US_MAX = 20
PDF_MS_MAX = 50


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Interleaved runs; medians count.")
@click.option("--batches", default=100, show_default=True, help="Of 1,000 events, in each run.")
def main(rounds: int, batches: int) -> None:
    """Measure how fast the suite is on this machine, the load generator included."""
    console = Console()
    signal.signal(signal.SIGTERM, _leave)  # Else the suite would outlive us.
    with tempfile.TemporaryDirectory(prefix="tally-bench-") as folder:
        with Stack(Path(folder), test_clock=True, env={}) as stack:
            figures = asyncio.run(_measure(stack, console, rounds=rounds, batches=batches))
    turn = periods.measure()
    figures |= {
        "periods_100k_s": round(turn.wall_s, 1),
        "periods_100k_cpu_s": round(turn.cpu_s, 1),
    }
    figures["met"]["periods_100k_s"] = turn.wall_s <= PERIODS_S_MAX
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps(figures, indent=2) + "\n")
    _show(console, figures)


def _leave(signum: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + signum)


async def _measure(stack: Stack, console: Console, *, rounds: int, batches: int) -> dict[str, Any]:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    client = SuiteClient(stack.addresses, token=stack.token(TENANT, public_scopes()))
    internal = SuiteClient(stack.addresses, token=stack.token(None, [INTERNAL_SCOPE]))
    with Progress(*columns, console=console, transient=True) as progress:
        async with client, internal:
            bench = Bench(stack, client, internal, progress, progress.add_task(""))
            return _figures(await bench.measure(rounds=rounds, batches=batches))


@dataclass(frozen=True, slots=True)
class Bench:
    """A running suite, measured from outside."""

    stack: Stack
    client: SuiteClient
    internal: SuiteClient
    progress: Progress
    task: TaskID
    workload: Workload = field(default_factory=lambda: Workload(SUBSCRIPTIONS, seed=1))

    async def measure(self, *, rounds: int, batches: int) -> dict[str, Any]:
        """Return all figures."""
        self._say(f"{SUBSCRIPTIONS:,} subscriptions")
        for clock in self.internal.clocks.values():
            await clock.SetTime(SetTimeRequest(now=timestamp(START)))
        await pipeline.prepare(self.client, SUBSCRIPTIONS)
        warm_up = self.workload.batches(WARM_UP_BATCHES)
        await pipeline.send_all(self.client, self.internal, warm_up)
        rows = await self._measure_rows(rounds, batches)
        self._say("ingest alone")
        ingest_us = stages.measure_ingest()
        waits = await self._measure_waits(rows["rows_events_per_s"] / 2)
        self._say("holds and captures on one wallet, and on many")
        plain_url = self.stack.url("wallet", "owner").replace("+asyncpg", "")
        hold_capture = await wallets.measure(self.client, plain_url)
        self._say("the end of the month")
        invoices = await others.invoices_per_s(self.client, self.internal, expected=SUBSCRIPTIONS)
        peaks = _peaks(self.stack)
        return {
            **rows,
            **{f"ingest_{form}_us": stages for form, stages in ingest_us.items()},
            **waits,
            **await self._measure_rating(),
            "invoices_per_s": round(invoices),
            **hold_capture,
            "peak_mib": peaks,
            "machine": machine.describe(),
        }

    async def _measure_rating(self) -> dict[str, Any]:
        self._say("folding and pricing alone")
        folding = pure.measure_fold()
        graduated = pure.price_graduated_us()
        pdf, pdf_cpu = documents.pdf_ms()
        self._say("a million cells")
        token = self.stack.token(RATING_TENANT, public_scopes())
        async with SuiteClient(self.stack.addresses, token=token) as client:
            found = await rating.measure(self.stack, client, self.internal, tenant=RATING_TENANT)
            self._say("a hundred features of a hundred customers")
            checked = await entitlements.measure(self.stack, client)
        usage, pk = (_millis_at(one, 0.99) for one in (found.get_usage_ms, found.pk_read_ms))
        return {
            "fold_events_per_s": round(folding.events_per_s),
            "fold_live_cells": folding.cell_count,
            "price_graduated_us": round(graduated, 1),
            "pdf_ms": round(pdf, 1),
            "pdf_cpu_ms": round(pdf_cpu, 1),
            "get_usage_p50_ms": _millis_at(found.get_usage_ms, 0.5),
            "get_usage_p99_ms": usage,
            "pk_read_p50_ms": _millis_at(found.pk_read_ms, 0.5),
            "pk_read_p99_ms": pk,
            "get_usage_p99_over_pk_read": round(usage / pk, 1),
            "backtest_1m_events_2_plans_s": round(found.backtest_s, 1),
            "entitlements_100x100_ms": round(median(checked.wall_ms)),
            "entitlements_100x100_cpu_ms": round(checked.cpu_ms),
            "rating_cells": found.cell_count,
            "rating_1m_cells_mib": found.peak_mib,
        }

    async def _measure_rows(self, rounds: int, batches: int) -> dict[str, Any]:
        """Let a bare COPY, the naive service and the suite take turns; return the medians."""
        plain_url = self.stack.url("ingest", "owner").replace("+asyncpg", "")
        copy: list[float] = []
        naive: list[float] = []
        runs: list[Run] = []
        columns: list[Run] = []
        for number in range(1, rounds + 1):
            self._say(f"run {number} of {rounds}: bare COPY")
            copy.append(await baselines.raw_copy_rows_per_s(plain_url))
            self._say(f"run {number} of {rounds}: one call and INSERT an event")
            naive.append(await baselines.naive_events_per_s(plain_url))
            self._say(f"run {number} of {rounds}: RecordEvents until all is usage")
            runs.append(await self._run(batches, pipeline.ROWS))
            self._say(f"run {number} of {rounds}: RecordColumns until all is usage")
            columns.append(await self._run(batches, pipeline.COLUMNS))
            self.progress.console.print(
                f"run {number}, a second: {copy[-1]:,.0f} rows by COPY, "
                f"{naive[-1]:,.0f} events one by one, {runs[-1].events_per_s:,.0f} into usage, "
                f"{columns[-1].events_per_s:,.0f} as columns; "
                + ", ".join(f"{name} {cost:.0f} µs" for name, cost in runs[-1].cpu_us.items())
            )
        acks = [seconds for run in runs for seconds in run.acks]
        return {
            "raw_copy_rows_per_s": round(median(copy)),
            "naive_events_per_s": round(median(naive)),
            "rows_events_per_s": round(median(run.events_per_s for run in runs)),
            "columns_events_per_s": round(median(run.events_per_s for run in columns)),
            "cpu_us_per_event": _medians(runs),
            "columns_cpu_us_per_event": _medians(columns),
            "full_load_ack_p50_ms": _millis(acks, 0.5),
            "full_load_ack_p99_ms": _millis(acks, 0.99),
        }

    async def _run(self, batches: int, method: str) -> Run:
        """Send so many requests as fast as they are taken, and check what became of them."""
        before, events = self.workload.sent, batches * BATCH_EVENTS
        requests = self.workload.batches(batches)
        if method == pipeline.COLUMNS:
            requests = [stages.in_columns(one) for one in requests]
        cpu_before = _cpu_seconds(self.stack)
        sent = await pipeline.send_all(self.client, self.internal, requests, method)
        cpu_after = _cpu_seconds(self.stack)
        await pipeline.check_usage(self.client, self.workload)
        fresh = self.workload.sent - before
        pipeline.check_verdicts(sent.answers, fresh=fresh, events=events, method=method)
        spent = {name: cpu_after[name] - cpu_before[name] for name in cpu_after}
        return Run(
            events_per_s=events / sent.seconds,
            acks=sent.acks,
            cpu_us={name: seconds * MICROS / events for name, seconds in spent.items()},
        )

    async def _measure_waits(self, events_per_s: float) -> dict[str, Any]:
        """Send at a steady pace, and watch single events on their way into usage."""
        self._say(f"waits at half of that load, {events_per_s:,.0f} events a second")
        requests = self.workload.batches(int(events_per_s * PACED_SECONDS / BATCH_EVENTS))
        waits = await pipeline.watch_waits(
            self.client, self.workload, requests, events_per_s=events_per_s
        )
        await pipeline.settle_and_check(self.client, self.internal, self.workload)
        return {
            "ack_p50_ms": _millis(waits.acks, 0.5),
            "ack_p99_ms": _millis(waits.acks, 0.99),
            "visible_p50_ms": _millis(waits.visible, 0.5),
            "visible_p99_ms": _millis(waits.visible, 0.99),
        }

    def _say(self, doing: str) -> None:
        self.progress.update(self.task, description=doing)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run gave; the processor time is that of each process for one event."""

    events_per_s: float
    acks: Sequence[float]
    cpu_us: Mapping[str, float]


def _medians(runs: Sequence[Run]) -> dict[str, float]:
    """Return the processor time of an event by process."""
    return {name: round(median(run.cpu_us[name] for run in runs), 1) for name in runs[0].cpu_us}


def _figures(measured: dict[str, Any]) -> dict[str, Any]:
    rows = measured["rows_events_per_s"]
    return measured | {
        "met": {
            "rows_events_per_s": rows >= ROWS_PER_S_MIN,
            "rows_over_naive": rows >= OVER_NAIVE_MIN * measured["naive_events_per_s"],
            "peak_mib": max(measured["peak_mib"].values()) <= SERVICE_MIB_MAX,
            "fold_events_per_s": measured["fold_events_per_s"] >= FOLD_EVENTS_PER_S_MIN,
            "price_graduated_us": measured["price_graduated_us"] <= PRICE_GRADUATED_US_MAX,
            "pdf_ms": measured["pdf_ms"] <= PDF_MS_MAX,
            "get_usage_p99_over_pk_read": measured["get_usage_p99_over_pk_read"]
            <= OVER_PK_READ_MAX,
            "backtest_1m_events_2_plans_s": measured["backtest_1m_events_2_plans_s"]
            <= BACKTEST_S_MAX,
            "entitlements_100x100_ms": measured["entitlements_100x100_ms"] <= ENTITLEMENTS_MS_MAX,
            "rating_1m_cells_mib": measured["rating_1m_cells_mib"] <= SERVICE_MIB_MAX,
            "hold_capture_over_debit": measured["hold_capture_over_debit"] >= OVER_DEBIT_MIN,
            "hold_capture_many_over_debit": measured["hold_capture_many_over_debit"]
            >= MANY_OVER_DEBIT_MIN,
            "authorize_p99_ms": measured["authorize_p99_ms"] <= AUTHORIZE_P99_MS_MAX,
        }
    }


def _cpu_seconds(stack: Stack) -> dict[str, float]:
    """Return the processor time of each process of the suite so far, and of this one."""
    processes = {name: stack.process(name) for name in stack.parts}
    spent = {name: machine.cpu_seconds(one.pid) for name, one in processes.items() if one}
    return spent | {"load generator": time.process_time()}


def _peaks(stack: Stack) -> dict[str, int]:
    processes = {name: stack.process(name) for name in stack.services}
    return {name: machine.peak_mib(one.pid) for name, one in processes.items() if one}


def _millis(seconds: Sequence[float], share: float) -> float:
    """Return the value that `share` of `seconds` do not exceed, in milliseconds."""
    return _millis_at([each * MILLIS for each in seconds], share)


def _millis_at(millis: Sequence[float], share: float) -> float:
    ordered = sorted(millis)
    place = min(int(share * len(ordered)), len(ordered) - 1)
    return round(ordered[place], 1)


def _show(console: Console, figures: Mapping[str, Any]) -> None:
    table = Table(title="make bench", title_justify="left")
    table.add_column("figure")
    table.add_column("measured", justify="right")
    table.add_column("wanted", justify="right")
    table.add_column("met")
    met: Mapping[str, bool] = figures["met"]
    naive = OVER_NAIVE_MIN * figures["naive_events_per_s"]
    wanted = {
        "rows_events_per_s": f"≥ {max(ROWS_PER_S_MIN, naive):,}",
        "peak_mib": f"≤ {SERVICE_MIB_MAX} each",
        "fold_events_per_s": f"≥ {FOLD_EVENTS_PER_S_MIN:,}",
        "price_graduated_us": f"≤ {PRICE_GRADUATED_US_MAX}",
        "pdf_ms": f"≤ {PDF_MS_MAX}",
        "get_usage_p99_over_pk_read": f"≤ {OVER_PK_READ_MAX}",
        "backtest_1m_events_2_plans_s": f"≤ {BACKTEST_S_MAX}",
        "entitlements_100x100_ms": f"≤ {ENTITLEMENTS_MS_MAX}",
        "rating_1m_cells_mib": f"≤ {SERVICE_MIB_MAX}",
        "hold_capture_over_debit": f"≥ {OVER_DEBIT_MIN}",
        "hold_capture_many_over_debit": f"≥ {MANY_OVER_DEBIT_MIN}",
        "authorize_p99_ms": f"≤ {AUTHORIZE_P99_MS_MAX}",
        "periods_100k_s": f"≤ {PERIODS_S_MAX}",
    }
    for name, value in figures.items():
        if name in ("machine", "met"):
            continue
        shown = (
            ", ".join(f"{service} {mib}" for service, mib in value.items())
            if isinstance(value, dict)
            else f"{value:,}"
        )
        kept = met.get(name)
        if name == "rows_events_per_s":
            kept = met["rows_events_per_s"] and met["rows_over_naive"]
        table.add_row(name, shown, wanted.get(name, ""), {None: "", True: "yes", False: "no"}[kept])
    console.print(table)
    console.print(f"{', '.join(map(str, figures['machine'].values()))}; written to {OUTPUT}")


if __name__ == "__main__":
    main()
