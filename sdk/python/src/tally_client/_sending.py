"""How a batch is sent: its request, what an answer says of it, when it is sent again."""

from __future__ import annotations

import logging
import random

from tally_client._backlog import Batch
from tally_client._error import TallyError
from tally_client._packing import pack
from tally_client._producing import OnRejected, Rejected
from tally_client.ingest.v1 import (
    RecordColumnsRequest,
    RecordColumnsResponse,
    RejectionReason,
    Verdict,
)

PATH = "/tally.ingest.v1.IngestService/RecordColumns"
NANOS_PER_MICRO = 1_000
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.1, 5.0
log = logging.getLogger("tally_client")


def request_of(batch: Batch) -> RecordColumnsRequest:
    """Return the request that sends the batch; the same each time."""
    return RecordColumnsRequest(columns=pack(batch.rows))


def rejected_by(answer: RecordColumnsResponse, batch: Batch) -> list[Rejected]:
    """Return the events of the batch that are not stored."""
    return [
        Rejected(
            index=batch.first + one.index,
            id=batch.rows[one.index].id,
            source=batch.rows[one.index].source,
            verdict=Verdict.Name(one.verdict).removeprefix("VERDICT_"),
            reason=RejectionReason.Name(one.reason).removeprefix("REJECTION_REASON_"),
            field=one.field,
            detail=one.detail,
        )
        for one in answer.exceptions
    ]


def is_bad(error: Exception) -> bool:
    """Tell whether the request itself is at fault, so that it can only be sent in parts."""
    return isinstance(error, TallyError) and error.code == "INVALID_ARGUMENT"


def rejected_with(error: Exception, batch: Batch) -> list[Rejected]:
    """Return the event of a batch that is at fault; none while it is not alone."""
    if len(batch.rows) > 1 or not isinstance(error, TallyError):
        return []
    (row,), violations = batch.rows, error.field_violations
    field = violations[0].field if violations else ""
    return [
        Rejected(batch.first, row.id, row.source, "REJECTED", error.reason, field, error.message)
    ]


def pause_seconds(error: Exception, attempt: int) -> float:
    """Return how long to wait after the failed attempt, from 1."""
    asked = error.retry_delay_seconds if isinstance(error, TallyError) else None
    if asked is not None:
        return asked
    longest = min(PAUSE_SECONDS * 2.0 ** min(attempt - 1, 10), PAUSE_SECONDS_MAX)
    return random.uniform(longest / 2, longest)


def tell(on_rejected: OnRejected | None, found: list[Rejected]) -> None:
    """Tell the caller of rejected events, or the log."""
    if on_rejected is None:
        if found:
            log.warning("%d events are rejected, the first one is %s", len(found), found[0])
        return
    for one in found:
        try:
            on_rejected(one)
        except Exception:
            log.exception("on_rejected failed")
