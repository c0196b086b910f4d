"""The events of a source, whatever its format."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import assert_never

from cli.events.cloudevents import read_cloud_event
from cli.events.csv_rows import read_csv
from cli.events.event import FileFault, ReadEvent, Row, RowFault, Unreadable
from cli.events.fields import Reading, Rules
from cli.events.json_rows import read_json
from cli.events.parquet_rows import read_parquet
from cli.events.sources import DAMAGED, Format, Opened, Source


def read_events(
    source: Source, from_: Opened, rules: Rules, *, delimiter: str = ",", after: int = 0
) -> Generator[ReadEvent | Unreadable]:
    """Give the events of a source in order, without the first `after` of its rows.

    Raises:
        FileFault: the source cannot be read, or not from some place on.
    """
    reading = Reading(rules)
    rows = _rows(source, from_, reading, delimiter=delimiter, after=after)
    with closing(rows):
        while True:
            try:
                row = next(rows, None)
            except DAMAGED as error:
                raise FileFault(f"cannot be read on: {error}") from None
            if row is None:
                return
            yield _read(row, reading) if isinstance(row, Row) else row


def _rows(
    source: Source, from_: Opened, reading: Reading, *, delimiter: str, after: int
) -> Generator[Row | Unreadable]:
    match source.format:
        case Format.JSONL:
            return read_json(from_.content, after=after)
        case Format.CLOUDEVENTS:
            rows = read_json(from_.content, after=after)
            return (read_cloud_event(row) if isinstance(row, Row) else row for row in rows)
        case Format.CSV:
            return read_csv(from_.content, reading, delimiter=delimiter, after=after)
        case Format.PARQUET:
            return read_parquet(from_.content, reading, after=after)
        case _:
            assert_never(source.format)


def _read(row: Row, reading: Reading) -> ReadEvent | Unreadable:
    try:
        return ReadEvent(row.line, reading.event(row))
    except RowFault as fault:
        known = row.values.get("id")
        return Unreadable(row.line, known if isinstance(known, str) else "", str(fault))
