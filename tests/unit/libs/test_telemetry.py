"""Logs and spans: what is written, and that traces go on through headers and peers."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import SpanContext, SpanKind

from libs import telemetry
from libs.spans import FileExporter

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def provider_to(file: Path, *, bytes_max: int = 1_000_000) -> TracerProvider:
    provider = TracerProvider()
    exporter = FileExporter(str(file), service="wallet", bytes_max=bytes_max)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


def spans_in(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_log_line_is_one_json_object_with_its_fields() -> None:
    record = logging.LogRecord("libs.x", logging.INFO, "f", 1, "rpc failed", (), None)
    record.created = 1_700_000_000.5
    record.method = "/a/b"
    line = json.loads(telemetry.JsonFormatter("wallet").format(record))
    assert line == {
        "time": "2023-11-14T22:13:20.500Z",
        "level": "info",
        "service": "wallet",
        "logger": "libs.x",
        "message": "rpc failed",
        "method": "/a/b",
    }


def test_a_span_is_written_with_its_parent_and_its_links(tmp_path: Path) -> None:
    file = tmp_path / "traces" / "wallet.jsonl"
    tracer = provider_to(file).get_tracer("test")
    links = telemetry.links_from([TRACEPARENT])
    with tracer.start_as_current_span("outer", kind=SpanKind.CONSUMER, links=links):
        with tracer.start_as_current_span("inner", attributes={"count": 2, "ids": ["a", "b"]}):
            inside = telemetry.trace_id()
    inner, outer = spans_in(file)
    assert inner["trace_id"] == outer["trace_id"] == inside
    assert inner["parent_span_id"] == outer["span_id"]
    assert outer["parent_span_id"] is None
    assert (outer["service"], outer["name"], outer["kind"]) == ("wallet", "outer", "consumer")
    assert inner["attributes"] == {"count": 2, "ids": ["a", "b"]}
    assert outer["links"] == [
        {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}
    ]
    assert outer["start"] <= inner["start"] <= inner["end"] <= outer["end"]
    assert len(outer["start"]) == len("2023-11-14T22:13:20.500000000Z")


def test_the_file_is_bounded_and_keeps_its_predecessor(tmp_path: Path) -> None:
    file = tmp_path / "wallet.jsonl"
    tracer = provider_to(file, bytes_max=400).get_tracer("test")
    for number in range(20):
        tracer.start_span(f"span {number}").end()
    kept = spans_in(Path(f"{file}.1")) + (spans_in(file) if file.exists() else [])
    names = [span["name"] for span in kept]
    assert names == [f"span {number}" for number in range(20)][-len(names) :]
    assert Path(f"{file}.1").stat().st_size < 1000


def test_a_trace_goes_on_through_headers(tmp_path: Path) -> None:
    tracer = provider_to(tmp_path / "x").get_tracer("test")
    with tracer.start_as_current_span("publish") as sent:
        headers = telemetry.headers()
    with tracer.start_as_current_span("consume", context=telemetry.context_from(headers)) as got:
        assert _ids(got.get_span_context())[0] == _ids(sent.get_span_context())[0]
    assert telemetry.headers() == {}
    assert telemetry.trace_id() == ""


def test_links_are_each_once_and_bad_ones_left_out() -> None:
    other = TRACEPARENT.replace("b7ad", "b7ae")
    links = telemetry.links_from([TRACEPARENT, "", "nonsense", TRACEPARENT, other])
    assert [_ids(link.context)[1] for link in links] == ["b7ad6b7169203331", "b7ae6b7169203331"]


def test_a_batch_keeps_no_more_links_than_a_span_holds() -> None:
    many = [f"00-0af7651916cd43dd8448eb211c80319c-{number:016x}-01" for number in range(1, 300)]
    assert len(telemetry.links_from(many)) == 128


def test_links_have_nothing_to_do_with_the_present_trace() -> None:
    token = context.attach(telemetry.context_from({"traceparent": TRACEPARENT}))
    try:
        assert telemetry.links_from(["nonsense"]) == []
    finally:
        context.detach(token)


def _ids(span: SpanContext) -> tuple[str, str]:
    return trace.format_trace_id(span.trace_id), trace.format_span_id(span.span_id)
