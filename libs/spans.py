"""Spans in a local file, one JSON object a line, for a machine without a trace backend."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

log = logging.getLogger(__name__)

FILE_BYTES_MAX = 128 * 1024 * 1024


class FileExporter(SpanExporter):
    """Appends spans to `file`; at `bytes_max` it becomes `file`.1 and replaces the last such one.

    Only one process may write to a file: each service has its own.
    """

    def __init__(self, file: str, *, service: str, bytes_max: int = FILE_BYTES_MAX) -> None:
        self._file = Path(file)
        self._service = service
        self._bytes_max = bytes_max

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lines = "".join(json.dumps(described(span, self._service)) + "\n" for span in spans)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with self._file.open("a", encoding="utf-8") as end:
                end.write(lines)
                size = end.tell()
            if size > self._bytes_max:
                os.replace(self._file, f"{self._file}.1")
        except OSError as error:  # A full disk must not stop billing.
            log.warning("spans not written", extra={"error": str(error)})
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS


def described(span: ReadableSpan, service: str) -> dict[str, Any]:
    """Return what is written of a span: ids in hex, times RFC 3339 with nanoseconds."""
    context = span.get_span_context()
    assert context is not None
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
        "parent_span_id": trace.format_span_id(span.parent.span_id) if span.parent else None,
        "service": service,
        "name": span.name,
        "kind": span.kind.name.lower(),
        "start": _rfc3339(span.start_time),
        "end": _rfc3339(span.end_time),
        "attributes": {key: _plain(value) for key, value in (span.attributes or {}).items()},
        "links": [
            {
                "trace_id": trace.format_trace_id(link.context.trace_id),
                "span_id": trace.format_span_id(link.context.span_id),
            }
            for link in span.links
        ],
        "status": span.status.status_code.name.lower(),
    }


def _rfc3339(nanoseconds: int | None) -> str | None:
    if nanoseconds is None:
        return None
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
