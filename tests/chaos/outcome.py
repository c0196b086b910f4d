"""What became of a round, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass, field

SHOWN_MAX = 20  # Differences of a round: one loss may show in many places.


@dataclass(slots=True)
class Outcome:
    """What became of a round."""

    target: str
    seed: int
    killed_at: float = 0.0  # Seconds after the load began.
    special: str = ""
    in_flight: list[str] = field(default_factory=list)
    back: float = 0.0  # Seconds from the kill to the target's being back.
    settled: float = 0.0  # From then to the suite's having nothing left to do.
    took: float = 0.0
    counts: str = ""
    differences: list[str] = field(default_factory=list)


def describe(outcome: Outcome) -> list[str]:
    """Return a round as a line, with the differences and how to repeat it below if it failed."""
    verdict = "FAILED" if outcome.differences else "ok"
    what = f"{outcome.target} ({outcome.special})" if outcome.special else outcome.target
    work = "; ".join(filter(None, outcome.in_flight)) or "nothing"
    line = (
        f"{verdict:6} {what}, seed {outcome.seed}: killed at {outcome.killed_at:.2f} s"
        f" [in flight: {work}], back in {outcome.back:.1f} s, at rest {outcome.settled:.1f} s"
        f" later; {outcome.counts}; {outcome.took:.1f} s"
    )
    if not outcome.differences:
        return [line]
    shown = [f"  {difference}" for difference in outcome.differences[:SHOWN_MAX]]
    more = len(outcome.differences) - len(shown)
    return [
        line,
        *shown,
        *([f"  and {more} more"] if more > 0 else []),
        f"  again: .venv/bin/python -m tests.chaos --repeat {outcome.target}:{outcome.seed}",
    ]
