"""What the services logged as errors: whatever is killed, nobody should meet the unforeseen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

ERRORS = {"error", "critical"}
OURS = ("libs.", "services.")


def sizes(folder: Path) -> dict[Path, int]:
    """Return how long each log of the folder is now."""
    return {path: path.stat().st_size for path in sorted(folder.glob("*.jsonl"))}


def find_errors(since: Mapping[Path, int]) -> list[str]:
    """Return each kind of error that was logged after `since`, with how often."""
    found: Counter[str] = Counter()
    for path, start in since.items():
        for line in path.read_bytes()[start:].splitlines():
            if error := read_error(line):
                found[f"{path.stem} logged: {error}"] += 1
    return [f"{error} ({count} times)" for error, count in found.items()]


def read_error(line: bytes) -> str:
    """Return what a line says if it is an error of ours, else nothing.

    A kill may cut a line off: the rest of it, and the next one, are no JSON.
    """
    try:
        entry = json.loads(line)
    except ValueError:
        return ""
    if entry.get("level") not in ERRORS or not str(entry.get("logger")).startswith(OURS):
        return ""
    last = str(entry.get("exception", "")).strip().rpartition("\n")[2]
    return f"{entry.get('message')}: {last}" if last else str(entry.get("message"))
