"""What lies between two prices: parts of a period, and events that cost as they come."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from libs.money import EXACT
from services.rating.domain.price import ZERO, Row, row_of

_Step = tuple[str, Decimal | None, Decimal]


def rows_between(before: Sequence[Row], after: Sequence[Row]) -> tuple[Row, ...]:
    """Return what `after` costs more than `before`, step by step; both of one price.

    Steps are the same by label, bound and unit amount; those without a change are left out. Ten
    units at 2 before and twelve after are two units at 2. Flat amounts come with the step that
    reaches them; of nothing at all, (), everything comes new.
    """
    earlier = {_step(row): row for row in before}
    later = {_step(row): row for row in after}
    rows = []
    for step in [*later, *(step for step in earlier if step not in later)]:
        label, up_to, unit_amount = step
        units, flat = _of(later, step)
        units_before, flat_before = _of(earlier, step)
        row = row_of(
            label,
            EXACT.subtract(units, units_before),
            unit_amount,
            flat=EXACT.subtract(flat, flat_before),
            up_to=up_to,
        )
        if row.units or row.flat_amount:
            rows.append(row)
    return tuple(rows)


def _step(row: Row) -> _Step:
    return (row.label, row.up_to, row.unit_amount)


def _of(rows: dict[_Step, Row], step: _Step) -> tuple[Decimal, Decimal]:
    row = rows.get(step)
    return (ZERO, ZERO) if row is None else (row.units, row.flat_amount)
