"""`python -m tests.chaos`: rounds of kills, a line each, and a sum at the end."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.runner import clear
from deploy.embedded.record import find_holder
from deploy.embedded.stack import Stack
from tests.chaos.killing import TARGETS
from tests.chaos.outcome import SHOWN_MAX, describe
from tests.chaos.rounds import Rounds
from tests.chaos.verifying import verify
from tests.suite import Suite

FOLDER = Path("build/chaos")

Planned = tuple[str, int]  # Target and seed of a round.


def main(words: Sequence[str]) -> int:
    """Play the rounds that the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each target")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--target", action="append", choices=TARGETS, help="only this; repeatable")
    parser.add_argument("--repeat", metavar="TARGET:SEED", help="one round that failed before")
    asked = parser.parse_args(words)
    console = Console(highlight=False, soft_wrap=True)
    if asked.repeat:
        target, _, seed = asked.repeat.partition(":")
        plan = [(target, int(seed))]
    else:
        console.print(f"seed {asked.seed}, {asked.rounds} rounds of each target")
        plan = draw_plan(asked.seed, asked.rounds, asked.target or TARGETS)
    begun = time.monotonic()
    failed = play_all(console, plan)
    console.print(f"{len(plan)} rounds took {time.monotonic() - begun:.0f} s")
    console.print(f"kill: {len(plan) - failed} passed, {failed} failed")
    return 1 if failed else 0


def draw_plan(seed: int, rounds: int, targets: Sequence[str]) -> list[Planned]:
    """Return the rounds of a seed: each target once a turn, in an order of the turn's own."""
    plan = []
    for number in range(rounds):
        turn = sorted(targets)
        random.Random(f"{seed} {number}").shuffle(turn)
        plan += [(one, random.Random(f"{seed} {number} {one}").getrandbits(32)) for one in turn]
    return plan


def play_all(console: Console, plan: Sequence[Planned]) -> int:
    """Play all rounds and return how many failed.

    After a failure the rest goes on with a fresh suite: what failed stays to be looked at.
    """
    failed, suites, left = 0, 0, deque(plan)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("rounds"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("rounds", total=len(plan))
        while left:
            folder = FOLDER / str(suites)
            suites += 1
            if (pid := find_holder(folder)) is not None:
                raise SystemExit(f"process {pid} plays rounds in {folder}")
            clear(folder)
            with Stack(folder, test_clock=True, env={}) as stack:
                rounds = Rounds(Suite(stack))
                failed += asyncio.run(_play(console, rounds, left, lambda: progress.advance(task)))
    return failed


async def _play(
    console: Console, rounds: Rounds, left: deque[Planned], done: Callable[[], None]
) -> bool:
    """Play rounds from `left` until there are none or one fails; return whether any has."""
    while left:
        outcome = await rounds.play(*left.popleft())
        done()
        for line in describe(outcome):
            console.print(line, markup=False)
        if outcome.differences:
            console.print(f"  logs: {rounds.suite.stack.logs}", markup=False)
            return True
    async with rounds.suite.internal() as client:
        lines = await verify(client)  # A later kill must not take from an earlier round either.
    console.print(f"verify all: {len(lines)} differences", *lines[:SHOWN_MAX], sep="\n  ")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
