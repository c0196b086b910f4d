"""Where this suite decided otherwise than a peer: patterns over topics and what is given."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from tests.vectors.cases import Case

FILE = Path(__file__).parent / "exceptions.toml"


class ExceptionInvalid(Exception):
    """An exception does not say which cases it is about, or why."""


@dataclass(frozen=True, slots=True)
class Excepted:
    """All cases of `topic` whose given values, or steps, fit: path and pattern, as for files.

    A path has a dot before each key; `*` in it stands for every place of a list.
    """

    topic: str
    given: Mapping[str, str]
    reason: str

    def fits(self, case: Case) -> bool:
        """Tell whether `case` is excepted."""
        known = {**case.given, "steps": case.whole.get("steps", ())}
        return fnmatchcase(case.topic, self.topic) and all(
            any(fnmatchcase(_text(value), pattern) for value in _values(known, path))
            for path, pattern in self.given.items()
        )


def load(file: Path = FILE) -> list[Excepted]:
    """Return the exceptions in `file`.

    Raises:
        ExceptionInvalid: one has no topic, no pattern or no reason, or something else.
    """
    found = []
    for one in tomllib.loads(file.read_text(encoding="utf-8")).get("exception", []):
        if one.keys() != {"topic", "given", "reason"} or not all(one.values()):
            raise ExceptionInvalid(f"{one}: needs a topic, patterns of given and a reason")
        found.append(Excepted(one["topic"], one["given"], one["reason"]))
    return found


def _values(given: Any, path: str) -> Iterator[Any]:
    key, _, rest = path.partition(".")
    if key == "*" and isinstance(given, list):
        inside = given
    elif isinstance(given, Mapping) and key in given:
        inside = [given[key]]
    else:
        return
    for value in inside:
        if rest:
            yield from _values(value, rest)
        else:
            yield value


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)
