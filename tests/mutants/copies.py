"""Copies of the tree, in which faults are planted and tests run. The checkout stays as it is."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.faults import Fault

ROOT = Path(__file__).resolve().parents[2]
GUARD = "tests/mutants/guard"
SERVICES = ("ingest", "rating", "invoicing", "wallet")
GREEN, RED = 0, 1  # What pytest exits with; anything else says that it could not test.
STOP_SECONDS = 60.0  # For a run that is interrupted to stop its servers.
CULPRIT = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class LineNotFound(LookupError):
    """A fault's line is not in its file, or there more than once."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of tests ended; `status` is None if it had not ended in time."""

    status: int | None
    output: str

    @property
    def culprit(self) -> str:
        """The first test that failed."""
        if self.status is None:
            return "the deadline"
        found = CULPRIT.search(self.output)
        return found[1] if found else "pytest itself"


def broken(text: str, fault: Fault) -> str:
    """Return the text of the fault's file with the fault in it; the indentation stays.

    Raises:
        LineNotFound: its line is not there exactly once.
    """
    lines = text.splitlines(keepends=True)
    places = [place for place, line in enumerate(lines) if line.strip() == fault.line]
    if len(places) != 1:
        raise LineNotFound(f"{fault.file} has {len(places)} times the line: {fault.line}")
    lines[places[0]] = lines[places[0]].replace(fault.line, fault.replacement)
    return "".join(lines)


@dataclass(frozen=True, slots=True)
class Copy:
    """The tracked files as they are now, in a folder of their own."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Copy:
        """Copy the tree into `folder`, which must not exist."""
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():  # Else it is about to be deleted.
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        return cls(folder.resolve())

    @contextmanager
    def planted(self, fault: Fault) -> Iterator[None]:
        """Have the fault in the copy for as long as the block runs.

        Raises:
            LineNotFound: the tree has moved on, and the table has not.
        """
        file = self.folder / fault.file
        sound = file.read_text(encoding="utf-8")
        file.write_text(broken(sound, fault), encoding="utf-8")
        try:
            yield
        finally:
            file.write_text(sound, encoding="utf-8")

    def test(self, arguments: Sequence[str], *, seconds: float) -> Outcome:
        """Run pytest in the copy, at most for so long."""
        running = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            output, _ = running.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            return Outcome(None, _interrupted(running))
        return Outcome(running.returncode, output)

    def missing_services(self) -> list[str]:
        """Return the services that no test so far has started as a process of the copy."""
        marks = self.folder / "started"
        return [name for name in SERVICES if not (marks / f"services.{name}.__main__").is_file()]

    def _environment(self) -> dict[str, str]:
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")
        }
        places = (self.folder, self.folder / "libs" / "gen", self.folder / GUARD)
        return inherited | {
            "PYTHONPATH": os.pathsep.join(map(str, places)),
            # A file that is changed twice within a second could be taken for its old bytecode.
            "PYTHONDONTWRITEBYTECODE": "1",
            "TALLY_COPY": str(self.folder),
        }


def _interrupted(running: subprocess.Popen[str]) -> str:
    """Stop a run as Ctrl-C does, so that it stops its servers; return what it said."""
    running.send_signal(signal.SIGINT)
    try:
        output, _ = running.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        running.kill()
        output, _ = running.communicate()
    return output
