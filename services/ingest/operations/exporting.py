"""A month of the log as a Parquet file, written before the month is dropped.

A row for each event as it was recorded, and one for each correction, in the order of the log.
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.ingest.domain.columns import decode
from services.ingest.domain.event import Event, PropertyValue, Unreadable
from services.ingest.domain.number import Number
from services.ingest.domain.retention import EPOCH, MICROSECOND, Month
from services.ingest.domain.sent import read_event
from services.ingest.domain.version import Version
from services.ingest.operations import metrics
from services.ingest.operations.sealing import SHARD
from services.ingest.store import trimming, versions
from services.ingest.store.slice_content import unpack_content
from services.ingest.store.trimming import SealedPart, Stretch

SEGMENTS_AT_ONCE = 32
ROWS_OF_GROUP = 20_000  # Memory holds so many, and the events of a segment.
PART = ".part"  # Ends the name of what is not whole yet.
COLUMNS = (
    ("tenant", "int32"),
    ("shard", "int32"),
    ("number", "int64"),  # Of the segment in which the event was recorded,
    ("index", "int32"),  # and its place there: also of what it was corrected to.
    ("version", "int32"),  # 1: as it was recorded.
    ("retracted", "bool_"),
    ("sealed_at", "instant"),  # When it was stored so.
    ("received_at", "instant"),  # When the event came first.
    ("id", "string"),
    ("source", "string"),
    ("type", "string"),
    ("time", "instant"),  # As sent, else when it was received.
    ("time_is_receipt", "bool_"),
    ("customer_id", "string"),
    ("subscription_id", "string"),
    ("amount", "string"),  # An exact decimal; null if there is none.
    ("hold_id", "string"),
    ("properties", "string"),  # A JSON object of texts, exact numbers, true and false.
)

_encode = msgspec.json.Encoder(order="sorted").encode

Row = tuple[object, ...]
P = ParamSpec("P")
T = TypeVar("T")


class NotExported(Exception):
    """A month cannot be written to its file, and stays in the log."""


async def export_month(
    conn: AsyncConnection,
    folder: Path,
    month: Month,
    stretch: Stretch,
    *,
    events: int,
    stopping: asyncio.Event,
) -> bool:
    """Write the `events` that were sealed in `month` to a file, which is there when it is whole.

    It replaces what a process wrote that was killed before it dropped the month. False if it was
    given up because the process is `stopping`.

    Raises:
        NotExported: it cannot be written.
    """
    target = folder / f"events-{month}.shard-{SHARD}.parquet"
    file = await _in_thread(_File, target)
    try:
        for after in range(stretch.after, stretch.through, SEGMENTS_AT_ONCE):
            if stopping.is_set():
                return False
            next_ones = Stretch(after, min(after + SEGMENTS_AT_ONCE, stretch.through))
            async with conn.begin():
                parts = await trimming.find_sealed_parts(
                    conn, SHARD, next_ones, segments_max=SEGMENTS_AT_ONCE
                )
                corrections = await versions.find_sealed(
                    conn, after=next_ones.after, through=next_ones.through
                )
            await _in_thread(file.write, parts, corrections)
        assert file.events == events, f"{file.events} events are written of {events}"
        await _in_thread(file.finish)
    finally:
        await _in_thread(file.close)
    metrics.EXPORTED_EVENTS.inc(events)
    return True


async def _in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    try:
        return await asyncio.to_thread(work, *args, **kwargs)
    except OSError as error:  # Not the database's, which is what it would pass for further up.
        raise NotExported(str(error)) from error


class _File:
    """A file in the making."""

    def __init__(self, target: Path) -> None:
        # Large, and needed by nobody who does not export.
        self._pyarrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
        self._schema = self._pyarrow.schema([(name, self._type(kind)) for name, kind in COLUMNS])
        self._target = target
        self._part = target.with_name(target.name + PART)
        self._raw = self._part.open("wb")
        self._writer = parquet.ParquetWriter(self._raw, self._schema, compression="zstd")
        self._rows: list[Row] = []
        self.events = 0

    def write(
        self, parts: Sequence[SealedPart], corrections: Sequence[tuple[Tenant, Version]]
    ) -> None:
        """Write the next segments: `parts` and `corrections` in the order of their numbers."""
        corrected: defaultdict[int, list[Row]] = defaultdict(list)
        for tenant, version in corrections:
            corrected[version.number].append(_corrected(tenant, version))
        recorded = {
            number: list(of_segment)
            for number, of_segment in groupby(parts, key=lambda part: part.number)
        }
        for number in sorted(recorded.keys() | corrected.keys()):
            rows = sorted(_recorded(recorded.get(number, ())), key=itemgetter(3))
            self.events += len(rows)
            self._rows += rows + corrected[number]
            if len(self._rows) >= ROWS_OF_GROUP:
                self._write_rows()

    def finish(self) -> None:
        """Make what was written durable, under its name."""
        self._write_rows()
        self._writer.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        os.replace(self._part, self._target)
        folder = os.open(self._target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def close(self) -> None:
        """Leave nothing that is not whole."""
        with suppress(OSError):  # What it still writes is thrown away.
            self._writer.close()
            self._raw.close()
        self._part.unlink(missing_ok=True)

    def _write_rows(self) -> None:
        if self._rows:
            arrays = [
                self._pyarrow.array(column, field.type)
                for column, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)
            ]
            batch = self._pyarrow.RecordBatch.from_arrays(arrays, schema=self._schema)
            self._writer.write_batch(batch)
        self._rows = []

    def _type(self, kind: str) -> Any:
        pyarrow = self._pyarrow
        return pyarrow.timestamp("us", "UTC") if kind == "instant" else getattr(pyarrow, kind)()


def _recorded(parts: Sequence[SealedPart]) -> Iterator[Row]:
    """Give the events of one segment as rows."""
    for part in parts:
        for logged in decode(unpack_content(part.content)):
            yield (
                *(logged.tenant, SHARD, part.number, logged.place, 1, False, part.sealed_at),
                EPOCH + logged.received * MICROSECOND,
                *_said(logged.event, logged.time),
            )


def _corrected(tenant: Tenant, version: Version) -> Row:
    return (
        *(tenant, SHARD, version.origin.number, version.origin.index),
        *(version.version, version.retracted, version.corrected_at),
        EPOCH + version.received * MICROSECOND,
        *_said(read_event(version.content), version.time),
    )


def _said(event: Event, time: int) -> Row:
    """Return what a client said, which happened at `time`."""
    assert not isinstance(event.amount, Unreadable)
    return (
        *(event.id, event.source, event.type),
        *(EPOCH + time * MICROSECOND, event.time is None),
        *(event.customer_id, event.subscription_id),
        None if event.amount is None else event.amount.canonical(),
        event.hold_id,
        _encode({key: _json(value) for key, value in event.properties.items()}).decode(),
    )


def _json(value: PropertyValue) -> object:
    assert not isinstance(value, Unreadable)
    return msgspec.Raw(value.canonical().encode()) if isinstance(value, Number) else value
