"""One readable log of all services, out of the JSON lines that each writes to its own file."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Self

from rich.text import Text

from deploy.embedded.files import size

POLL_SECONDS = 0.1
COLORS = {
    "ingest": "green",
    "rating": "cyan",
    "invoicing": "magenta",
    "wallet": "yellow",
    "tally": "bold blue",
}
LEVEL_COLORS = {"debug": "dim", "warning": "yellow", "error": "red", "critical": "bold red"}
LEVEL_NAMES = {"warning": "WARN", "critical": "FATAL"}
# Shown in columns of their own, or of no use to a reader.
SHOWN = frozenset({"time", "level", "service", "message", "logger", "exception", "taskName"})
SPAN_FIELDS = frozenset({"span_id", "trace_flags"})


class Follower:
    """Shows what is appended to files, each line once and whole, from now until `close`."""

    def __init__(self, files: Mapping[str, Path], show: Callable[[str, str], None]) -> None:
        self._files = dict(files)
        self._show = show
        self._places = {name: size(path) for name, path in files.items()}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="logs", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Show what is there by now, and end."""
        self._closing.set()
        self._thread.join()

    def _follow(self) -> None:
        last = False
        while not last:
            last = self._closing.wait(POLL_SECONDS)
            for name, path in self._files.items():
                if size(path) < self._places[name]:
                    self._places[name] = 0  # The file was begun anew.
                if size(path) > self._places[name]:
                    with path.open("rb") as file:
                        self._read(name, file, last=last)

    def _read(self, name: str, file: BinaryIO, *, last: bool) -> None:
        file.seek(self._places[name])
        for line in file:
            if not line.endswith(b"\n") and not last:
                return
            self._places[name] += len(line)
            self._show(name, line.decode(errors="replace").rstrip("\n"))


def render(name: str, line: str) -> Text:
    """Return a log line for a person: time, level, service, message, fields.

    Of a traceback only what was raised: the rest is in the service's file. What is not JSON is
    shown as it is.
    """
    try:
        fields = json.loads(line)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return _columns("", "", name).append(line)
    text = _columns(_clock(fields.get("time")), str(fields.get("level", "")), name)
    text.append(str(fields.get("message", "")))
    for field, value in fields.items():
        if field not in SHOWN | SPAN_FIELDS:
            text.append(f"  {field}=", style="dim").append(_short(value))
    if exception := fields.get("exception"):
        text.append("  " + _cause(str(exception)), style="red")
    return text


def sentence(message: str, *, now: datetime, level: str = "info") -> Text:
    """Return a line of the same form for what the launcher itself says."""
    return _columns(f"{now:%H:%M:%S}.{now.microsecond // 1000:03}", level, "tally").append(message)


def _columns(clock: str, level: str, name: str) -> Text:
    shown = LEVEL_NAMES.get(level, level.upper())
    return (
        Text()
        .append(f"{clock:<12} ", style="dim")
        .append(f"{shown:<5} ", style=LEVEL_COLORS.get(level, ""))
        .append(f"{name:<9} ", style=COLORS.get(name, ""))
    )


def _clock(time: object) -> str:
    """Return the local time of day of an RFC 3339 time: days pass slowly in a terminal."""
    try:
        moment = datetime.fromisoformat(str(time)).astimezone()
    except ValueError:
        return ""
    return f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03}"


def _cause(traceback: str) -> str:
    """Return the line of a traceback that says what was raised: the one after the last place."""
    lines = traceback.splitlines() or [""]
    raised = [
        line for above, line in pairwise(lines) if above.startswith(" ") and not line[:1].isspace()
    ]
    return _short((raised or lines)[-1])


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 200 else text[:199] + "…"
