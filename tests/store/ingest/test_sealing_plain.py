"""Small groups of good events are sealed in fewer statements, to the same end."""

from __future__ import annotations

import random

import pytest

from libs.tenant import Tenant
from services.ingest.domain.candidates import Submission
from services.ingest.domain.verdicts import Judgement, Verdict
from services.ingest.operations.sealing import SHARD, Sealed, _read_group, _seal, encode_slices
from services.ingest.operations.sealing_plain import (
    PLAIN_EVENTS_MAX,
    NotPlain,
    may_be_plain,
    seal_plain,
)
from tests.store.ingest.conftest import Log
from tests.unit.ingest.events import OTHER_TENANT, TENANT, event, submission

ROUNDS = 30


async def plain(log: Log, *group: Submission) -> Sealed:
    """Seal in the plain way, or not at all."""
    read = _read_group(group, log.in_flight.recent)
    if not may_be_plain(read.candidates):
        raise NotPlain
    arguments = (SHARD, group, read.candidates, read.identities, encode_slices)
    return Sealed(*await seal_plain(log.worker, log.clock, *arguments))


async def general(log: Log, *group: Submission) -> Sealed:
    return await _seal(log.worker, log.clock, _read_group(group, log.in_flight.recent), alone=False)


def verdicts(sealed: Sealed) -> list[list[Judgement]]:
    return [list(judgements) for judgements in sealed.decision.judgements]


def request(shuffled: random.Random, tenant: Tenant) -> Submission:
    """Return a request of a few events, some of which were sent before, or are bad."""
    events = [
        event(
            f"e{shuffled.randrange(40)}" if shuffled.random() < 0.95 else "",
            type=shuffled.choice(["call"] * 30 + ["other"]),
            customer_id=f"c{shuffled.randrange(5)}",
        )
        for _ in range(shuffled.randint(1, 3))
    ]
    return submission(*events, tenant=tenant, atomic=shuffled.random() < 0.3)


async def test_both_ways_give_the_same_verdicts_and_the_same_log(log: Log) -> None:
    """Each tenant sends the same; of one all is sealed in the general way."""
    met = set()
    for seed in range(ROUNDS):
        sealed = await log.seal(*requests(seed, TENANT))
        other = await general(log, *requests(seed, OTHER_TENANT))
        assert [without_numbers(one) for one in verdicts(sealed)] == [
            without_numbers(one) for one in verdicts(other)
        ]
        assert (sealed.number > 0) == (other.number > 0)
        met |= {judged.verdict for one in verdicts(sealed) for judged in one}
    assert met == set(Verdict), "not everything was met"
    events = await log.events()
    stored = [
        [(one.event, one.received) for one in events if one.tenant == tenant]
        for tenant in (TENANT, OTHER_TENANT)
    ]
    assert stored[0] == stored[1]
    keys = "SELECT key, digest FROM event_key WHERE tenant = :tenant ORDER BY key"
    assert await log.fetch(keys, tenant=TENANT) == await log.fetch(keys, tenant=OTHER_TENANT)
    chains = "SELECT partition, previous_number, number FROM slice ORDER BY partition, number"
    newest: dict[int, int] = {}
    for partition, previous, number in await log.fetch(chains):
        assert previous == newest.get(partition, 0)
        newest[partition] = number


def requests(seed: int, tenant: Tenant) -> list[Submission]:
    shuffled = random.Random(seed)
    return [request(shuffled, tenant) for _ in range(shuffled.randint(1, 4))]


def without_numbers(judged: list[Judgement]) -> list[tuple[Verdict, object]]:
    return [(one.verdict, one.rejection) for one in judged]


async def test_a_repeat_is_plain_and_names_the_segment_of_the_first(log: Log) -> None:
    await log.seal(submission(event("a")))
    sealed = await plain(log, submission(event("b")), submission(event("a"), event("b")))
    assert sealed.number == 2
    assert [(one.verdict, one.number) for one in sealed.decision.judgements[1]] == [
        (Verdict.DUPLICATE, 1),
        (Verdict.DUPLICATE, 0),
    ]
    again = await plain(log, submission(event("a"), event("b")))
    assert [(one.verdict, one.number) for one in again.decision.judgements[0]] == [
        (Verdict.DUPLICATE, 1),
        (Verdict.DUPLICATE, 2),
    ]
    assert again.number == 0 and await log.ids() == ["a", "b"]


@pytest.mark.parametrize(
    "group",
    [
        [submission(event("new"), event(""))],
        [submission(event("new"), event("a", type="other"))],
        [submission(event("new")), submission(event("new", type="other"))],
        [submission(event("new"), event("a", type="other"), atomic=True)],
        [submission(*(event(f"new{n}") for n in range(PLAIN_EVENTS_MAX + 1)))],
    ],
    ids=["bad", "conflict", "conflict within", "atomic", "many"],
)
async def test_of_what_is_not_plain_nothing_is_written(log: Log, group: list[Submission]) -> None:
    await log.seal(submission(event("a")))
    with pytest.raises(NotPlain):
        await plain(log, *group)
    assert await log.fetch("SELECT count(*) FROM event_key") == [(1,)]
    assert await log.fetch("SELECT number FROM shard") == [(1,)]
    assert await log.fetch("SELECT count(*) FROM rejected_event") == [(0,)]
