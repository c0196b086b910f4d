"""What a seal is traced to: its one request, or links to each of them."""

from opentelemetry import trace
from opentelemetry.trace import SpanContext, TraceFlags

from services.ingest.operations.recording import causes


def span(number: int) -> SpanContext:
    return SpanContext(number, number, is_remote=False, trace_flags=TraceFlags(1))


def test_one_request_is_the_parent() -> None:
    context, links = causes([span(1), trace.INVALID_SPAN_CONTEXT])
    assert trace.get_current_span(context).get_span_context() == span(1)
    assert links == []


def test_several_requests_are_linked_up_to_what_a_span_keeps() -> None:
    context, links = causes([span(number) for number in range(1, 201)])
    assert not trace.get_current_span(context).get_span_context().is_valid
    assert [link.context for link in links] == [span(number) for number in range(1, 129)]
