"""Acknowledgements of a stream: of bounded size, summed up, and not for who does not read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from services.ingest.api.streaming import Answers, AnswersUnread
from services.ingest.domain.validation import Reason, Rejection
from services.ingest.domain.verdicts import ACCEPTED, Judgement, Judgements, Verdict
from services.ingest.operations.messages import ack_token
from services.ingest.operations.recording import Recorded
from tally.ingest.v1.bulk_pb2 import StreamEventsResponse

ANSWER_BYTES_MAX = 1024 * 1024
DUPLICATE = Judgement(Verdict.DUPLICATE)
REJECTED = Judgement(Verdict.REJECTED, Rejection(Reason.CONFLICT, "id", "x" * 600))


async def answers_to(*calls: Sequence[Recorded]) -> list[StreamEventsResponse]:
    """Acknowledge batches, some at each call; return all answers."""
    written: list[StreamEventsResponse] = []

    async def write(answer: StreamEventsResponse) -> None:
        written.append(answer)

    answers = Answers(write)
    for batches in calls:
        await answers.acknowledge(batches)
    return written


def recorded(*judgements: Judgement, number: int = 1) -> Recorded:
    special = {index: one for index, one in enumerate(judgements) if one is not ACCEPTED}
    return Recorded(Judgements(len(judgements), ACCEPTED, special), 0, number)


async def test_one_answer_sums_up_all_batches_that_are_durable() -> None:
    first, second = await answers_to(
        [recorded(ACCEPTED, DUPLICATE), recorded(ACCEPTED, number=9)],
        [recorded(REJECTED, ACCEPTED, DUPLICATE, DUPLICATE, number=8)],
    )
    assert (first.acked_through, first.accepted_count, first.duplicate_count) == (2, 2, 1)
    assert (second.acked_through, second.accepted_count, second.duplicate_count) == (3, 1, 2)
    assert first.ack_token == second.ack_token == ack_token(9)
    assert not first.exceptions
    [of_batch] = second.exceptions
    assert (of_batch.batch_number, [one.index for one in of_batch.exceptions]) == (3, [0])


async def test_exceptions_are_spread_over_answers_and_the_last_one_acknowledges() -> None:
    sizes = [1_000, 4_000, 2]
    answers = await answers_to([recorded(*[REJECTED] * size, ACCEPTED) for size in sizes])
    assert all(answer.ByteSize() <= ANSWER_BYTES_MAX for answer in answers)
    found: dict[int, list[int]] = {1: [], 2: [], 3: []}
    for answer in answers:
        for of_batch in answer.exceptions:
            found[of_batch.batch_number] += [one.index for one in of_batch.exceptions]
        whole = [number for number in found if len(found[number]) == sizes[number - 1]]
        assert answer.acked_through == len(whole)
    assert found == {number: list(range(size)) for number, size in zip(found, sizes, strict=True)}
    assert sum(answer.accepted_count for answer in answers) == 3
    assert len(answers) == 4


async def test_a_caller_who_does_not_read_is_told_so_in_the_end() -> None:
    answers = Answers(lambda _: asyncio.get_running_loop().create_future(), seconds_max=0.02)
    with pytest.raises(AnswersUnread) as caught:
        await answers.acknowledge([recorded(ACCEPTED)])
    assert caught.value.reason == "ANSWERS_UNREAD"
