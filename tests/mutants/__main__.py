"""`make mutants`: plant each fault in a copy of the tree, and see the tests notice it.

ARGS="words" takes only the faults whose file or rule holds one of the words.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from tests.mutants.copies import GREEN, RED, Copy, LineNotFound, Outcome
from tests.mutants.faults import FAULTS, Fault

AT_ONCE = 2  # Runs have servers, ports and data of their own; two keep two cores busy.
NAMED_SECONDS, WHOLE_SECONDS = 600.0, 3600.0
# In a copy with a fault these two would see the fault's line, and no test what it does.
WHOLE = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "--ignore=tests/slow"]
WHOLE += ["--ignore=tests/tidy", "--ignore=tests/mutants"]
STARTS_SERVICES = "tests/races/test_callers.py"  # So that we see which code they run.


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a fault; `killer` is the test that noticed, "" for a survivor."""

    fault: Fault
    killer: str
    seconds: int
    problem: str = ""  # Why it could not be tested at all.


def main(words: Sequence[str]) -> int:
    """Run the faults; return the exit code: 0 if each was noticed."""
    chosen = [one for one in FAULTS if not words or any(w in one.file + one.rule for w in words)]
    if not chosen:
        print(f"no fault's file or rule holds any of: {' '.join(words)}", file=sys.stderr)
        return 2
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="tally-mutants-") as folder:
        copies = [Copy.make(Path(folder, str(place))) for place in range(AT_ONCE)]
        if problem := check_sound(copies[0], chosen, console):
            console.print(problem, markup=False)
            return 1
        verdicts = run_all(copies, chosen, console)
    killed = sum(bool(one.killer) for one in verdicts)
    survived = sum(not one.killer and not one.problem for one in verdicts)
    untested = len(verdicts) - killed - survived
    more = f", {untested} not tested" if untested else ""
    console.print(f"mutants: {killed} killed, {survived} survived{more}", markup=False)
    return 0 if killed == len(verdicts) else 1


def check_sound(copy: Copy, faults: Sequence[Fault], console: Console) -> str:
    """Run the named tests on a copy without a fault; return what is wrong, "" for nothing.

    What is red already could not turn red. And the services that tests start as processes must
    run the copy's code, as the tests themselves do.
    """
    started = time.monotonic()
    named = sorted({name for fault in faults for name in fault.tests} | {STARTS_SERVICES})
    parallel = ["-n", str(AT_ONCE), "--dist", "loadfile"]
    outcome = copy.test([*parallel, *named], seconds=WHOLE_SECONDS)
    if outcome.status != GREEN:
        return f"{outcome.output}\nwithout any fault {outcome.culprit} fails already"
    if missing := copy.missing_services():
        return f"no process of the copy ran {', '.join(missing)}: the faults would not be in it"
    seconds = round(time.monotonic() - started)
    console.print(f"sound: {len(named)} test files are green without a fault, {seconds} s")
    return ""


def run_all(copies: Sequence[Copy], faults: Sequence[Fault], console: Console) -> list[Verdict]:
    """Try each fault, as many at once as there are copies; print a line each."""
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def attempt(fault: Fault) -> Verdict:
        copy = free.get()
        try:
            verdict = try_fault(copy, fault)
        finally:
            free.put(copy)
        progress.console.print(line_of(verdict), markup=False)
        progress.advance(task)
        return verdict

    columns = (TextColumn("mutants"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as (
        progress
    ):
        task = progress.add_task("", total=len(faults))
        with ThreadPoolExecutor(max_workers=len(copies)) as threads:
            try:
                return list(threads.map(attempt, faults))
            except KeyboardInterrupt:  # The runs got it too, and stop their servers.
                threads.shutdown(cancel_futures=True)
                raise


def try_fault(copy: Copy, fault: Fault) -> Verdict:
    """Plant a fault and run its tests, then all others, until one fails."""
    started = time.monotonic()
    problem, killer = "", ""
    try:
        with copy.planted(fault):
            outcome = copy.test(["-x", *fault.tests], seconds=NAMED_SECONDS)
            if outcome.status == GREEN:
                outcome = copy.test(["-x", *WHOLE], seconds=WHOLE_SECONDS)
    except LineNotFound as error:
        problem = str(error)
    else:
        killer, problem = judged(outcome)
    return Verdict(fault, killer, round(time.monotonic() - started), problem)


def judged(outcome: Outcome) -> tuple[str, str]:
    """Return the test that noticed, and what kept the tests from running: one is ""."""
    if outcome.status in (RED, None):
        return outcome.culprit, ""
    return "", "" if outcome.status == GREEN else f"pytest could not run:\n{outcome.output}"


def line_of(verdict: Verdict) -> str:
    fault = verdict.fault
    where = f"{verdict.seconds:3} s  {fault.file}: {fault.rule}"
    if verdict.problem:
        return f"NOT TESTED {where}: {verdict.problem}"
    if not verdict.killer:
        return f"SURVIVED {where}: {fault.line} -> {fault.replacement}"
    return f"killed {where}, by {verdict.killer}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
