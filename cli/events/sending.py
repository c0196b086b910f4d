"""Sending a batch of events until it is known what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from cli.client import SuiteClient
from cli.events.access import Access
from cli.events.event import Event, Value
from cli.events.retrying import answered
from tally.ingest.v1 import event_pb2 as pb
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest, RecordEventsResponse

MICROS_PER_SECOND = 1_000_000


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
        request = RecordEventsRequest(events=map(event_message, events))
        answer = await answered(
            lambda: self._client.ingest.RecordEvents(request, metadata=self._access.metadata())
        )
        return _verdicts(answer)


def event_message(event: Event) -> pb.Event:
    """Write an event as the contract has it."""
    message = pb.Event(
        id=event.id,
        source=event.source,
        type=event.type,
        customer_id=event.customer_id,
        subscription_id=event.subscription_id,
        amount="" if event.amount is None else str(event.amount),
        hold_id=event.hold_id,
    )
    for key, value in event.properties.items():
        _put(message.properties[key], value)
    if event.time is not None:
        seconds, micros = divmod(event.time, MICROS_PER_SECOND)
        message.time.seconds, message.time.nanos = seconds, micros * 1_000
    return message


def _put(message: pb.PropertyValue, value: Value) -> None:
    match value:
        case str():
            message.text = value
        case bool():
            message.flag = value
        case Decimal():
            message.decimal = str(value)


def _verdicts(answer: RecordEventsResponse) -> Verdicts:
    accepted = duplicates = 0
    others: list[Exceptional] = []
    for index, one in enumerate(answer.verdicts):
        if one.verdict == pb.VERDICT_ACCEPTED:
            accepted += 1
        elif one.verdict == pb.VERDICT_DUPLICATE:
            duplicates += 1
        else:
            verdict = pb.Verdict.Name(one.verdict).removeprefix("VERDICT_")
            reason = pb.RejectionReason.Name(one.reason).removeprefix("REJECTION_REASON_")
            others.append(Exceptional(index, verdict, reason, one.field, one.detail))
    return Verdicts(accepted, duplicates, others=others)
