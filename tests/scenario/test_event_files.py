"""Events come out of files once, whatever the format and however often, and go into files whole."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from cli.__main__ import main
from cli.events.checkpoint import checkpoint_path
from tally.ingest.v1.event_pb2 import Event, PropertyValue
from tests.scenario.builders import amend, record, retract, usage
from tests.suite import Suite
from tests.wait import until

NOW = datetime.now(UTC).replace(microsecond=0)
HEADER = ["id", "source", "type", "time", "customer_id", "properties.model"]
COLUMNS = [*HEADER, "properties.cost:decimal", "properties.hit:flag"]


async def test_the_same_events_in_four_formats_are_stored_once(
    suite: Suite, tmp_path: Path
) -> None:
    tenant = str(suite.new_tenant())
    rows = [row(n) for n in range(50)]
    (tmp_path / "a.jsonl").write_text(lines(rows))
    (tmp_path / "b.json").write_text(json.dumps([cloud_event(one) for one in rows], indent=1))
    (tmp_path / "c.csv").write_text(csv_of(rows))
    parquet.write_table(table(rows), tmp_path / "d.parquet")
    first = await imported(suite, tenant, tmp_path / "a.jsonl")
    assert first == {"ACCEPTED": 50}
    for name, *words in (
        ("b.json", "--format", "cloudevents"),
        ("c.csv",),
        ("d.parquet",),
        ("a.jsonl", "--batch-size", "7"),
    ):
        assert await imported(suite, tenant, tmp_path / name, *words) == {"DUPLICATE": 50}, name
    assert not list(tmp_path.glob("*.tally-import")), "an import that ended leaves nothing"


async def test_rows_that_are_not_stored_are_told_with_line_and_reason(
    suite: Suite, tmp_path: Path
) -> None:
    tenant, file, told = str(suite.new_tenant()), tmp_path / "a.jsonl", tmp_path / "told.jsonl"
    old = row(2) | {"time": "2001-01-01T00:00:00Z"}
    taken = row(0) | {"customer_id": "other"}
    file.write_text(lines([row(0), row(1)]) + "{\n" + lines([old, taken, row(3)]))
    ran = await tally(suite, tenant, "import", str(file), "--report", str(told))
    assert ran.exit_code == 1
    shown = " ".join(ran.stdout.split())
    for part in ("Accepted 3", "Conflict 1", "Rejected TIME_TOO_OLD 1", "Unreadable 1"):
        assert part in shown, ran.output
    problems = [json.loads(line) for line in told.read_text().splitlines()]
    assert [(one["line"], one["id"], one["verdict"], one["reason"]) for one in problems] == [
        (3, "", "UNREADABLE", ""),
        (4, "e2", "REJECTED", "TIME_TOO_OLD"),
        (5, "e0", "CONFLICT", "CONFLICT"),
    ]
    checked = await tally(suite, tenant, "import", str(file), "--check", "--json")
    assert json.loads(checked.stdout)["counts"] == {"READABLE": 5, "UNREADABLE": 1}
    other = str(suite.new_tenant())
    strict = await tally(suite, other, "import", str(file), "--strict", "--json")
    assert strict.exit_code == 2
    assert json.loads(strict.stdout)["counts"] == {"ACCEPTED": 2, "UNREADABLE": 1}


async def test_an_import_that_was_killed_goes_on_where_it_was(suite: Suite, tmp_path: Path) -> None:
    tenant, file = str(suite.new_tenant()), tmp_path / "a.jsonl"
    file.write_text(lines(row(n) for n in range(4_000)))
    words = ["import", "events", str(file), "--tenant", tenant, "--batch-size", "50"]
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", *words, env=environment(suite) | {"PYTHONPATH": PATH}
    )
    await until(checkpoint_path(file).exists, describe="the first checkpoint")
    killed.kill()
    await killed.wait()
    before = json.loads(checkpoint_path(file).read_text())
    assert 0 < before["rows"] < 4_000 and before["counts"] == {"ACCEPTED": before["rows"]}
    changed = file.stat()
    file.touch()
    refused = await tally(suite, tenant, "import", str(file), "--resume")
    assert refused.exit_code == 2 and "another import" in refused.output
    os.utime(file, ns=(changed.st_atime_ns, changed.st_mtime_ns))
    found = await imported(suite, tenant, file, "--resume")
    assert sum(found.values()) == 4_000, "what was acknowledged before is not sent again"
    out = tmp_path / "out.jsonl"
    await tally(suite, tenant, "export", "--out", str(out))
    assert sorted(json.loads(line)["id"] for line in out.read_text().splitlines()) == sorted(
        f"e{n}" for n in range(4_000)
    )


async def test_an_import_that_was_stopped_counts_on_from_its_checkpoint(
    suite: Suite, tmp_path: Path
) -> None:
    tenant, file = str(suite.new_tenant()), tmp_path / "a.csv"
    rows = [row(n) for n in range(20)]
    file.write_text(csv_of(rows[:12]) + "short\r\n" + csv_of(rows[12:], header=False))
    words = ["import", str(file), "--batch-size", "5", "--json"]
    stopped = await tally(suite, tenant, *words, "--strict")
    assert json.loads(stopped.stdout)["counts"] == {"ACCEPTED": 12, "UNREADABLE": 1}
    resumed = await tally(suite, tenant, *words, "--resume")
    assert json.loads(resumed.stdout)["counts"] == {"ACCEPTED": 20, "UNREADABLE": 1}
    assert not checkpoint_path(file).exists()


@pytest.mark.parametrize("name", ["out.jsonl.zst", "out.csv", "out.parquet"])
async def test_what_is_exported_is_imported_as_duplicates_only(
    suite: Suite, tmp_path: Path, name: str
) -> None:
    tenant = suite.new_tenant()
    events = [usage("acme", NOW - timedelta(hours=n), f"{n}.50", model="") for n in range(4)]
    events[0].ClearField("time")
    events[1].properties["cost"].decimal = "0." + "1" * 30
    events[1].properties["cost:decimal"].text = "1e3"
    events[2].MergeFrom(Event(amount="-1.50", source="gw", subscription_id="s", hold_id="h"))
    events[3].properties["value"].text = "5"
    async with suite.client(tenant) as client:
        assert await record(client, events) == ["ACCEPTED"] * 4
        again = Event()
        again.CopyFrom(events[1])
        again.properties["model"].CopyFrom(PropertyValue(flag=True))
        await amend(client, again)
        gone = usage("acme", NOW)
        await record(client, [gone])
        await retract(client, gone)
    out = tmp_path / name
    ran = await tally(suite, str(tenant), "export", "--out", str(out))
    assert "4 events" in ran.stdout, ran.output
    assert await imported(suite, str(tenant), out) == {"DUPLICATE": 4}
    elsewhere = str(suite.new_tenant())
    moved = await imported(suite, elsewhere, out, "--received-as-time")
    assert moved == {"ACCEPTED": 4}
    copy = tmp_path / "copy.jsonl"
    await tally(suite, elsewhere, "export", "--out", str(copy))
    copied = [json.loads(line) for line in copy.read_text().splitlines()]
    assert [one["id"] for one in copied] == [event.id for event in events]
    assert all("time" in one for one in copied), "what came without a time happened when it came"


async def test_an_export_takes_what_is_asked_for(suite: Suite, tmp_path: Path) -> None:
    tenant, file, out = str(suite.new_tenant()), tmp_path / "a.jsonl", tmp_path / "out.csv"
    file.write_text(lines([row(n) for n in range(10)]))
    await imported(suite, tenant, file)
    start, end = (instant(n).isoformat() for n in (6, 2))
    words = ["--customer", "c0", "--type", "call", "--from", start, "--to", end]
    await tally(suite, tenant, "export", "--out", str(out), *words)
    found = list(csv.DictReader(io.StringIO(out.read_text())))
    assert [one["id"] for one in found] == ["e4", "e6"]
    assert found[0]["properties.cost:decimal"] == "4.5"
    none = await tally(suite, tenant, "export", "--out", "-", "--format", "jsonl", "--type", "x")
    assert none.exit_code == 0 and none.stdout == ""


PATH = ":".join(sys.path)


def instant(n: int) -> datetime:
    """Return when event `n` happened."""
    return NOW - timedelta(minutes=n)


def row(n: int) -> dict[str, Any]:
    """Return event `n` as JSONL has it."""
    return {
        "id": f"e{n}",
        "source": "gw",
        "type": "call",
        "time": instant(n).isoformat(),
        "customer_id": f"c{n % 2}",
        "properties": {"model": f'm"{n % 3},\n', "cost": n + 0.5, "hit": n % 2 == 0},
    }


def lines(rows: Iterable[dict[str, Any]]) -> str:
    """Return rows as JSONL."""
    return "".join(json.dumps(one) + "\n" for one in rows)


def cloud_event(one: dict[str, Any]) -> dict[str, Any]:
    """Return a row as a CloudEvent."""
    renamed = {"customer_id": "subject", "properties": "data"}
    return {"specversion": "1.0"} | {renamed.get(name, name): one[name] for name in one}


def cells(one: dict[str, Any]) -> list[Any]:
    """Return a row by COLUMNS."""
    return [*(one[name] for name in HEADER[:-1]), *one["properties"].values()]


def csv_of(rows: list[dict[str, Any]], *, header: bool = True) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([COLUMNS] if header else [])
    writer.writerows([*cells(one)[:-1], str(cells(one)[-1]).lower()] for one in rows)
    return text.getvalue()


def table(rows: list[dict[str, Any]]) -> pyarrow.Table:
    """Return rows as an Arrow table, times and numbers by types of their own."""
    columns: dict[str, Any] = dict(zip(COLUMNS, zip(*map(cells, rows), strict=True), strict=True))
    columns["time"] = [datetime.fromisoformat(text) for text in columns["time"]]
    costs = [Decimal(str(cost)) for cost in columns.pop("properties.cost:decimal")]
    arrays = {name: pyarrow.array(each) for name, each in columns.items()}
    arrays["time"] = arrays["time"].cast(pyarrow.timestamp("ns", "UTC"))
    return pyarrow.table({**arrays, "properties.cost": pyarrow.array(costs)})


def environment(suite: Suite) -> dict[str, str]:
    """Return where a command finds the suite and its keys."""
    return {"TALLY_HOME": str(suite.stack.folder), "TALLY_TOKEN": ""}


async def imported(suite: Suite, tenant: str, file: Path, *words: str) -> dict[str, int]:
    """Import a file; return what was counted."""
    ran = await tally(suite, tenant, "import", str(file), "--json", *words)
    assert ran.exit_code == 0, ran.output
    counts: dict[str, int] = json.loads(ran.stdout)["counts"]
    return counts


async def tally(suite: Suite, tenant: str, verb: str, *words: str) -> Result:
    """Run `tally VERB events`, in a thread: a command runs an event loop of its own."""
    words = (verb, "events", *words, "--tenant", tenant)
    return await asyncio.to_thread(CliRunner(env=environment(suite)).invoke, main, words)
