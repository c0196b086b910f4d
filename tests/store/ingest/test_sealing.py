"""Sealing on a real database: each event once, numbers without gaps, whatever runs beside it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from sqlalchemy import text

from libs import db
from libs.driver import driver
from libs.errors import Unavailable
from services.ingest.domain.verdicts import find_identities
from services.ingest.operations.metrics import KEY_RACES
from services.ingest.operations.sealing import SHARD, Sealed
from services.ingest.store import keys, segments
from tests.store.ingest.conftest import Log, trusting
from tests.unit.ingest.events import OTHER_TENANT, TENANT, event, read, submission
from tests.wait import until

SEALERS = 3
GROUPS = 8


def verdicts(sealed: Sealed) -> list[list[str]]:
    return [[judged.verdict.value for judged in request] for request in sealed.decision.judgements]


async def test_a_group_becomes_one_segment_with_a_slice_a_partition(log: Log) -> None:
    sent = [event(f"e{n}", customer_id=f"c{n}") for n in range(50)]
    sealed = await log.seal(submission(*sent[:20]), submission(*sent[20:], tenant=OTHER_TENANT))
    assert sealed.number == 1
    assert [logged.event for logged in await log.events()] == sent
    [(event_count, traceparent)] = await log.fetch("SELECT event_count, traceparent FROM segment")
    assert (event_count, traceparent) == (50, "")
    slices = await log.fetch(
        "SELECT partition, previous_number, event_count, tenants FROM slice ORDER BY partition"
    )
    assert [row[0] for row in slices] == [0, 1, 2, 3]
    assert sum(row[2] for row in slices) == 50
    assert all(row[1] == 0 and row[3] == [TENANT, OTHER_TENANT] for row in slices)


async def test_a_repeat_is_a_duplicate_of_its_segment_and_takes_no_number(log: Log) -> None:
    """As after an UNAVAILABLE: the group may have been committed, and is sent again."""
    await log.seal(submission(event("a")))
    await log.seal(submission(event("b")))
    again = await log.seal(submission(event("b"), event("a")))
    assert verdicts(again) == [["DUPLICATE", "DUPLICATE"]]
    assert [judged.number for judged in again.decision.judgements[0]] == [2, 1]
    assert again.number == 0
    assert await log.fetch("SELECT number FROM shard") == [(2,)]


async def test_a_conflict_is_kept_and_a_repeat_of_it_counts_up(log: Log) -> None:
    await log.seal(submission(event("a")))
    other = event("a", type="other")
    for _ in range(3):
        assert verdicts(await log.seal(submission(other))) == [["CONFLICT"]]
    await log.seal(submission(event(""), event("")))
    rows = await log.fetch("SELECT reason, field, times_sent FROM rejected_event ORDER BY reason")
    assert rows == [("CONFLICT", "id", 3), ("ID_MISSING", "id", 2)]
    assert [logged.event.type for logged in await log.events()] == ["api_call"]


async def test_slices_form_a_chain_without_the_segments_that_pass_by(log: Log) -> None:
    customers = ["acme", "bob", "acme", "carol", "acme", "bob"]
    for place, customer in enumerate(customers):
        await log.seal(submission(event(f"e{place}", customer_id=customer)))
    chains: dict[int, list[tuple[int, int]]] = {}
    for partition, previous, number in await log.fetch(
        "SELECT partition, previous_number, number FROM slice ORDER BY number"
    ):
        chains.setdefault(partition, []).append((previous, number))
    for chain in chains.values():
        assert [previous for previous, _ in chain] == [0, *(number for _, number in chain[:-1])]
    assert sorted(number for chain in chains.values() for _, number in chain) == [1, 2, 3, 4, 5, 6]


async def test_a_stored_key_that_did_not_come_of_late_is_a_duplicate_all_the_same(
    log: Log,
) -> None:
    await log.seal(submission(event("a"), event("b")))
    other = replace(log, in_flight=trusting())
    again = await other.seal(submission(event("a"), event("b", type="other"), event("new")))
    assert verdicts(again) == [["DUPLICATE", "CONFLICT", "ACCEPTED"]]
    assert await log.ids() == ["a", "b", "new"]
    assert other.in_flight.recent.in_doubt, "others like it may be on their way"


async def test_a_group_waits_for_an_earlier_one_of_this_process_that_has_a_key_of_it(
    log: Log,
) -> None:
    races = KEY_RACES._value.get()
    groups = [[event(f"e{n}") for n in range(first, first + 200)] for first in range(0, 900, 100)]
    sealed = await asyncio.gather(*(log.seal(submission(*group)) for group in groups))
    assert KEY_RACES._value.get() == races
    accepted = [judged for one in sealed for judged in verdicts(one)[0] if judged == "ACCEPTED"]
    assert len(accepted) == len(await log.ids()) == 1_000


async def test_a_key_stored_between_probe_and_insert_is_found_by_the_next_probe(log: Log) -> None:
    """The other transaction holds the key while ours probes, so that COPY has to wait for it."""
    async with db.begin_worker(log.worker) as other:
        opened = await segments.open_segment(other, SHARD, alone=False)
        theirs = read(submission(event("a")))
        assert await keys.insert_keys(other, theirs, np.array([0]), opened.segment_id)
        ours = asyncio.create_task(log.seal(submission(event("a", type="ours"), event("b"))))
        await until(partial(someone_waits, log), describe="our COPY to wait for the key")
        await log.append(other, opened, event("a"))
    sealed = await ours
    assert verdicts(sealed) == [["CONFLICT", "ACCEPTED"]]
    assert sealed.number == 2


async def test_keys_are_inserted_in_their_order_so_that_no_two_sealers_deadlock(log: Log) -> None:
    """Ours waits for the other's lower key, and must not hold the higher one already."""
    sent = [event("a"), event("b")]
    both = read(submission(*sent))
    low, high = find_identities(both).distinct.tolist()
    async with db.begin_worker(log.worker) as other:
        opened = await segments.open_segment(other, SHARD, alone=False)
        assert await keys.insert_keys(other, both, np.array([low]), opened.segment_id)
        ours = asyncio.create_task(log.seal(submission(sent[high], sent[low])))
        await until(partial(someone_waits, log), describe="our COPY to wait for the key")
        assert await keys.insert_keys(other, both, np.array([high]), opened.segment_id)
        await other.rollback()
    assert verdicts(await ours) == [["ACCEPTED", "ACCEPTED"]]


