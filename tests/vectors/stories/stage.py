"""A suite for stories alone, where no test has one."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.embedded.stack import Stack
from tests.suite import Suite
from tests.vectors.cases import Case
from tests.vectors.stories.playing import Faults, play


def play_alone(cases: Sequence[Case]) -> Faults:
    """Play stories on a suite that is started for them; return what was wrong with each."""
    if not cases:
        return {}
    with tempfile.TemporaryDirectory(prefix="tally-stories-") as folder:
        with Stack(Path(folder), test_clock=True, env={}) as stack:
            return asyncio.run(play(Suite(stack), cases))
