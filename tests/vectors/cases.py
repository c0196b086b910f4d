"""Cases as they lie in files: a folder a field, a file a topic."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"

# Beside `given` and `expect`: where a case comes from, what people read, how it was completed.
KNOWN = {"id", "source", "given", "expect", "kind", "function", "steps"}
KNOWN |= {"note", "text", "given_text", "derived", "arith"}


class NoSuchTopic(Exception):
    """A name that was asked for is neither a folder nor a file of cases."""


class CaseUnreadable(Exception):
    """A file does not have the form of cases."""


@dataclass(frozen=True, slots=True)
class Case:
    """One case; `whole` is all of it, as in the file."""

    topic: str
    id: str
    whole: Mapping[str, Any]

    @property
    def given(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.whole["given"]
        return found

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others."""
        return self.topic, self.id

    @property
    def is_story(self) -> bool:
        """Tell whether a suite has to play it, step by step."""
        return bool(self.whole.get("kind") == "scenario")

    @property
    def expect(self) -> Mapping[str, Any]:
        """What is stated, and what was completed by the same rules; what is stated wins."""
        return {**self.whole.get("derived", {}), **self.whole.get("expect", {})}


def load(folder: Path = DATA, names: Sequence[str] = ()) -> list[Case]:
    """Return the cases below `folder`, in the order of files; of `names` only, if there are any.

    A name is that of a folder or of a file, with or without its ending.

    Raises:
        NoSuchTopic: a name has no case, or the folder has none at all.
        CaseUnreadable: a case has a key that nobody knows, or a file lacks one.
    """
    files = sorted(folder.rglob("*.json"))
    wanted = [file for file in files if not names or _names(file) & set(names)]
    strange = set(names) - {name for file in wanted for name in _names(file)}
    if strange or not wanted:
        raise NoSuchTopic(f"no cases in {folder} for {', '.join(sorted(strange)) or 'any topic'}")
    return [case for file in wanted for case in _read(file)]


def _names(file: Path) -> set[str]:
    return {file.name, file.stem, file.parent.name}


def _read(file: Path) -> list[Case]:
    cases = []
    for whole in json.loads(file.read_text(encoding="utf-8"))["cases"]:
        strange = whole.keys() - KNOWN
        missing = {"id", "given"} - whole.keys()
        if strange or missing:
            keys = ", ".join(sorted(strange | missing))
            raise CaseUnreadable(f"{file.stem} {whole.get('id')}: unknown or missing keys: {keys}")
        cases.append(Case(file.stem, whole["id"], whole))
    return cases
