"""Streams as the contract writes them: batches as submissions, and acknowledgements."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableSequence, Sequence

from libs.errors import Exhausted, FieldInvalid, TallyError
from services.ingest.api import submitting
from services.ingest.api.answers import exceptions_of
from services.ingest.domain.candidates import Rules, Submission
from services.ingest.domain.verdicts import Verdict
from services.ingest.operations.messages import ack_token
from services.ingest.operations.recording import Recorded
from tally.ingest.v1 import bulk_pb2

ANSWER_BYTES_MAX = 1024 * 1024 - 64  # The rest is for all but exceptions.
ANSWER_SECONDS_MAX = 30.0
NESTING_BYTES = 24  # What an exception takes in its answer besides itself, at most.


class AnswersUnread(Exhausted):
    """The caller does not read its answers."""

    reason = "ANSWERS_UNREAD"


class Batches:
    """Reads the batches of a stream. None is kept here once it is a submission."""

    def __init__(
        self,
        requests: AsyncIterator[bulk_pb2.StreamEventsRequest],
        load_rules: Callable[[], Awaitable[Rules]],
    ) -> None:
        self._requests = requests
        self._load_rules = load_rules
        self._number = 0

    async def read(self) -> Submission | None:
        """Return the next batch, None after the last.

        Raises:
            TallyError: what is wrong with it, with its `batch_number`.
        """
        self._number += 1
        try:
            request = await anext(self._requests, None)
            if request is None:
                return None
            if request.batch_number != self._number:
                problem = f"is {request.batch_number}, must be {self._number}"
                raise FieldInvalid("batch_number", problem)
            return submission_of(request, await self._load_rules())
        except TallyError as error:
            error.metadata["batch_number"] = str(self._number)
            raise


def submission_of(request: bulk_pb2.StreamEventsRequest, rules: Rules) -> Submission:
    """Read a batch, whichever way it has its events.

    Raises:
        FieldInvalid: it has no events, or columns that do not fit each other.
        FieldsInvalid: several do not.
        BatchTooLarge: it has too many events, or too large ones.
    """
    match request.WhichOneof("batch"):
        case "events":
            return submitting.rows_of(rules, request.events, atomic=False, path="events.events")
        case "columns":
            return submitting.columns_of(rules, request.columns, atomic=False)
        case _:
            raise FieldInvalid("batch", "is missing")


class Answers:
    """Acknowledges the batches of a stream, one after the other, in answers of bounded size."""

    def __init__(
        self,
        write: Callable[[bulk_pb2.StreamEventsResponse], Awaitable[None]],
        *,
        seconds_max: float = ANSWER_SECONDS_MAX,
    ) -> None:
        self._write = write
        self._seconds_max = seconds_max
        self._through = 0
        self._newest = 0  # Segment.
        self._next = bulk_pb2.StreamEventsResponse()
        self._size = 0

    async def acknowledge(self, batches: Sequence[Recorded]) -> None:
        """Acknowledge the next batches.

        Raises:
            AnswersUnread: the caller has let one wait for `seconds_max`.
        """
        for recorded in batches:
            await self._add(recorded)
        await self._send()

    async def _add(self, recorded: Recorded) -> None:
        number, counts = self._through + 1, recorded.judgements.counts()
        for exception in exceptions_of(recorded):
            size = exception.ByteSize() + NESTING_BYTES
            if self._size + size > ANSWER_BYTES_MAX:
                await self._send()
            self._of_batch(number).append(exception)
            self._size += size
        self._through = number
        self._newest = max(self._newest, recorded.number)
        self._next.accepted_count += counts[Verdict.ACCEPTED]
        self._next.duplicate_count += counts[Verdict.DUPLICATE]

    def _of_batch(self, number: int) -> MutableSequence[bulk_pb2.EventException]:
        """Return where the exceptions of a batch go in the next answer."""
        batches = self._next.exceptions
        if not batches or batches[-1].batch_number != number:
            batches.add(batch_number=number)
        return batches[-1].exceptions

    async def _send(self) -> None:
        answer, self._next, self._size = self._next, bulk_pb2.StreamEventsResponse(), 0
        answer.acked_through = self._through
        answer.ack_token = ack_token(self._newest)
        scope = asyncio.timeout(self._seconds_max)
        try:
            async with scope:
                await self._write(answer)
        except TimeoutError as error:
            if not scope.expired():
                raise
            problem = f"an answer waited for {self._seconds_max:g} s: read them as they come"
            raise AnswersUnread(problem) from error
