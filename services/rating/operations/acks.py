"""Reading one's own writes: waiting until the events that an ack token stands for are usage."""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin, begin_worker
from libs.errors import FieldInvalid, Unavailable
from libs.partition import partition_of
from libs.tenant import Tenant
from services.rating.operations.log import Log, head_numbers
from services.rating.store.applied import Lane, load_applied
from services.rating.store.reattributions import find_job

LOOK_SECONDS = 0.025
TOKEN_CHARACTERS_MAX = 64
PLACE = re.compile(rb"(\d{1,9}):(\d{1,18})", re.ASCII)


class UsageNotYetApplied(Unavailable):
    """The events that an ack token stands for are not in the usage yet."""

    reason = "USAGE_NOT_YET_APPLIED"


@dataclass(frozen=True, slots=True)
class Ack:
    """A segment of the log; the number 0 stands for none."""

    shard: int
    number: int


def parse_ack(token: str) -> Ack | None:
    """Read an ack token, as ingest makes them; None for an empty one.

    Raises:
        FieldInvalid: it is none, for the field `ack_token`.
    """
    if not token:
        return None
    found = None
    if len(token) <= TOKEN_CHARACTERS_MAX:
        try:
            padded = token.encode() + b"=" * (-len(token) % 4)
            found = PLACE.fullmatch(base64.b64decode(padded, altchars=b"-_", validate=True))
        except (binascii.Error, ValueError):
            pass
    if found is None:
        raise FieldInvalid("ack_token", "was not made by RecordEvents")
    return Ack(int(found[1]), int(found[2]))


class Positions:
    """Where the lanes stand in the database; all who wait share one look at a time.

    The database alone knows: another process may fold the lane in question.
    """

    def __init__(self, worker: AsyncEngine) -> None:
        self._worker = worker
        self._look: asyncio.Task[Mapping[Lane, int]] | None = None

    async def look(self) -> Mapping[Lane, int]:
        """Return the positions as they are a moment from now.

        Raises:
            Unavailable: the database is away.
        """
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._look_soon(), name="look at positions")
            # All who waited may have left: then nobody asks what became of it.
            self._look.add_done_callback(lambda look: look.cancelled() or look.exception())
        return await asyncio.shield(self._look)

    async def _look_soon(self) -> Mapping[Lane, int]:
        await asyncio.sleep(LOOK_SECONDS)
        async with begin_worker(self._worker) as conn:
            return await load_applied(conn)


class Acks:
    """Waits for the usage of segments."""

    def __init__(
        self, engine: AsyncEngine, positions: Positions, log: Log, ask_folder: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._positions = positions
        self._log = log
        self._ask_folder = ask_folder

    async def wait(self, tenant: Tenant, customer_id: str, ack: Ack, *, seconds: float) -> None:
        """Wait until all of a customer's events up to the segment of `ack` are in the cells.

        Also until no job counts the customer's events again: meanwhile cells lack some of them.

        Raises:
            FieldInvalid: there is no such segment, for the field `ack_token`.
            UsageNotYetApplied: they are not after so many seconds.
            Unavailable: ingest or the database is away.
        """
        if not ack.number:
            return
        until = time.monotonic() + seconds
        lane, wanted = await self._find_wanted(tenant, customer_id, ack)
        while True:
            stands, whole = await self._load(tenant, customer_id, lane)
            if stands >= wanted and whole:
                return
            if time.monotonic() >= until:
                raise UsageNotYetApplied(
                    f"the events are in segment {ack.number} of the log, usage has those up to"
                    f" {stands}: ask again"
                )
            self._ask_folder()
            positions = await self._positions.look()
            while positions.get(lane, 0) < wanted and time.monotonic() < until:
                positions = await self._positions.look()

    async def _find_wanted(self, tenant: Tenant, customer_id: str, ack: Ack) -> tuple[Lane, int]:
        """Return the customer's lane, and the number that it must have come to.

        A lane has slices of some segments only, so it may end before the one in question.
        """
        heads = await self._log.heads()
        newest = {head.shard: max(head.slice_numbers, default=0) for head in heads}
        if ack.number > newest.get(ack.shard, 0):
            raise FieldInvalid("ack_token", "names a place that is not in the log")
        partitions = max(len(head.slice_numbers) for head in heads)
        lane = Lane(ack.shard, partition_of(tenant, customer_id, partitions))
        return lane, min(ack.number, head_numbers(heads)[lane])

    async def _load(self, tenant: Tenant, customer_id: str, lane: Lane) -> tuple[int, bool]:
        """Return where `lane` stands, and whether no job counts the customer's events again."""
        async with begin(self._engine, tenant) as conn:
            job = await find_job(conn, tenant, customer_id)
            return (await load_applied(conn)).get(lane, 0), job is None
