"""Groups: usage of a bucket that is priced apart, by what it says under the charge's group keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.rating.domain.cell import Cell, merged


def groups_of(
    cells: Iterable[Cell], dimensions: Sequence[str], keys: Sequence[str]
) -> dict[tuple[str, ...], Cell]:
    """Return the usage of each distinct combination of values under `keys`, as they first come.

    The cells' values stand in the order of `dimensions`. A missing value, "", makes a group of
    its own; without keys all usage is one group, ().
    """
    places = [dimensions.index(key) for key in keys]
    sorted_out: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        group = tuple(cell.dimensions[place] for place in places)
        sorted_out.setdefault(group, []).append(cell)
    return {group: merged(inside) for group, inside in sorted_out.items()}
