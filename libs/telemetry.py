"""Logs and traces, set up the same way in every service."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Link, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.settings import ServiceSettings
from libs.spans import FileExporter

STANDARD_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
EXPORT_DELAY_MILLIS = 200
LINKS_MAX = 128  # The SDK keeps no more on a span.
TRACEPARENT = TraceContextTextMapPropagator()


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, trace_id and the `extra` fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        span = trace.get_current_span().get_span_context()
        time = datetime.fromtimestamp(record.created, UTC)
        line: dict[str, object] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if span.is_valid:
            line["trace_id"] = trace.format_trace_id(span.trace_id)
        line |= {k: v for k, v in record.__dict__.items() if k not in STANDARD_FIELDS}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(settings: ServiceSettings) -> None:
    """Set up logs and traces of the service; call it once, before anything else."""
    configure_logging(service=settings.service)
    configure_tracing(service=settings.service, traces_file=settings.traces_file)


def configure_logging(*, service: str) -> None:
    """Write logs to standard error, one JSON object a line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)


def configure_tracing(*, service: str, traces_file: str | None) -> None:
    """Send spans over OTLP if OTEL_EXPORTER_OTLP_ENDPOINT is set, else to `traces_file`."""
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    if (exporter := _exporter(service, traces_file)) is not None:
        provider.add_span_processor(
            BatchSpanProcessor(
                exporter, max_queue_size=16_384, schedule_delay_millis=EXPORT_DELAY_MILLIS
            )
        )
    trace.set_tracer_provider(provider)


def shutdown() -> None:
    """Write out the spans that are still waiting. Blocks."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def tracer(name: str) -> Tracer:
    """Return the tracer of a module: `tracer(__name__)`."""
    return trace.get_tracer(name)


def trace_id() -> str:
    """Return the present trace as 32 hex digits, or "" outside of any."""
    span = trace.get_current_span().get_span_context()
    return trace.format_trace_id(span.trace_id) if span.is_valid else ""


def headers() -> dict[str, str]:
    """Return the headers that carry the present trace over NATS, or into a row."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def context_from(carrier: Mapping[str, str] | None) -> Context:
    """Return the trace context of a message's headers, to start its span in."""
    return propagate.extract(dict(carrier or {}))


def links_from(traceparents: Iterable[str]) -> list[Link]:
    """Return links to the spans that caused a batch: each once, at most 128, bad ones left out."""
    links: list[Link] = []
    for traceparent in dict.fromkeys(traceparents):
        context = TRACEPARENT.extract({"traceparent": traceparent}, context=Context())
        span = trace.get_current_span(context).get_span_context()
        if span.is_valid and len(links) < LINKS_MAX:
            links.append(Link(span))
    return links


def _exporter(service: str, traces_file: str | None) -> SpanExporter | None:
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        # Imported here: it loads a second gRPC stack that most processes never use.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter()
    return FileExporter(traces_file, service=service) if traces_file else None