async def test_a_lost_connection_is_unavailable_and_leaves_nothing(log: Log) -> None:
    killing = "SELECT pg_terminate_backend(pg_backend_pid())"
    with pytest.raises(Unavailable):
        async with db.begin_worker(log.worker) as conn:
            await segments.open_segment(conn, SHARD, alone=False)
            async with driver(conn) as raw:
                await raw.execute(killing)
    assert await log.fetch("SELECT number FROM shard") == [(0,)]
    assert (await log.seal(submission(event("a")))).number == 1


async def test_the_chain_and_the_numbers_are_guarded_by_the_database(log: Log) -> None:
    await log.seal(submission(event("a")))
    fork = (
        "INSERT INTO slice SELECT shard, partition, number + 1, 0, 1, time_min, time_max, 0,"
        " tenants, content FROM slice"
    )
    for statement in (fork, "UPDATE shard SET number = -1", "UPDATE event_key SET key = 'x'"):
        with pytest.raises(Exception, match="violates"):
            await log.execute(statement)


async def test_tenants_see_their_own_keys_only(log: Log) -> None:
    await log.seal(submission(event("a"), event("")), submission(event("a"), tenant=OTHER_TENANT))
    for tenant, rejected in ((TENANT, 1), (OTHER_TENANT, 0)):
        async with db.begin(log.app, tenant) as conn:
            seen = await conn.execute(text("SELECT tenant FROM event_key"))
            assert seen.scalars().all() == [tenant]
            found = await conn.execute(text("SELECT count(*) FROM rejected_event"))
            assert found.scalar_one() == rejected


async def someone_waits(log: Log) -> bool:
    """Tell whether a transaction waits for another one in this database."""
    [(waiting,)] = await log.fetch(
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE NOT l.granted AND a.datname = current_database()"
    )
    return bool(waiting)
