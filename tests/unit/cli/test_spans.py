"""Spans are followed from an invoice to all that led to it."""

import json
from pathlib import Path
from typing import Any

from cli.spans import Spans, children

SECOND = "2026-01-01T00:00:{:02}.000000000Z"


def line(trace: str, span: str, service: str, *, at: int = 0, **more: object) -> str:
    fields = {"trace_id": trace, "span_id": span, "service": service, "name": span}
    times = {"start": SECOND.format(at), "end": SECOND.format(at + 1)}
    return json.dumps({**fields, **times, **more}) + "\n"


def link(trace: str, span: str) -> list[dict[str, str]]:
    return [{"trace_id": trace, "span_id": span}]


def read(folder: Path, *lines: str) -> Spans:
    file = folder / "spans.jsonl"
    file.write_text("".join(lines))
    return Spans.read([file])


def test_causes_are_followed_through_links_of_links(tmp_path: Path) -> None:
    spans = read(
        tmp_path,
        line("invoice", "finalize", "invoicing", links=link("fold", "f")),
        line("fold", "f", "rating", links=link("record", "r")),
        line("record", "r", "ingest"),
        line("other", "o", "ingest"),
    )
    assert [span.span_id for span in spans.story("invoice")] == ["finalize", "f", "r"]


def test_what_an_invoice_caused_directly_is_part_of_its_story(tmp_path: Path) -> None:
    spans = read(
        tmp_path,
        line("invoice", "finalize", "invoicing"),
        line("notice", "n", "wallet", links=link("invoice", "finalize")),
        line("later", "l", "wallet", links=link("notice", "n")),
    )
    assert [span.span_id for span in spans.story("invoice")] == ["finalize", "n"]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    spans = read(
        tmp_path,
        line("a", "1", "rating", links=link("b", "2")),
        line("b", "2", "rating", links=link("a", "1")),
    )
    assert [span.span_id for span in spans.story("a")] == ["1", "2"]


def test_a_story_has_no_more_traces_than_asked_for(tmp_path: Path) -> None:
    causes = [{"trace_id": f"c{n}", "span_id": str(n)} for n in range(10)]
    spans = read(
        tmp_path,
        line("invoice", "finalize", "invoicing", links=causes),
        *(line(f"c{n}", str(n), "ingest") for n in range(10)),
    )
    assert len(spans.story("invoice", traces_max=4)) == 4


def test_a_line_that_was_cut_short_is_left_out(tmp_path: Path) -> None:
    spans = read(tmp_path, line("a", "1", "rating"), '{"trace_id": "a", "sp')
    assert [span.span_id for span in spans.by_trace["a"]] == ["1"]


def test_the_latest_trace_with_an_attribute_is_found(tmp_path: Path) -> None:
    spans = read(
        tmp_path,
        line("new", "2", "invoicing", at=5, attributes={"number": "INV-1"}),
        line("old", "1", "invoicing", at=1, attributes={"number": "INV-1"}),
    )
    assert spans.find_trace(["number"], "INV-1") == "new"
    assert spans.find_trace(["number"], "INV-2") is None


def test_a_span_whose_parent_is_unknown_is_a_root(tmp_path: Path) -> None:
    spans = read(
        tmp_path,
        line("a", "1", "rating", parent_span_id="elsewhere"),
        line("a", "2", "rating", at=1, parent_span_id="1"),
    )
    roots, below = children(spans.by_trace["a"])
    assert [span.span_id for span in roots] == ["1"]
    assert [span.span_id for span in below["1"]] == ["2"]


def test_a_span_over_midnight_has_its_length(tmp_path: Path) -> None:
    times: Any = {
        "start": "2025-12-31T23:59:59.500000000Z",
        "end": "2026-01-01T00:00:01.250999999Z",
    }
    [span] = read(tmp_path, line("a", "1", "rating", **times)).by_trace["a"]
    assert span.milliseconds == 1750
