"""What rating asks: heads that are final, slices in order, and a division that never changes."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from libs import db
from services.ingest.operations.heads import check_idle, load_heads, load_slices
from services.ingest.operations.recording import Recorder
from services.ingest.operations.settings import LimitsCache, TopologyChanged, open_topology
from services.ingest.store import segments
from tests.store.ingest.conftest import Log
from tests.unit.ingest.events import OTHER_TENANT, TENANT, event, submission
from tests.wait import until


async def test_heads_name_the_newest_segment_and_slices(log: Log) -> None:
    [empty] = await load_heads(log.worker, log.clock, [0])
    assert (empty.number, list(empty.slice_numbers)) == (0, [0, 0, 0, 0])
    assert empty.through == log.clock.instant
    for customer in ("acme", "bob", "acme"):
        await log.seal(submission(event(customer + str(empty.number), customer_id=customer)))
        log.clock.instant += timedelta(seconds=1)
    slices = await log.fetch("SELECT partition, max(number) FROM slice GROUP BY partition")
    [head] = await load_heads(log.worker, log.clock, [0])
    assert head.number == 2  # The third is a repeat of the first.
    assert {p: n for p, n in enumerate(head.slice_numbers) if n} == dict(slices)
    assert head.through == log.clock.instant


async def test_through_goes_back_with_the_clock(log: Log) -> None:
    """Else a day's events would be acknowledged behind it, and periods announced without them."""
    await load_heads(log.worker, log.clock, [0])
    log.clock.instant -= timedelta(days=1)
    [head] = await load_heads(log.worker, log.clock, [0])
    assert head.through == log.clock.instant


async def test_heads_wait_for_a_segment_that_is_being_committed(log: Log) -> None:
    """Its requests may be answered before `through`, so it must be below the head."""
    async with db.begin_worker(log.worker) as sealing:
        opened = await segments.open_segment(sealing, 0, alone=False)
        await log.append(sealing, opened, event("a"))
        asking = asyncio.create_task(load_heads(log.worker, log.clock, [0]))
        await until(lambda: _waits(log), describe="GetHeads to wait for the shard's row")
        assert not asking.done()
    [head] = await asking
    assert head.number == 1


async def test_slices_of_a_partition_come_in_order_after_a_number(log: Log) -> None:
    for number in range(5):
        await log.seal(submission(event(f"e{number}")))
    [(partition,)] = await log.fetch("SELECT DISTINCT partition FROM slice")
    slices = await load_slices(log.worker, shard=0, partition=partition, after=2)
    assert [(one.previous_number, one.number) for one in slices] == [(2, 3), (3, 4), (4, 5)]
    assert [one.event_count for one in slices] == [1, 1, 1]
    assert not await load_slices(log.worker, shard=0, partition=partition, after=5)


async def test_what_is_read_at_once_is_bounded_and_never_nothing(log: Log) -> None:
    for number in range(3):
        await log.seal(submission(event(f"e{number}")))
    [(partition,)] = await log.fetch("SELECT DISTINCT partition FROM slice")
    async with db.begin_worker(log.worker) as conn:
        one = await segments.find_slices(conn, 0, partition, after=0, bytes_max=1)
        size = len(one[0].content)
        two = await segments.find_slices(conn, 0, partition, after=0, bytes_max=2 * size + 10)
    assert [part.number for part in one] == [1]
    assert [part.number for part in two] == [1, 2]


async def test_the_division_of_the_log_is_fixed_by_the_first_start(log: Log) -> None:
    assert await open_topology(log.worker, partitions=4) == log.topology
    with pytest.raises(TopologyChanged, match="1 shards and 4 partitions"):
        await open_topology(log.worker, partitions=8)


async def test_a_tenant_may_have_limits_of_its_own(log: Log) -> None:
    await log.execute("INSERT INTO tenant_limits (tenant, events_max) VALUES (1, 5)")
    cache = LimitsCache(log.app)
    own = await cache.load(TENANT)
    assert (own.events_max, own.properties_max) == (5, 64)
    assert (await cache.load(OTHER_TENANT)).events_max == 10_000


async def test_ingest_is_busy_while_segments_are_not_published(log: Log) -> None:
    recorder, keeper = Recorder(log.worker, log.clock, lambda: None), log.keeper()
    idle = await check_idle(log.worker, recorder, keeper)
    assert idle.busy == []
    await recorder.record(submission(event("a")))
    busy = await check_idle(log.worker, recorder, keeper)
    assert busy.busy == ["1 segments are not published"]
    assert busy.marks["number"] == 1 and busy.marks != idle.marks


async def _waits(log: Log) -> bool:
    rows = await log.fetch(
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'"
    )
    return bool(rows)
