"""`python -m tests.vectors --dir PATH TOPIC…`: runs cases; without topics all, also undone ones."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.vectors import cases, exceptions
from tests.vectors.adapters import ADAPTERS
from tests.vectors.running import run
from tests.vectors.stories.stage import play_alone


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each failure and the counts; return 1 if any case failed."""
    parser = argparse.ArgumentParser(prog="tests.vectors", description=__doc__)
    parser.add_argument("--dir", type=Path, default=cases.DATA)
    parser.add_argument("topics", nargs="*")
    asked = parser.parse_args(arguments)
    try:
        found = cases.load(asked.dir, asked.topics)
    except cases.NoSuchTopic as error:
        parser.error(str(error))
    played = play_alone([case for case in found if case.is_story])
    outcome = run(found, ADAPTERS, exceptions.load(), played)
    for line in outcome.failures:
        print(line)
    print(outcome.summary)
    return 1 if outcome.failures else 0


if __name__ == "__main__":
    sys.exit(main())
