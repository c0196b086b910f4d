"""Amending and retracting events on a real database."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from itertools import product
from typing import Any
from uuid import uuid4

import pytest
import zstandard

from libs.requests import Request
from libs.tenant import Tenant
from services.ingest.domain.columns import Selection
from services.ingest.domain.event import Event, EventNotFound
from services.ingest.domain.number import Number
from services.ingest.domain.version import EventRetracted, RuleBroken
from services.ingest.operations import reading
from services.ingest.operations.correcting import Corrector, Identity
from services.ingest.operations.reading import AsOf, EventPage, get_event, list_events, log_range
from tally.ingest.v1 import segment_pb2
from tests.store.ingest.conftest import Log
from tests.store.ingest.test_sealing import verdicts
from tests.unit.ingest.events import (
    NOW,
    OTHER_TENANT,
    SECOND,
    SECRET,
    TENANT,
    event,
    submission,
)

HOUR = 3_600 * SECOND
# Of four partitions these customers fall on different ones.
ACME, BLUE = "acme", "c1"


class Corrections:
    """Corrections of events in a log, and what is read of them."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.commits = 0
        topology = replace(log.topology, key_secret=SECRET)
        self.corrector = Corrector(log.worker, log.clock, topology, self._commit)

    def _commit(self) -> None:
        self.commits += 1

    async def amend(self, to: Event, *, request: Request | None = None, **of: Any) -> Any:
        return await self.corrector.amend(request or a_request(), submission(to, **of))

    async def retract(
        self, event_id: str, *, tenant: Tenant = TENANT, request: Request | None = None
    ) -> Any:
        identity = Identity(tenant, "", event_id)
        return await self.corrector.retract(request or a_request(), identity)

    async def get(self, event_id: str) -> Any:
        return await get_event(
            self.log.app, TENANT, source="", event_id=event_id, key_secret=SECRET
        )

    async def pages(
        self, *, size: int = 100, as_of: int = 0, retracted: bool = False, **choice: Any
    ) -> list[Event]:
        """Return the events that `choice` chooses, read in pages of `size`."""
        where = log_range(TENANT, partition=None, start=None, end=None)
        found: list[Event] = []
        page = EventPage([], None)
        while True:
            page = await list_events(
                self.log.app,
                where,
                Selection(TENANT, **choice),
                page_size=size,
                after=page.resume,
                as_of=AsOf(as_of, include_retracted=retracted),
            )
            found += [one.logged.event for one in page.events]
            if page.resume is None:
                return found

    async def slices(self) -> list[segment_pb2.SliceContent]:
        """Return the slices of the newest segment."""
        rows = await self.log.fetch(
            "SELECT content FROM slice WHERE number = (SELECT number FROM shard) ORDER BY partition"
        )
        unpack = zstandard.ZstdDecompressor().decompress
        return [segment_pb2.SliceContent.FromString(unpack(row[0])) for row in rows]


@pytest.fixture
def corrections(log: Log) -> Corrections:
    return Corrections(log)


def time_of(sent: Event) -> int:
    assert isinstance(sent.time, int)
    return sent.time


def a_request() -> Request:
    return Request("test", uuid4(), b"")


async def test_an_amended_event_keeps_its_place_and_has_its_new_content(
    log: Log, corrections: Corrections
) -> None:
    await log.seal(submission(event("a"), event("b"), event("c")))
    new = event("b", properties={"tokens": Number(2, 0)}, time=NOW - HOUR, type="other")
    answer = await corrections.amend(new)
    assert (answer.event.version, answer.event.position.index) == (2, 1)
    assert corrections.commits == 1
    assert await corrections.pages() == [event("a"), new, event("c")]
    found = await corrections.get("b")
    assert (found.logged.event, found.version) == (new, 2)
    assert found.corrected_at == log.clock.now()
    assert (await corrections.get("a")).version == 1


async def test_an_event_without_a_time_keeps_that_of_its_receipt(
    log: Log, corrections: Corrections
) -> None:
    await log.seal(submission(event("a", time=None), received=NOW - HOUR))
    answer = await corrections.amend(event("a", time=None, type="other"))
    assert answer.event.event.time.seconds * SECOND == NOW - HOUR


