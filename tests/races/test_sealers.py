"""Sealers on overlapping events: each key once, numbers without gaps, every verdict right."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from services.ingest.domain.columns import decode
from services.ingest.domain.event import Event
from services.ingest.domain.verdicts import Judgement, Verdict
from services.ingest.store.slice_content import unpack_content
from tests.store.ingest.conftest import Log, trusting
from tests.unit.ingest.events import event, ids, submission

SEALERS = 4
ROUNDS = 3
KEYS, SENT = 1_000, 700  # In a round each sends most of the keys, in an order of its own,
CONTENTS = ("call", "other")  # with one content or the other: what comes first is stored.

Answer = tuple[Event, Judgement]


async def test_sealers_on_overlapping_events_store_each_once_and_judge_all_rightly(
    log: Log,
) -> None:
    """A deadlock would be Unavailable, and fail the test as any exception does."""
    barrier = asyncio.Barrier(SEALERS)
    logs = [replace(log, in_flight=trusting()) for _ in range(SEALERS)]  # As of many processes.
    by_sealer = await asyncio.gather(*(sealer(own, seed, barrier) for seed, own in enumerate(logs)))
    answers = [one for many in by_sealer for one in many]
    stored = await load_stored(log)
    for sent, judged in answers:
        content, number = stored[sent.id]
        if sent.type != content:
            assert judged.verdict is Verdict.CONFLICT, sent
        elif judged.verdict is not Verdict.ACCEPTED:
            assert judged.verdict is Verdict.DUPLICATE, sent
            assert judged.number in (0, number), "0: of the same group"
    accepted = Counter(sent.id for sent, judged in answers if judged.verdict is Verdict.ACCEPTED)
    assert accepted == Counter(stored.keys()) == Counter({sent.id for sent, _ in answers})
    met = Counter(judged.verdict for _, judged in answers)
    assert met[Verdict.DUPLICATE] and met[Verdict.CONFLICT], "they did not overlap"


async def sealer(log: Log, seed: int, barrier: asyncio.Barrier) -> Sequence[Answer]:
    """Seal groups of two requests, each while the others seal theirs; return all verdicts."""
    shuffled = random.Random(seed)
    answers: list[Answer] = []
    for place in range(ROUNDS):
        names = ids(KEYS, prefix=f"{place}-")
        sent = [event(one, type=shuffled.choice(CONTENTS)) for one in shuffled.sample(names, SENT)]
        requests = (sent[: SENT // 2], sent[SENT // 2 :])
        await barrier.wait()
        sealed = await log.seal(*(submission(*request) for request in requests))
        for request, judgements in zip(requests, sealed.decision.judgements, strict=True):
            answers += zip(request, judgements, strict=True)
    return answers


async def load_stored(log: Log) -> dict[str, tuple[str, int]]:
    """Return what the log holds, content and segment by id; check that it holds it once."""
    rows = await log.fetch("SELECT number, content FROM slice")
    events = [
        (number, logged.event)
        for number, content in rows
        for logged in decode(unpack_content(content))
    ]
    stored = {one.id: (one.type, number) for number, one in events}
    assert len(stored) == len(events), "an event is in the log twice"
    assert await log.fetch("SELECT count(*) FROM event_key") == [(len(stored),)]
    numbers = [number for (number,) in await log.fetch("SELECT number FROM segment ORDER BY 1")]
    assert numbers == list(range(1, len(numbers) + 1))
    assert await log.fetch("SELECT number FROM shard") == [(len(numbers),)]
    chain = "SELECT partition, previous_number, number FROM slice ORDER BY partition, number"
    for (one, _, number), (next_one, previous, _) in pairwise(await log.fetch(chain)):
        assert previous == (number if next_one == one else 0)
    return stored
