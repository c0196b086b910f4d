"""Sending a batch of events until it is known what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cli.client import SuiteClient
from cli.events.access import Access
from cli.events.event import Event
from cli.events.event_columns import event_columns
from cli.events.retrying import answered
from tally.ingest.v1 import event_pb2 as pb
from tally.ingest.v1.bulk_pb2 import RecordColumnsRequest


class Exceptional(NamedTuple):
    """An event of a batch that is not stored, and was not stored before."""

    place: int  # In the batch, from 0.
    verdict: str  # "REJECTED", "CONFLICT"
    reason: str  # "TIME_TOO_OLD"
    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What became of a batch."""

    accepted: int = 0
    duplicates: int = 0
    readable: int = 0  # Of those that were never sent.
    others: Sequence[Exceptional] = ()


class Sender:
    """Sends batches, again and again while the suite does not answer."""

    def __init__(self, client: SuiteClient, access: Access) -> None:
        self._client, self._access = client, access

    async def send(self, events: Sequence[Event]) -> Verdicts:
        """Return what became of the events; to send some twice is safe.

        Raises:
            NoAnswer: the suite refuses, or does not answer for as long as we wait.
        """
        if not events:
            return Verdicts()
        request = RecordColumnsRequest(columns=event_columns(events))
        answer = await answered(
            lambda: self._client.ingest.RecordColumns(request, metadata=self._access.metadata())
        )
        others = [
            Exceptional(
                one.index,
                pb.Verdict.Name(one.verdict).removeprefix("VERDICT_"),
                pb.RejectionReason.Name(one.reason).removeprefix("REJECTION_REASON_"),
                one.field,
                one.detail,
            )
            for one in answer.exceptions
        ]
        return Verdicts(answer.accepted_count, answer.duplicate_count, others=others)
