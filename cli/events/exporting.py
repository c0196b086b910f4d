"""A run of an export: events fetched, and written in the format that was asked for."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import BinaryIO

from cli.events.columns import Columns
from cli.events.csv_writing import write_csv
from cli.events.event import FileFault
from cli.events.fetching import StoredEvent
from cli.events.json_writing import json_line
from cli.events.parquet_rows import arrow
from cli.events.parquet_writing import write_parquet
from cli.events.sources import Format, Source, packed
from cli.events.spool import Spool

ENDING = ".part"  # Of what is not whole yet.
WRITERS = {Format.CSV: write_csv, Format.PARQUET: write_parquet}

Pages = AsyncIterator[list[StoredEvent]]
Advance = Callable[[int], None]


async def export_events(pages: Pages, target: Source, advance: Advance) -> int:
    """Write events to a file, which is there when it is whole; return how many they are.

    Raises:
        FileFault: the file cannot be made, or its format needs what is not installed.
    """
    if target.format is Format.PARQUET:
        arrow()  # Said before all is fetched.
    if target.path is None:
        return await _write(pages, target, sys.stdout.buffer, advance)
    part = target.path.with_name(target.path.name + ENDING)
    try:
        with part.open("wb") as raw:
            count = await _write(pages, target, raw, advance)
        os.replace(part, target.path)
    except OSError as error:
        raise FileFault(f"{target.path} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)
    return count


async def _write(pages: Pages, target: Source, raw: BinaryIO, advance: Advance) -> int:
    with packed(raw, target.packing) as file:
        if target.format is Format.JSONL:
            return await _write_lines(pages, file, advance)
        return await _write_table(pages, target, file, advance)


async def _write_lines(pages: Pages, file: BinaryIO, advance: Advance) -> int:
    count = 0
    async for page in pages:
        file.write(b"".join(map(json_line, page)))
        count += len(page)
        advance(count)
    return count


async def _write_table(pages: Pages, target: Source, file: BinaryIO, advance: Advance) -> int:
    """Keep all events beside the file until it is known which columns they need."""
    columns, count = Columns(), 0
    folder = Path() if target.path is None else target.path.parent
    with Spool(folder) as spool:
        async for page in pages:
            for stored in page:
                columns.see(stored)
                spool.add(stored)
            count += len(page)
            advance(count)
        WRITERS[target.format](file, columns, spool.events())
    return count
