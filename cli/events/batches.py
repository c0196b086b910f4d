"""Events cut into batches that one request can carry."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cli.events.event import Event, FileFault, ReadEvent, Unreadable

CHARACTERS_MAX = 1_500_000  # A request may have 8 MiB.
CHARACTERS_OF_NUMBER = 24
CHARACTERS_OF_EVENT = 64  # Its time, and what tells its fields apart.


@dataclass(slots=True)
class Batch:
    """Rows that follow each other in a file."""

    events: list[ReadEvent] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)
    fault: str = ""  # Why the file cannot be read behind these rows.
    characters: int = 0

    @property
    def row_count(self) -> int:
        """Return how many rows of the file it covers."""
        return len(self.events) + len(self.unreadable)


def cut(
    rows: Iterable[ReadEvent | Unreadable], *, rows_max: int, strict: bool = False
) -> Iterator[Batch]:
    """Give the rows in batches; a strict one ends all at the first row that is unreadable."""
    batch = Batch()
    try:
        for row in rows:
            if isinstance(row, Unreadable):
                batch.unreadable.append(row)
                if strict:
                    break
            else:
                batch.events.append(row)
                batch.characters += characters_of(row.event)
            if batch.row_count >= rows_max or batch.characters >= CHARACTERS_MAX:
                yield batch
                batch = Batch()
    except FileFault as fault:
        batch.fault = str(fault)
    if batch.row_count or batch.fault:
        yield batch


def characters_of(event: Event) -> int:
    """Return about how many characters an event has when it is sent."""
    total = CHARACTERS_OF_EVENT + len(event.id) + len(event.source) + len(event.type)
    total += len(event.customer_id) + len(event.subscription_id) + len(event.hold_id)
    for key, value in event.properties.items():
        total += len(key) + (len(value) if isinstance(value, str) else CHARACTERS_OF_NUMBER)
    return total
