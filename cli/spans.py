"""The spans that the services wrote to files: read, and followed from an invoice to its causes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import msgspec

TRACES_MAX = 64


class Link(msgspec.Struct, frozen=True):
    """A span that caused the one that holds the link."""

    trace_id: str
    span_id: str


class Span(msgspec.Struct, frozen=True):
    """One step of one service. Ids are hex, times RFC 3339 with nanoseconds."""

    trace_id: str
    span_id: str
    service: str
    name: str
    start: str
    end: str
    kind: str = "internal"
    parent_span_id: str | None = None
    attributes: dict[str, object] = {}
    links: list[Link] = []
    status: str = "unset"

    @property
    def milliseconds(self) -> int:
        """How long it took, rounded down."""
        return (_nanoseconds(self.end) - _nanoseconds(self.start)) // 1_000_000


@dataclass(slots=True)
class Spans:
    """All spans of a suite, by trace; each trace's by start."""

    by_trace: dict[str, list[Span]] = field(default_factory=dict)

    @classmethod
    def read(cls, files: Iterable[Path]) -> Spans:
        """Read files of spans, a JSON object a line; a last line cut short is left out."""
        found: dict[str, list[Span]] = {}
        decoder = msgspec.json.Decoder(Span)
        for file in files:
            for line in file.read_bytes().splitlines():
                try:
                    span = decoder.decode(line)
                except msgspec.DecodeError:
                    continue
                found.setdefault(span.trace_id, []).append(span)
        for spans in found.values():
            spans.sort(key=lambda span: (span.start, span.end))
        return cls(found)

    def story(self, trace_id: str, *, traces_max: int = TRACES_MAX) -> list[Span]:
        """Return the spans of a trace, of all that led to it, and of what it led to directly.

        What led to it are the traces that its spans link to, theirs in turn, and so on, the
        nearest first; no more than `traces_max` traces.
        """
        seen = {trace_id: None}
        waiting = deque([trace_id])
        while waiting:
            for cause in self._causes(waiting.popleft()):
                if cause not in seen and len(seen) < traces_max:
                    seen[cause] = None
                    waiting.append(cause)
        for effect in self._effects(trace_id):
            if len(seen) < traces_max:
                seen[effect] = None
        return [span for one in seen for span in self.by_trace.get(one, [])]

    def find_trace(self, attributes: Sequence[str], value: str) -> str | None:
        """Return the latest trace that has a span with one of `attributes` equal to `value`."""
        found = [
            (span.start, span.trace_id)
            for spans in self.by_trace.values()
            for span in spans
            if any(span.attributes.get(name) == value for name in attributes)
        ]
        return max(found)[1] if found else None

    def _causes(self, trace_id: str) -> list[str]:
        spans = self.by_trace.get(trace_id, [])
        linked = (link.trace_id for span in spans for link in span.links)
        return [cause for cause in dict.fromkeys(linked) if cause in self.by_trace]

    def _effects(self, trace_id: str) -> list[str]:
        return [
            other
            for other, spans in self.by_trace.items()
            if any(link.trace_id == trace_id for span in spans for link in span.links)
        ]


def children(spans: Sequence[Span]) -> tuple[list[Span], Mapping[str, list[Span]]]:
    """Return the spans without a parent among `spans`, and the children of each span by its id."""
    known = {span.span_id for span in spans}
    roots: list[Span] = []
    below: dict[str, list[Span]] = {}
    for span in spans:
        if span.parent_span_id in known and span.parent_span_id is not None:
            below.setdefault(span.parent_span_id, []).append(span)
        else:
            roots.append(span)
    return roots, below


def _nanoseconds(time: str) -> int:
    """Return an RFC 3339 time, in UTC, as nanoseconds since the beginning of the calendar."""
    day, _, clock = time.rstrip("Z").partition("T")
    hours, minutes, rest = clock.split(":")
    seconds, _, fraction = rest.partition(".")
    since_midnight = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return (
        date.fromisoformat(day).toordinal() * 86_400_000_000_000
        + since_midnight * 1_000_000_000
        + int((fraction + "0" * 9)[:9])
    )
