"""A run of an import: files read, sent in batches side by side, and noted in order."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cli.events.batches import Batch, cut
from cli.events.checkpoint import (
    Checkpoint,
    drop_checkpoint,
    import_id,
    load_checkpoint,
    save_checkpoint,
)
from cli.events.event import Event, FileFault, ReadEvent, Unreadable
from cli.events.fields import Rules
from cli.events.reading import read_events
from cli.events.report import Report
from cli.events.sending import Verdicts
from cli.events.sources import Opened, Source, opened

IN_FLIGHT = 4
Advance = Callable[[Source, int, int], None]  # Source, bytes read so far, rows read now.


class Sends(Protocol):
    """What takes batches of events."""

    async def send(self, events: Sequence[Event]) -> Verdicts:
        """Return what became of the events."""


class Stopped(Exception):
    """The import ends before its files do, as it was asked to."""


@dataclass(frozen=True, slots=True)
class Options:
    """How files are imported."""

    rules: Rules = field(default_factory=Rules)
    delimiter: str = ","
    batch_size: int = 5_000
    strict: bool = False
    resumes: bool = False
    keeps_checkpoints: bool = True
    tenant: str = ""


@dataclass(slots=True)
class _Sent:
    batch: Batch
    rows: int  # Of the file, up to the end of the batch.
    task: asyncio.Task[Verdicts]


class Importing:
    """Imports files one after the other."""

    def __init__(self, options: Options, sender: Sends, report: Report, progress: Advance) -> None:
        self._options, self._sender, self._report = options, sender, report
        self._progress = progress

    async def run(self, sources: Sequence[Source]) -> None:
        """Import all sources; what cannot be read of one does not stop the others.

        Raises:
            Stopped: it is strict, and something was not stored.
            NoAnswer: the suite refuses or does not answer.
            CannotResume: a checkpoint is of another import.
        """
        for source in sources:
            await _File(self._options, self._sender, self._report, source).run(self._progress)


class _File:
    def __init__(self, options: Options, sender: Sends, report: Report, source: Source) -> None:
        self._options, self._sender, self._report = options, sender, report
        self._source = source
        self._in_flight: deque[_Sent] = deque()
        self._counts: Counter[str] = Counter()
        self._path = _path_of(source) if options.keeps_checkpoints else None
        self._import_id = "" if self._path is None else _id_of(self._path, source, options)

    async def run(self, progress: Advance) -> None:
        try:
            await self._read(progress)
            while self._in_flight:
                await self._finish()
        except Stopped:
            while self._in_flight:  # What went out already is told of, too.
                with suppress(Stopped):
                    await self._finish()
            raise
        finally:
            tasks = [sent.task for sent in self._in_flight]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._path is not None:
            drop_checkpoint(self._path)

    async def _read(self, progress: Advance) -> None:
        options, rows = self._options, self._resumed()
        try:
            with opened(self._source) as from_, closing(self._events(from_, rows)) as found:
                for batch in cut(found, rows_max=options.batch_size, strict=options.strict):
                    rows += batch.row_count
                    await self._send(batch, rows)
                    progress(self._source, from_.position(), batch.row_count)
        except FileFault as fault:
            await self._send(Batch(fault=str(fault)), rows)

    def _events(self, from_: Opened, after: int) -> Generator[ReadEvent | Unreadable]:
        rules, delimiter = self._options.rules, self._options.delimiter
        return read_events(self._source, from_, rules, delimiter=delimiter, after=after)

    def _resumed(self) -> int:
        """Return how many rows were done before."""
        if self._path is None or not self._options.resumes:
            return 0
        checkpoint = load_checkpoint(self._path, self._import_id)
        if checkpoint is None:
            return 0
        self._counts.update(checkpoint.counts)
        self._report.carry(checkpoint.counts)
        return checkpoint.rows

    async def _send(self, batch: Batch, rows: int) -> None:
        if len(self._in_flight) >= IN_FLIGHT:
            await self._finish()
        events = [read.event for read in batch.events]
        task = asyncio.create_task(self._sender.send(events))
        self._in_flight.append(_Sent(batch, rows, task))
        await asyncio.sleep(0)  # Let it go out before the next batch is read.

    async def _finish(self) -> None:
        """Wait for the oldest batch, and note what became of it."""
        sent = self._in_flight[0]
        verdicts = await sent.task
        self._in_flight.popleft()
        counts = self._report.note(self._source.name, sent.batch, verdicts)
        self._counts += counts
        if self._path is not None:
            save_checkpoint(self._path, Checkpoint(self._import_id, sent.rows, self._counts))
        if self._options.strict and (verdicts.others or sent.batch.unreadable or sent.batch.fault):
            raise Stopped(f"stopped at the first row of {self._source.name} that was not stored")


def _path_of(source: Source) -> Path | None:
    """Return the file beside which a checkpoint can be kept."""
    path = source.path
    return path if path and path.is_file() and os.access(path.parent, os.W_OK) else None


def _id_of(path: Path, source: Source, options: Options) -> str:
    how = (source.format, source.packing, options.delimiter, options.rules)
    return import_id(path, tenant=options.tenant, how=how)
