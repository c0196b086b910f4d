"""Runs cases through their adapters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.vectors.cases import Case
from tests.vectors.comparing import differences
from tests.vectors.exceptions import Excepted
from tests.vectors.given import Given

Adapter = Callable[[Given], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many cases passed or are excepted, and a line for each failure."""

    passed: int
    excepted: int
    failures: tuple[str, ...]

    @property
    def summary(self) -> str:
        failed, excepted = len(self.failures), self.excepted
        return f"vectors: {self.passed} passed, {failed} failed, {excepted} excepted"


def run(
    cases: Sequence[Case],
    adapters: Mapping[str, Adapter],
    exceptions: Sequence[Excepted] = (),
    played: Mapping[tuple[str, str], Sequence[str]] = {},
) -> Outcome:
    """Run `cases` by the adapters of their topics; `played` has the faults of stories.

    A case without an adapter fails, and so does an exception that fits some of the cases and
    excuses none of them.
    """
    passed = excepted = 0
    failures: list[str] = []
    needless = [one for one in exceptions if any(one.fits(case) for case in cases)]
    for case in cases:
        faults = played.get(case.key)
        if faults is None:
            faults = faults_of(case, adapters.get(case.topic))
        fitting = [one for one in exceptions if one.fits(case)]
        if not faults:
            passed += 1
        elif fitting:
            excepted += 1
            needless = [one for one in needless if one not in fitting]
        else:
            failures.append(f"{case.topic} {case.id}: {'; '.join(faults)}")
    failures += [f"{one.topic} {dict(one.given)}: excuses nothing" for one in needless]
    return Outcome(passed, excepted, tuple(failures))


def faults_of(case: Case, adapter: Adapter | None) -> list[str]:
    """Return everything that is wrong with the outcome of `case`."""
    if adapter is None:
        return ["no adapter"]
    given = Given(case.given, expect=case.expect)
    try:
        got = adapter(given)
    except Exception as error:  # Whatever it is, the other cases are run.
        return [f"expected {dict(case.expect)}, got {type(error).__name__}: {error}"]
    return [f"{path} is unknown" for path in given.unread()] + differences(case.expect, got)
