"""CSV as of RFC 4180, with a header that names fields and properties."""

from __future__ import annotations

import csv
import io
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from cli.events.event import FileFault, Row, RowFault, Unreadable
from cli.events.fields import PROPERTIES, Reading
from cli.events.json_rows import parse_object
from cli.events.sources import LINE_BYTES_MAX

if TYPE_CHECKING:
    import _csv

Rows: TypeAlias = "_csv.Reader"


def read_csv(
    content: BinaryIO, reading: Reading, *, delimiter: str = ",", after: int = 0
) -> Generator[Row | Unreadable]:
    """Give the rows, without the first `after` of them; an empty cell says nothing.

    Raises:
        FileFault: there is no header, or one that `reading` does not know, or a line has no end.
    """
    csv.field_size_limit(LINE_BYTES_MAX)
    # What is not UTF-8 spoils its own row, not the file.
    text = io.TextIOWrapper(content, "utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _read(csv.reader(_lines(text), delimiter=delimiter, strict=True), reading, after)
    finally:
        text.detach()  # The content is not ours to close.


def _read(rows: Rows, reading: Reading, after: int) -> Generator[Row | Unreadable]:
    header = _header(rows)
    reading.check_names(header)
    in_json = [
        place for place, name in enumerate(header) if reading.target(name).name == PROPERTIES
    ]
    number = 0
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows, None)
        except csv.Error as error:
            number += 1
            if number > after:
                yield Unreadable(line, "", f"no CSV: {error}")
            continue
        if cells is None:
            return
        number += bool(cells)
        if cells and number > after:
            yield _row(line, header, cells, in_json)


def _header(rows: Rows) -> list[str]:
    try:
        header = next(rows, [])
    except csv.Error as error:
        raise FileFault(f"line 1: no CSV: {error}") from None
    if not header:
        raise FileFault("line 1: there is no header")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise FileFault(f"line 1: the header names {', '.join(map(repr, twice))} twice")
    return header


def _row(line: int, header: list[str], cells: list[str], in_json: list[int]) -> Row | Unreadable:
    if len(cells) != len(header):
        return Unreadable(line, "", f"{len(cells)} cells, the header has {len(header)}")
    if not _is_text(cells):
        return Unreadable(line, "", "not UTF-8")
    values: dict[str, object] = {
        name: cell for name, cell in zip(header, cells, strict=True) if cell
    }
    try:
        for place in in_json:
            if cells[place]:
                values[header[place]] = parse_object(cells[place])
    except RowFault as fault:
        return Unreadable(line, "", f"{header[place]}: {fault}")
    return Row(line, values)


def _is_text(cells: list[str]) -> bool:
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return False
    return True


def _lines(text: io.TextIOWrapper) -> Iterator[str]:
    line = 0
    while found := text.readline(LINE_BYTES_MAX):
        line += 1
        if len(found) == LINE_BYTES_MAX and found[-1] not in "\r\n":
            raise FileFault(f"line {line}: longer than {LINE_BYTES_MAX} characters")
        yield found
