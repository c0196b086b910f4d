"""What became of the rows of an import."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import msgspec
from rich import box
from rich.console import Group
from rich.markup import escape
from rich.table import Table

from cli.events.batches import Batch
from cli.events.sending import Verdicts

ACCEPTED, DUPLICATE, READABLE = "ACCEPTED", "DUPLICATE", "READABLE"
UNREADABLE, CUT_SHORT = "UNREADABLE", "FILE_CUT_SHORT"
GOOD = (ACCEPTED, DUPLICATE, READABLE)


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that was not stored, or a file that could not be read on (then without a line)."""

    file: str
    line: int
    id: str
    verdict: str
    reason: str
    field: str
    detail: str


class Report(AbstractContextManager["Report"]):
    """Counts verdicts, shows the first problems, and writes all of them to a file if asked."""

    def __init__(self, *, shown_max: int, path: Path | None = None, appends: bool = False) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[Problem] = []
        self.problem_count = 0
        self._shown_max = shown_max
        self._stack = ExitStack()
        self._written: BinaryIO | None = None
        if path is not None:
            mode = "ab" if appends else "wb"
            self._written = self._stack.enter_context(path.open(mode))  # type: ignore[assignment]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def unstored(self) -> int:
        """Return how many rows, and ends of files, were not stored."""
        return sum(count for name, count in self.counts.items() if name not in GOOD)

    def carry(self, counts: Mapping[str, int]) -> None:
        """Add what an earlier part of the same import counted."""
        self.counts.update(counts)

    def note(self, file: str, batch: Batch, verdicts: Verdicts) -> Counter[str]:
        """Take note of a batch; return its counts."""
        good = (verdicts.accepted, verdicts.duplicates, verdicts.readable)
        counts = Counter(dict(zip(GOOD, good, strict=True)))
        problems = [
            Problem(file, row.line, row.id, UNREADABLE, "", "", row.problem)
            for row in batch.unreadable
        ]
        for one in verdicts.others:
            line, event = batch.events[one.place]
            problems.append(Problem(file, line, event.id, *one[1:]))
        problems.sort(key=lambda problem: problem.line)
        if batch.fault:
            problems.append(Problem(file, 0, "", CUT_SHORT, "", "", batch.fault))
        for problem in problems:
            counts[_counted(problem)] += 1
            self._note(problem)
        self.counts += counts
        return counts

    def _note(self, problem: Problem) -> None:
        self.problem_count += 1
        if len(self.problems) < self._shown_max:
            self.problems.append(problem)
        if self._written is not None:
            self._written.write(msgspec.json.encode(problem) + b"\n")

    def document(self, seconds: float) -> dict[str, Any]:
        """Return the report for programs."""
        return {
            "counts": dict(self.counts),
            "problems": [asdict(problem) for problem in self.problems],
            "problem_count": self.problem_count,
            "seconds": round(seconds, 3),
        }

    def view(self, seconds: float) -> Group:
        """Return the report for people: what was counted, then the first problems."""
        parts = [self._counts_table(seconds)]
        if self.problems:
            parts.append(self._problems_table())
        return Group(*parts)

    def _counts_table(self, seconds: float) -> Table:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("Verdict")
        table.add_column("Events", justify="right", no_wrap=True)
        shown = [name for name in (ACCEPTED, DUPLICATE) if not self.counts[READABLE]]
        for name in (*shown, *sorted(self.counts.keys() - set(shown))):
            table.add_row(_said(name), f"{self.counts[name]:,}")
        table.add_section()
        table.add_row("seconds", f"{seconds:,.1f}")
        return table

    def _problems_table(self) -> Table:
        left = self.problem_count - len(self.problems)
        title = "Not stored" if not left else f"Not stored: the first {len(self.problems)}"
        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
        table.add_column("Where", overflow="fold")
        table.add_column("Id", overflow="fold")
        table.add_column("Why", overflow="fold")
        for one in self.problems:
            where = f"{one.file}:{one.line}" if one.line else one.file
            why = f"{one.reason}: {one.detail}" if one.reason else one.detail
            table.add_row(escape(where), escape(one.id), escape(why))
        return table


def _counted(problem: Problem) -> str:
    """Return under which name a problem is counted: "REJECTED TIME_TOO_OLD", "CONFLICT"."""
    if problem.reason in ("", "UNSPECIFIED", problem.verdict):
        return problem.verdict
    return f"{problem.verdict} {problem.reason}"


def _said(name: str) -> str:
    """Return "Rejected TIME_TOO_OLD" for "REJECTED TIME_TOO_OLD"."""
    verdict, _, reason = name.partition(" ")
    return f"{verdict.replace('_', ' ').capitalize()} {reason}".strip()
