"""Where rows come from: a file or standard input, compressed or not, in one of four formats."""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO, cast

import zstandard

from cli.events.event import FileFault

STDIN = "-"
LINE_BYTES_MAX = 1024 * 1024  # Of a line, or of an element of an array: an event has 16 KiB.
BUFFER_BYTES = 256 * 1024


class Format(Enum):
    """How a file is written."""

    JSONL = "jsonl"
    CLOUDEVENTS = "cloudevents"
    CSV = "csv"
    PARQUET = "parquet"


class Packing(Enum):
    """How a file is compressed, by the end of its name."""

    NONE = ""
    GZIP = ".gz"
    ZSTANDARD = ".zst"


ENDINGS = {
    ".jsonl": Format.JSONL,
    ".ndjson": Format.JSONL,
    ".json": Format.JSONL,
    ".csv": Format.CSV,
    ".parquet": Format.PARQUET,
}


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read; its name is "-" for standard input."""

    name: str
    format: Format
    packing: Packing = Packing.NONE

    @property
    def path(self) -> Path | None:
        """Return where it lies; None for standard input."""
        return None if self.name == STDIN else Path(self.name)

    @property
    def size(self) -> int | None:
        """Return how many bytes it has, compressed; None if nobody knows."""
        return self.path.stat().st_size if self.path and self.path.is_file() else None


@dataclass(frozen=True, slots=True)
class Opened:
    """A file being read; `position` tells how many of its bytes were taken, compressed ones."""

    content: BinaryIO
    position: Callable[[], int]


def find_source(name: str, format: Format | None) -> Source:
    """Return how to read `name`: as `format` says, else as the name ends.

    Raises:
        FileFault: the name does not tell.
    """
    path = Path(name)
    packing = next((one for one in Packing if one.value == path.suffix), Packing.NONE)
    ending = path.with_suffix("").suffix if packing is not Packing.NONE else path.suffix
    found = format or ENDINGS.get(ending.lower())
    if found is None:
        raise FileFault(f"{name} does not tell its format by its name: give --format")
    if found is Format.PARQUET and (name == STDIN or packing is not Packing.NONE):
        raise FileFault(f"{name}: Parquet is read from a plain file only; it compresses by itself")
    return Source(name, found, packing)


@contextmanager
def opened(source: Source) -> Iterator[Opened]:
    """Open a source; its content comes decompressed.

    Raises:
        FileFault: it cannot be opened.
    """
    if source.path is None:
        yield Opened(_unpacked(sys.stdin.buffer, source.packing), lambda: 0)
        return
    try:
        raw = source.path.open("rb")
    except OSError as error:
        raise FileFault(f"cannot be opened: {error.strerror}") from None
    with raw:
        yield Opened(_unpacked(raw, source.packing), raw.tell)


@contextmanager
def packed(raw: BinaryIO, packing: Packing) -> Iterator[BinaryIO]:
    """Give where to write what `raw` shall hold compressed; `raw` itself stays open."""
    match packing:
        case Packing.NONE:
            yield raw
        case Packing.GZIP:
            with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as file:
                yield cast(BinaryIO, file)
        case Packing.ZSTANDARD:
            with zstandard.ZstdCompressor().stream_writer(raw, closefd=False) as writer:
                yield cast(BinaryIO, writer)


def _unpacked(raw: BinaryIO, packing: Packing) -> BinaryIO:
    match packing:
        case Packing.NONE:
            return raw
        case Packing.GZIP:
            return cast(BinaryIO, gzip.GzipFile(fileobj=raw, mode="rb"))
        case Packing.ZSTANDARD:
            reader = zstandard.ZstdDecompressor().stream_reader(
                raw, read_across_frames=True, closefd=False
            )
            return cast(BinaryIO, io.BufferedReader(cast(io.RawIOBase, reader), BUFFER_BYTES))


DAMAGED = (EOFError, gzip.BadGzipFile, zstandard.ZstdError, OSError)