async def test_a_retracted_event_is_no_longer_listed_and_still_found(
    log: Log, corrections: Corrections
) -> None:
    await log.seal(submission(event("a"), event("b")))
    assert (await corrections.retract("a")).event.retracted
    assert await corrections.pages() == [event("b")]
    assert await corrections.pages(retracted=True) == [event("a"), event("b")]
    found = await corrections.get("a")
    assert (found.logged.event, found.version, found.retracted) == (event("a"), 2, True)
    again = await corrections.retract("a")
    assert again.event.version == 2, "nothing was left to retract"
    with pytest.raises(EventRetracted):
        await corrections.amend(event("a", type="other"))


async def test_every_version_is_a_duplicate_and_all_else_a_conflict(
    log: Log, corrections: Corrections
) -> None:
    first, second, third = (event("a", type=kind) for kind in ("one", "two", "three"))
    await log.seal(submission(first))
    await corrections.amend(second)
    await corrections.amend(third)
    await corrections.retract("a")
    sent = [first, second, third, event("a", type="four"), event("new")]
    sealed = await log.seal(submission(*sent))
    assert verdicts(sealed) == [["DUPLICATE", "DUPLICATE", "DUPLICATE", "CONFLICT", "ACCEPTED"]]
    sealed = await log.seal(submission(second, tenant=OTHER_TENANT))
    assert verdicts(sealed) == [["ACCEPTED"]]


async def test_the_same_content_changes_nothing(log: Log, corrections: Corrections) -> None:
    await log.seal(submission(event("a")))
    answer = await corrections.amend(event("a"))
    assert answer.event.version == 1
    await corrections.amend(event("a", type="other"))
    answer = await corrections.amend(event("a", type="other"))
    assert answer.event.version == 2
    assert await log.fetch("SELECT number FROM shard") == [(2,)]
    answer = await corrections.amend(event("a"))
    assert answer.event.version == 3, "back to what it was is a correction too"
    assert await corrections.pages() == [event("a")]


async def test_a_repeated_request_gets_its_first_answer(log: Log, corrections: Corrections) -> None:
    await log.seal(submission(event("a"), event("b")))
    amending, retracting = a_request(), a_request()
    first = await corrections.amend(event("a", type="other"), request=amending)
    await corrections.amend(event("a", type="third"))
    assert await corrections.amend(event("a", type="other"), request=amending) == first
    assert [one.type for one in await corrections.pages()] == ["third", "api_call"]
    taken = await corrections.retract("b", request=retracting)
    assert await corrections.retract("b", request=retracting) == taken


async def test_what_is_not_stored_or_breaks_a_rule_is_refused(
    log: Log, corrections: Corrections
) -> None:
    await log.seal(submission(event("a")))
    with pytest.raises(EventNotFound):
        await corrections.amend(event("b"))
    with pytest.raises(EventNotFound):
        await corrections.retract("a", tenant=OTHER_TENANT)
    with pytest.raises(RuleBroken) as broken:
        await corrections.amend(event("a", time=NOW + 2 * HOUR))
    assert broken.value.field == "event.time"
    assert broken.value.metadata == {"rejection_reason": "TIME_TOO_NEW"}
    assert await corrections.pages() == [event("a")]


async def test_each_partition_is_told_what_it_loses_and_gains(
    log: Log, corrections: Corrections
) -> None:
    await log.seal(submission(event("a", customer_id=ACME)))
    await corrections.amend(event("a", customer_id=BLUE, time=NOW - HOUR))
    told = [content.corrections[0] for content in await corrections.slices()]
    [loses] = [one for one in told if one.HasField("removed")]
    [gains] = [one for one in told if one.HasField("added")]
    assert loses is not gains
    assert (loses.removed.customer_id, loses.removed.time.seconds * SECOND) == (ACME, NOW)
    assert gains.added.event.customer_id == BLUE
    assert gains.added.event.time.seconds * SECOND == NOW - HOUR
    assert all((one.tenant, one.position.number, one.version) == (TENANT, 1, 2) for one in told)
    await corrections.retract("a")
    [content] = await corrections.slices()
    assert content.corrections[0].removed.customer_id == BLUE
    assert not content.corrections[0].HasField("added")


async def test_the_chain_of_slices_goes_through_corrections(
    log: Log, corrections: Corrections
) -> None:
    await log.seal(submission(event("a", customer_id=ACME)))
    await corrections.amend(event("a", customer_id=ACME, type="other"))
    await log.seal(submission(event("b", customer_id=ACME)))
    assert await log.fetch(
        "SELECT number, previous_number, event_count, correction_count FROM slice ORDER BY number"
    ) == [(1, 0, 1, 0), (2, 1, 0, 1), (3, 2, 1, 0)]


