"""How far the log is in the cells: one number for each shard and partition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from services.rating.store.usage_schema import applied


class Lane(NamedTuple):
    """Slices of one shard for one partition: they come in the order of their numbers."""

    shard: int
    partition: int


async def load_applied(conn: AsyncConnection) -> dict[Lane, int]:
    """Return the number of the last slice in the cells, by lane."""
    return {
        Lane(row.shard, row.partition): row.number for row in await conn.execute(select(applied))
    }


async def open_lanes(conn: AsyncConnection, lanes: Iterable[Lane]) -> None:
    """Make sure that `lanes` have rows."""
    rows = [{**lane._asdict(), "number": 0} for lane in sorted(lanes)]
    if rows:
        await conn.execute(insert(applied).on_conflict_do_nothing(), rows)


async def move(conn: AsyncConnection, lane: Lane, *, old: int, new: int) -> bool:
    """Move `lane` from the slice `old` to `new`; False if it does not stand at `old`.

    This is the fence: whoever folded from a position that another has moved changes nothing.
    """
    moving = update(applied).filter_by(**lane._asdict(), number=old).values(number=new)
    return (await conn.execute(moving)).rowcount == 1
