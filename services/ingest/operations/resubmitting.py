"""Recording rejected events again: they are recorded as any others, and then no longer listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import db
from libs.tenant import Tenant
from services.ingest.domain.verdicts import STORED
from services.ingest.operations.recording import Recorded
from services.ingest.store import rejected


async def load_contents(
    engine: AsyncEngine, tenant: Tenant, ids: Sequence[UUID]
) -> Mapping[UUID, bytes]:
    """Return rejected events as they were sent, also those that were recorded since.

    Raises:
        RejectedEventNotFound: there is none of one of these ids.
    """
    async with db.begin(engine, tenant) as conn:
        return await rejected.load_contents(conn, tenant, ids)


async def mark(
    engine: AsyncEngine, tenant: Tenant, ids: Sequence[UUID], recorded: Recorded, *, now: datetime
) -> None:
    """Note which of the rejected events `ids`, recorded again in this order, are stored now.

    Whoever dies before it leaves them listed; to record them again is harmless, and marks them.
    """
    stored = [
        one
        for one, judged in zip(ids, recorded.judgements, strict=True)
        if judged.verdict in STORED
    ]
    if stored:
        async with db.begin(engine, tenant) as conn:
            await rejected.mark_resubmitted(conn, tenant, stored, now=now)
