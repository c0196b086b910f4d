"""Sealing a small group of good events, as nearly all are: the same outcome in fewer steps.

What is not so plain is left to `sealing`, with nothing written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import telemetry
from libs.clock import Clock
from libs.driver import begin_driver
from services.ingest.domain.candidates import Candidates, Submission
from services.ingest.domain.retention import refuse_below
from services.ingest.domain.verdicts import Decision, Identities, decide
from services.ingest.domain.wire import Ints
from services.ingest.store import keys, plain, segments
from services.ingest.store.segments import SliceContent

PLAIN_EVENTS_MAX = 256  # Above it, COPY is faster than an INSERT.

Encode = Callable[[Candidates, Ints], list[SliceContent]]


class NotPlain(Exception):
    """The group needs what only `sealing` does."""


def may_be_plain(candidates: Candidates) -> bool:
    """Tell whether it is worth trying.

    Asked first, as large groups are the rule: a NotPlain would keep one in memory, by the frames
    of its traceback, until Python looks for cycles.
    """
    return not candidates.faults and len(candidates.ids) <= PLAIN_EVENTS_MAX


async def seal_plain(
    engine: AsyncEngine,
    clock: Clock,
    shard: int,
    requests: Sequence[Submission],
    candidates: Candidates,
    identities: Identities,
    encode: Encode,
) -> tuple[Decision, int]:
    """Store what is new in `requests`; return the decision and the segment's number, 0 for none.

    They may be plain.

    Raises:
        NotPlain: an event is to be refused; nothing is written.
        FloorRaised: meanwhile older events are refused than were then; nothing is written.
        Unavailable: as of `sealing.seal`.
    """
    async with begin_driver(engine) as conn:
        distinct = identities.distinct
        new = await plain.store_new_keys(conn, shard, candidates, distinct)
        if refuse_below(candidates, new.opened.floor) is not candidates:
            raise NotPlain
        stored = {}
        if len(new.rows) < len(distinct):
            known = distinct[[row not in new.rows for row in distinct.tolist()]]
            stored = await keys.find_stored(conn, shard, candidates, known)
            if len(stored) < len(known):
                raise NotPlain
        decision = decide(requests, candidates, identities, stored)
        accepted = decision.accepted
        if decision.refused:  # Or it was corrected to just this: `sealing` finds out.
            raise NotPlain
        assert new.rows == frozenset(accepted.tolist())
        if not len(accepted):
            return decision, 0
        number = await segments.append_segment(
            conn,
            shard_id=shard,
            opened=new.opened,
            sealed_at=clock.now(),
            traceparent=telemetry.headers().get("traceparent", ""),
            slices=encode(candidates, accepted),
        )
    return decision, number
