"""Answers as the contract writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from libs.wire import timestamp
from services.ingest.domain.validation import Reason
from services.ingest.domain.verdicts import Judgement, Verdict
from services.ingest.operations.messages import ack_token
from services.ingest.operations.recording import Recorded
from services.ingest.store.rejected import RejectedEvent
from services.ingest.store.segments import ShardHead
from tally.ingest.v1 import bulk_pb2, event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb

VERDICTS = {one: event_pb2.Verdict.Value(f"VERDICT_{one.value}") for one in Verdict}
REASONS = {one: event_pb2.RejectionReason.Value(f"REJECTION_REASON_{one.value}") for one in Reason}
ACCEPTED = pb.EventVerdict(verdict=event_pb2.VERDICT_ACCEPTED)


def recorded_message(recorded: Recorded) -> pb.RecordEventsResponse:
    """Write the verdicts on a request, and its ack token."""
    return pb.RecordEventsResponse(
        verdicts=[_verdict_message(judged) for judged in recorded.judgements],
        ack_token=ack_token(recorded.number),
    )


def columns_message(recorded: Recorded) -> bulk_pb2.RecordColumnsResponse:
    """Write what became of a batch of columns: counts, and what is neither stored nor was."""
    counts = recorded.judgements.counts()
    return bulk_pb2.RecordColumnsResponse(
        accepted_count=counts[Verdict.ACCEPTED],
        duplicate_count=counts[Verdict.DUPLICATE],
        exceptions=exceptions_of(recorded),
        ack_token=ack_token(recorded.number),
    )


def exceptions_of(recorded: Recorded) -> list[bulk_pb2.EventException]:
    """Write the verdicts on the events of a request that neither are stored nor were before."""
    return [
        bulk_pb2.EventException(index=index, **_verdict_fields(judged))
        for index, judged in recorded.judgements.exceptions()
    ]


def rejected_message(rejected: RejectedEvent) -> pb.RejectedEvent:
    """Write an event that counts nowhere."""
    return pb.RejectedEvent(
        rejected_event_id=str(rejected.rejected_event_id),
        event=event_pb2.Event.FromString(rejected.content),
        reason=REASONS[rejected.rejection.reason],
        field=rejected.rejection.field,
        detail=rejected.rejection.detail,
        received_at=timestamp(rejected.received_at),
        times_sent=rejected.times_sent,
    )


def head_message(head: ShardHead) -> pb.ShardHead:
    """Write the newest numbers of a shard."""
    return pb.ShardHead(
        shard=head.shard,
        number=head.number,
        through=timestamp(head.through),
        slice_numbers=head.slice_numbers,
    )


def _verdict_message(judged: Judgement) -> pb.EventVerdict:
    if judged.verdict is Verdict.ACCEPTED:
        return ACCEPTED
    return pb.EventVerdict(**_verdict_fields(judged))


def _verdict_fields(judged: Judgement) -> Mapping[str, Any]:
    verdict, rejection = VERDICTS[judged.verdict], judged.rejection
    if rejection is None:
        return {"verdict": verdict}
    return {
        "verdict": verdict,
        "reason": REASONS[rejection.reason],
        "field": rejection.field,
        "detail": rejection.detail,
    }
