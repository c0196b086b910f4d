"""The demo's invoices are those of the oracle, to the last digit."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.demo import oracle

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "demo" / "data"
FILES = (
    "ai_text.json",
    "saas_credits.json",
    "analytics_weekly.json",
    "electricity_victoria_2014.csv",
)
STORIES = {"ai-text": 3, "saas-credits": 3, "analytics-weekly": 6, "electricity": 12}
DEADLINE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of the demo, as a user would start it."""

    home: Path
    build: Path
    output: str
    summary: dict[str, Any]

    def tally(self, *arguments: str) -> str:
        """Runs the command beside the demo's data; returns what it printed."""
        return run_tally(self.home, *arguments)

    def invoices(self, story: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.summary["stories"][story]["invoices"]
        return found


def run_tally(home: Path, *arguments: str) -> str:
    """Runs `tally` with its data in `home`.

    Raises:
        AssertionError: it failed; with all it printed.
    """
    path = os.pathsep.join([str(ROOT), str(ROOT / "libs" / "gen")])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "cli", *arguments],
        env={**os.environ, "TALLY_HOME": str(home), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
    )
    assert done.returncode == 0, f"tally {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The demo, run once."""
    home = tmp_path_factory.mktemp("home")
    build = home / "build"
    output = run_tally(home, "demo", "--build", str(build))
    return Ran(home, build, output, json.loads((build / "summary.json").read_text()))


@pytest.mark.parametrize("story", STORIES)
def test_every_line_and_sum_equals_the_oracles(ran: Ran, story: str) -> None:
    expected = oracle.invoices(*((DATA / name).read_text() for name in FILES))[story]
    billed = [
        {name: value for name, value in invoice.items() if name not in {"number", "trace_id"}}
        for invoice in ran.invoices(story)
    ]
    assert len(billed) == STORIES[story]
    for invoice in billed:
        assert all(isinstance(line["units"], str) for line in invoice["lines"])
        for line in invoice["lines"]:
            line["units"] = Decimal(line["units"])
    assert billed == expected


def test_the_summary_names_every_story_and_nothing_else(ran: Ran) -> None:
    assert list(ran.summary) == ["stories"]
    assert set(ran.summary["stories"]) == set(STORIES)


def test_numbers_have_no_gaps_and_traces_are_distinct(ran: Ran) -> None:
    invoices = [invoice for story in STORIES for invoice in ran.invoices(story)]
    for story, count in STORIES.items():
        numbers = [invoice["number"] for invoice in ran.invoices(story)]
        assert [int(number.rpartition("-")[2]) for number in numbers] == list(range(1, count + 1))
    assert all(re.fullmatch("[0-9a-f]{32}", invoice["trace_id"]) for invoice in invoices)
    assert len({invoice["trace_id"] for invoice in invoices}) == len(invoices)


def test_the_pack_pays_calls_and_never_the_base_fee(ran: Ran) -> None:
    october, november, december = ran.invoices("saas-credits")
    assert october["credits_minor"] + november["credits_minor"] == 5_000
    assert 0 < november["credits_minor"] < november["lines"][1]["amount_minor"]
    assert december["credits_minor"] == 0
    assert all(invoice["total_minor"] >= 9_900 for invoice in (october, november, december))


@pytest.mark.parametrize("story", STORIES)
def test_an_invoice_leads_back_through_all_services(ran: Ran, story: str) -> None:
    invoice = ran.invoices(story)[-1]
    spans = json.loads(ran.tally("trace", invoice["number"], "--json"))
    assert {span["service"] for span in spans} >= {"ingest", "rating", "invoicing", "wallet"}
    linked = {link["trace_id"] for span in spans for link in span["links"]}
    assert {span["trace_id"] for span in spans} <= linked | {invoice["trace_id"]}
    assert any("RecordEvents" in span["name"] for span in spans)


def test_a_trace_is_shown_to_people(ran: Ran) -> None:
    invoice = ran.invoices("electricity")[0]
    shown = ran.tally("trace", invoice["trace_id"])
    assert all(service in shown for service in ("ingest", "rating", "invoicing", "wallet"))


def test_every_invoice_is_a_document(ran: Ran) -> None:
    documents = sorted(ran.build.glob("*.pdf"))
    numbers = [invoice["number"] for story in STORIES for invoice in ran.invoices(story)]
    assert [document.stem for document in documents] == sorted(numbers)
    assert all(document.read_bytes().startswith(b"%PDF-") for document in documents)


def test_the_output_shows_stories_an_explained_invoice_and_the_files(ran: Ran) -> None:
    assert all(story in ran.output for story in STORIES)
    assert "explained" in ran.output
    assert "GST 10 %" in ran.output
    assert "RecordEvents" in ran.output
    assert str(ran.build / "summary.json") in ran.output
