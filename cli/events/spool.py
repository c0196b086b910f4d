"""Events kept in a temporary file, to be read again when all of them were seen."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from cli.events.event import Row, parse_time
from cli.events.fetching import StoredEvent
from cli.events.fields import RECEIVED, Reading, Rules
from cli.events.json_rows import read_json
from cli.events.json_writing import json_line


class Spool:
    """A file without a name in `folder`, gone when the spool ends."""

    def __init__(self, folder: Path | None) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def add(self, stored: StoredEvent) -> None:
        """Keep an event."""
        self._file.write(json_line(stored))

    def events(self) -> Iterator[StoredEvent]:
        """Give the events in their order. Of one with a time it is forgotten when it came."""
        self._file.seek(0)
        reading = Reading(Rules())
        for row in read_json(self._file):
            assert isinstance(row, Row), row
            event = reading.event(row)
            received = parse_time(row.values[RECEIVED], None) if event.time is None else 0
            yield StoredEvent(event, received)
