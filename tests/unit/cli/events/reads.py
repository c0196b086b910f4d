"""Short ways to read rows of events out of bytes."""

from __future__ import annotations

import io

from cli.events.event import Event, ReadEvent, Unreadable
from cli.events.fields import Rules
from cli.events.reading import read_events
from cli.events.sources import Format, Opened, Source

NO_RULES = Rules()


def read(
    content: bytes, format: Format, rules: Rules = NO_RULES, *, after: int = 0, delimiter: str = ","
) -> list[ReadEvent | Unreadable]:
    """Return what a file of `content` says."""
    opened = Opened(io.BytesIO(content), lambda: 0)
    source = Source("events", format)
    return list(read_events(source, opened, rules, delimiter=delimiter, after=after))


def events(
    content: bytes, format: Format, rules: Rules = NO_RULES, *, delimiter: str = ","
) -> list[Event]:
    """Return the events of a file in which all rows are readable."""
    found = read(content, format, rules, delimiter=delimiter)
    assert all(isinstance(one, ReadEvent) for one in found), found
    return [one.event for one in found if isinstance(one, ReadEvent)]


def problems(content: bytes, format: Format, rules: Rules = NO_RULES) -> list[tuple[int, str]]:
    """Return line and problem of the rows that are unreadable."""
    found = read(content, format, rules)
    return [(one.line, one.problem) for one in found if isinstance(one, Unreadable)]
