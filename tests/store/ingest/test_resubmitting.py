"""Rejected events are recorded again, and those that are stored are no longer listed."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from services.ingest.operations.reading import list_rejected
from services.ingest.operations.recording import Recorded, Recorder
from services.ingest.operations.resubmitting import load_contents, mark
from services.ingest.store.rejected import RejectedEventNotFound, RejectedPage
from tally.ingest.v1.event_pb2 import Event as EventMessage
from tests.store.ingest.conftest import Log
from tests.unit.ingest.events import NOW, OTHER_TENANT, SECOND, TENANT, event, sent_as, submission

AHEAD = event("a", time=NOW + 7_200 * SECOND)


async def listed(log: Log) -> list[tuple[UUID, int]]:
    """Return the ids of the rejected events, and how often they were sent."""
    page = RejectedPage("", "", None, 100, 1_000_000)
    found, _ = await list_rejected(log.app, TENANT, page)
    return [(one.rejected_event_id, one.times_sent) for one in found]


async def resubmit(log: Log, rejected_id: UUID, *, received: int) -> Recorded:
    contents = await load_contents(log.app, TENANT, [rejected_id])
    messages = [EventMessage.FromString(contents[rejected_id])]
    recorder = Recorder(log.worker, log.clock, lambda: None)
    recorded = await recorder.record(sent_as(messages, received=received))
    await mark(log.app, TENANT, [rejected_id], recorded, now=log.clock.now())
    return recorded


async def test_what_is_stored_after_all_is_no_longer_listed(log: Log) -> None:
    await log.seal(submission(AHEAD))
    [(rejected_id, _)] = await listed(log)
    again = await resubmit(log, rejected_id, received=NOW)
    assert [one.verdict.value for one in again.judgements] == ["REJECTED"]
    assert await listed(log) == [(rejected_id, 2)]
    for verdict in ("ACCEPTED", "DUPLICATE"):  # A repeat of the request is harmless.
        again = await resubmit(log, rejected_id, received=NOW + 7_200 * SECOND)
        assert [one.verdict.value for one in again.judgements] == [verdict]
        assert await listed(log) == []
    assert [one.event for one in await log.events()] == [AHEAD]


async def test_what_is_rejected_anew_is_listed_anew(log: Log) -> None:
    bad = event("a", type="")
    await log.seal(submission(bad))
    [(rejected_id, _)] = await listed(log)
    good = await Recorder(log.worker, log.clock, lambda: None).record(submission(event("a")))
    await mark(log.app, TENANT, [rejected_id], good, now=log.clock.now())
    assert await listed(log) == []
    await log.seal(submission(bad))
    assert await listed(log) == [(rejected_id, 2)]


async def test_an_unknown_rejected_event_is_refused(log: Log) -> None:
    await log.seal(submission(event("a", type=""), tenant=OTHER_TENANT))
    [(theirs,)] = await log.fetch("SELECT rejected_event_id FROM rejected_event")
    for unknown in (uuid4(), theirs):
        with pytest.raises(RejectedEventNotFound):
            await load_contents(log.app, TENANT, [unknown])
