"""Progressive thresholds: amounts of lifetime usage at which a period is billed before it ends.

Lifetime usage is what was used before the suite knew of it, what was invoiced, and what is used in
the present period. What of the present period was billed progressively counts as billed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from libs.errors import FieldInvalid
from libs.money import DIVIDING, EXACT

AMOUNTS_MAX = 100
ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class UsageThresholds:
    """Ascending `amounts`; behind the last, or from 0 on, one more each `step` (None: none)."""

    amounts: tuple[Decimal, ...]
    step: Decimal | None = None

    @property
    def top(self) -> Decimal:
        """The amount from which the steps are counted."""
        return self.amounts[-1] if self.amounts else ZERO


@dataclass(frozen=True, slots=True)
class Crossed:
    """A threshold that usage has crossed: an amount or, once however often, the step."""

    amount: Decimal
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """Where lifetime usage stands: thresholds behind and ahead of it, None: there is none.

    `ratio` is how far it has come from the one to the other, from 0 on.
    """

    last: Decimal | None
    following: Decimal | None
    ratio: Decimal | None


def crossed(thresholds: UsageThresholds, *, billed: Decimal, fresh: Decimal) -> list[Crossed]:
    """Return the thresholds that `fresh` usage crosses, ascending, the step last.

    `billed` is all lifetime usage that was billed, progressively or not. Below the top amount, the
    step is crossed where usage passes that by a whole step; above it where fresh usage completes
    one, counted from 0. Of 10, 20 and then each 5, 9 billed and 21 fresh cross all three.
    """
    if fresh < 0:
        return []
    total = EXACT.add(billed, fresh)
    found: list[Crossed] = []
    if billed < thresholds.top:
        found = [Crossed(each) for each in thresholds.amounts if billed < each <= total]
        beyond = EXACT.subtract(total, thresholds.top)
    else:
        begun = ZERO if thresholds.step is None else EXACT.remainder(billed, thresholds.step)
        beyond = EXACT.add(fresh, begun)
    if thresholds.step is not None and beyond >= thresholds.step:
        found.append(Crossed(thresholds.step, repeats=True))
    return found


def standing(
    thresholds: UsageThresholds, *, past: Sequence[Crossed], lifetime: Decimal
) -> Standing:
    """Return where `lifetime` usage stands once the thresholds `past` were crossed.

    Steps are counted from the top amount: of 100 and then each 200, 723 lies between 700 and 900.
    """
    top, step = thresholds.top, thresholds.step
    amounts = [each.amount for each in past if not each.repeats]
    last = max(amounts) if amounts else None
    following = next((each for each in thresholds.amounts if last is None or each > last), None)
    if step is not None and (following is None or any(each.repeats for each in past)):
        steps = EXACT.divide_int(max(EXACT.subtract(lifetime, top), ZERO), step)
        reached = EXACT.add(top, EXACT.multiply(steps, step))
        last = reached if reached else None
        following = EXACT.add(reached, step)
    if following is None:
        return Standing(last, None, None)
    start = last or ZERO
    width = EXACT.subtract(following, start)
    return Standing(last, following, DIVIDING.divide(EXACT.subtract(lifetime, start), width))


def threshold_faults(thresholds: UsageThresholds, path: str) -> list[FieldInvalid]:
    """Return what is wrong with thresholds, by field below `path`."""
    amounts = thresholds.amounts
    if not amounts and thresholds.step is None:
        return [FieldInvalid(path, "have neither an amount nor a step")]
    return [
        FieldInvalid(f"{path}.amounts[{place}]", f"{amount} is not above {before}")
        for place, (before, amount) in enumerate(pairwise(amounts), start=1)
        if amount <= before
    ]
