"""`python -m tests.fuzz --seconds 300 --seed 7`: fuzzes a suite of its own for so long."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from deploy.embedded.stack import Stack
from tests.fuzz.running import fuzz
from tests.servers import TestPostgres
from tests.suite import Suite


def main() -> None:
    """Exit with 1 and a line for each fault if there are any."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    asked = parser.parse_args()
    print(f"fuzz: seed {asked.seed}, {asked.seconds:g} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        wrong = _fuzz(Path(folder), asked.seed, asked.seconds)
    for one in wrong:
        print(one)
    print(f"fuzz: {len(wrong)} faults, seed {asked.seed}")
    sys.exit(1 if wrong else 0)


def _fuzz(folder: Path, seed_value: int, seconds: float) -> list[str]:
    postgres = TestPostgres.start(folder / "postgres")
    try:
        name = postgres.suite_name()
        with Stack(
            folder / "suite", test_clock=True, postgres=postgres.server, suite=name, env={}
        ) as stack:
            return fuzz(Suite(stack), seed_value, each=8, seconds=seconds, say=_say)
    finally:
        postgres.stop()


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
