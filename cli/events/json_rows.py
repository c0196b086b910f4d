"""JSON objects: one a line, or all in one array. Numbers are exact decimals."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from decimal import Decimal, InvalidOperation
from typing import BinaryIO

import msgspec

from cli.events.event import FileFault, Row, RowFault, Unreadable
from cli.events.sources import BUFFER_BYTES, LINE_BYTES_MAX

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, InvalidOperation, RecursionError)
MARKS = re.compile(rb'\\.|["{}\[\],\n]', re.DOTALL)
SPACE = b" \t\r\n"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_decode = msgspec.json.Decoder(float_hook=Decimal).decode


def read_json(content: BinaryIO, *, after: int = 0) -> Generator[Row | Unreadable]:
    """Give the objects of lines, or of one array, without the first `after` of them.

    Raises:
        FileFault: an array cannot be read on.
    """
    first = content.readline(LINE_BYTES_MAX).removeprefix(BYTE_ORDER_MARK)
    in_array = first.lstrip(SPACE)[:1] == b"["
    pieces = _elements(first, content) if in_array else _lines(first, content)
    for number, (line, text) in enumerate(pieces, start=1):
        if number <= after:
            continue
        if len(text) >= LINE_BYTES_MAX:
            yield Unreadable(line, "", f"longer than {LINE_BYTES_MAX} bytes")
            continue
        try:
            yield Row(line, parse_object(text))
        except RowFault as fault:
            yield Unreadable(line, "", str(fault))


def parse_object(text: bytes | str) -> dict[str, object]:
    """Return a JSON object; numbers with a point or an exponent are Decimals.

    Raises:
        RowFault: it is none.
    """
    try:
        found = _decode(text)
    except UNREADABLE as error:
        said = "a number out of range" if isinstance(error, InvalidOperation) else str(error)
        raise RowFault(f"no JSON: {said}") from None
    if not isinstance(found, dict):
        raise RowFault("not a JSON object")
    return found


def _lines(first: bytes, content: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Give lines that are not empty. One that is too long comes as far as it may be long."""
    line, text = 1, first
    while text:
        if text.strip(SPACE):
            yield line, text
        while len(text) == LINE_BYTES_MAX and not text.endswith(b"\n"):
            text = content.readline(LINE_BYTES_MAX)
        line, text = line + 1, content.readline(LINE_BYTES_MAX)


def _elements(first: bytes, content: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Give the elements of an array, each with the line on which it begins."""
    cutting = Cutting()
    chunk = first
    while chunk:
        yield from cutting.feed(chunk)
        chunk = content.read(BUFFER_BYTES)
    if cutting.depth:
        raise FileFault(f"line {cutting.line}: the array has no end")


class Cutting:
    """Cuts an array into its elements, whatever the chunks in which it comes."""

    def __init__(self) -> None:
        self.depth = 0  # Of brackets and braces that are open.
        self.line = 1
        self._begins = 1
        self._element = bytearray()
        self._held = b""  # A backslash whose character is in the next chunk.
        self._in_text = False
        self._ended = False

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Give the elements that end in `chunk`.

        Raises:
            FileFault: something follows the array, or an element has no end in sight.
        """
        chunk = self._held + chunk
        backslashes = len(chunk) - len(chunk.rstrip(b"\\"))
        self._held = chunk[len(chunk) - backslashes % 2 :]
        chunk = chunk[: len(chunk) - backslashes % 2]
        done = 0
        for match in MARKS.finditer(chunk):
            before = self.depth
            if self._ended or not self._passes(match[0]):
                continue
            if before == 1:
                self._element += chunk[done : match.start()]
                if self.depth or self._element.strip(SPACE):
                    yield self._cut()
            done = match.end()
            self._ended = not self.depth
        self._element += chunk[done:]
        if self._ended and self._element.strip(SPACE):
            raise FileFault(f"line {self.line}: something follows the array")
        if len(self._element) > LINE_BYTES_MAX:
            raise FileFault(f"line {self._begins}: longer than {LINE_BYTES_MAX} bytes")

    def _passes(self, mark: bytes) -> bool:
        """Take note of a mark; tell whether the array or one of its elements begins or ends."""
        if mark == b"\n":
            self.line += 1
        elif mark == b'"':
            self._in_text = not self._in_text
        elif self._in_text or mark.startswith(b"\\"):
            return False
        elif mark in b"[{":
            self.depth += 1
            return self.depth == 1
        elif mark in b"]}":
            self.depth -= 1
            return self.depth == 0
        else:
            return self.depth == 1
        return False

    def _cut(self) -> tuple[int, bytes]:
        element = bytes(self._element)
        text = element.lstrip(SPACE)
        line = self._begins + element.count(b"\n", 0, len(element) - len(text))
        self._element.clear()
        self._begins = self.line
        return line, text