async def test_the_log_can_be_read_as_it_was_corrected_up_to_a_number(
    log: Log, corrections: Corrections
) -> None:
    await log.seal(submission(event("a"), event("b")))  # 1
    await corrections.amend(event("a", type="two"))  # 2
    await corrections.amend(event("a", type="three"))  # 3
    await corrections.retract("b")  # 4
    types = [[one.type for one in await corrections.pages(as_of=number)] for number in range(1, 5)]
    assert types == [["api_call"] * 2, ["two", "api_call"], ["three", "api_call"], ["three"]]


async def test_corrected_events_are_chosen_by_what_they_are_now(
    log: Log, corrections: Corrections
) -> None:
    await log.seal(submission(*(event(f"e{n}", customer_id=ACME) for n in range(6))))
    await log.seal(submission(event("late", customer_id=BLUE)))
    moved = event("e2", customer_id=BLUE)
    await corrections.amend(moved)
    await corrections.amend(event("e4", customer_id=ACME, time=NOW - HOUR))
    assert [one.id for one in await corrections.pages(customer_id=BLUE)] == ["e2", "late"]
    ids = [one.id for one in await corrections.pages(customer_id=ACME, size=2)]
    assert ids == ["e0", "e1", "e3", "e4", "e5"]
    assert [one.id for one in await corrections.pages(end=NOW, size=1)] == ["e4"]
    assert [one.id for one in await corrections.pages(size=1, start=NOW)] == [
        "e0",
        "e1",
        "e2",
        "e3",
        "e5",
        "late",
    ]


Versions = dict[str, list[tuple[int, Event | None]]]  # By id, with the number of their segments.


async def corrected_at_random(seed: int, log: Log, corrections: Corrections) -> Versions:
    """Record and correct events, a segment each time; return all versions, None for a retracted."""
    chance = random.Random(seed)
    versions: Versions = {}

    def made(event_id: str) -> Event:
        time = NOW - chance.randrange(5) * HOUR
        kind = f"kind {chance.random()}"
        return event(event_id, customer_id=chance.choice((ACME, BLUE)), time=time, type=kind)

    for number in range(1, 31):
        live = [event_id for event_id, known in versions.items() if known[-1][1] is not None]
        match chance.randrange(4):
            case 0 if live:
                amended = made(chance.choice(live))
                await corrections.amend(amended)
                versions[amended.id].append((number, amended))
            case 1 if live:
                event_id = chance.choice(live)
                await corrections.retract(event_id)
                versions[event_id].append((number, None))
            case _:
                fresh = [made(f"{number}-{n}") for n in range(chance.randrange(1, 4))]
                await log.seal(submission(*fresh))
                versions |= {one.id: [(number, one)] for one in fresh}
    return versions


@pytest.mark.parametrize("seed", range(2))
async def test_reads_are_of_the_versions_asked_for_in_pages_of_any_size(
    seed: int, log: Log, corrections: Corrections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "VERSIONS_AT_ONCE", 2)
    versions = await corrected_at_random(seed, log, corrections)
    choices: list[dict[str, Any]] = [{}, {"customer_id": ACME}, {"start": NOW - HOUR, "end": NOW}]
    for choice, number, size in product(choices, (15, 0), (2, 100)):
        # What was recorded later is there as it was recorded.
        current = [
            ([one for at, one in known if at <= (number or 30)] or [known[0][1]])[-1]
            for known in versions.values()
        ]
        chosen = Selection(TENANT, **choice)
        assert await corrections.pages(size=size, as_of=number, **choice) == [
            one for one in current if one is not None and chosen.chooses(one, time_of(one))
        ]


async def test_of_two_amendments_at_once_one_follows_the_other(log: Log) -> None:
    await log.seal(submission(event("a")))
    beside = [Corrections(log), Corrections(log)]  # As in two processes.
    kinds = [f"k{n}" for n in range(6)]
    answers = await asyncio.gather(
        *(beside[n % 2].amend(event("a", type=kind)) for n, kind in enumerate(kinds))
    )
    assert sorted(one.event.version for one in answers) == [2, 3, 4, 5, 6, 7]
    last = max(answers, key=lambda one: one.event.version)
    assert [one.type for one in await beside[0].pages()] == [last.event.event.type]
    rows = await log.fetch("SELECT number, superseded_number FROM event_version ORDER BY version")
    assert rows == [(n, n + 1 if n < 7 else None) for n in range(2, 8)]
    sealed = await log.seal(submission(*(event("a", type=kind) for kind in kinds)))
    assert set(verdicts(sealed)[0]) == {"DUPLICATE"}
