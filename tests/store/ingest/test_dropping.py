"""Months of the log go, whole and after they were exported; who asks for them is told so."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyarrow import parquet

from services.ingest.domain.columns import Selection
from services.ingest.domain.limits import Limits
from services.ingest.domain.number import Number
from services.ingest.domain.retention import EventTooOld, LogTrimmed, Month
from services.ingest.domain.version import Position
from services.ingest.operations import reading
from services.ingest.operations.exporting import NotExported, export_month
from services.ingest.operations.heads import check_idle, load_heads, load_slices
from services.ingest.operations.recording import Recorder
from services.ingest.store.trimming import Stretch
from tests.store.ingest.conftest import Log
from tests.store.ingest.retaining import DAY, LOG_DAYS, drained, keys, micros, published, seal
from tests.store.ingest.test_correcting import Corrections
from tests.unit.ingest.events import OTHER_TENANT, TENANT, event, submission

JANUARY, FEBRUARY = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
DUE = FEBRUARY + LOG_DAYS * DAY  # When January of 2026 is dropped.


async def two_months(log: Log) -> None:
    """Seal events in two months, and publish them; January is then due."""
    await seal(log, "first", "second")
    log.clock.instant = FEBRUARY - DAY
    await seal(log, "third", customer_id="bob")
    log.clock.instant = FEBRUARY
    await seal(log, "fourth", customer_id="carol")
    await published(log)
    log.clock.instant = DUE


async def listed(log: Log, *, start: datetime | None = None, tenant: int = TENANT) -> list[str]:
    where = reading.log_range(tenant, partition=None, start=start, end=None)  # type: ignore[arg-type]
    chosen = Selection(where.tenant, start=None if start is None else micros(start))
    page = await reading.list_events(log.app, where, chosen, page_size=100, after=None)
    return [found.logged.event.id for found in page.events]


async def test_a_month_goes_when_all_of_it_is_old_enough(log: Log) -> None:
    await two_months(log)
    log.clock.instant = DUE - DAY
    keeper = log.keeper(log_days=LOG_DAYS)
    await drained(keeper)
    assert len(await log.ids()) == 4
    log.clock.instant = DUE
    await drained(keeper)
    assert await log.ids() == ["fourth"]
    assert await log.fetch("SELECT number FROM segment") == [(3,)]
    assert await keys(log) == 0


async def test_what_is_not_published_yet_stays(log: Log) -> None:
    await two_months(log)
    await log.execute("UPDATE relay_position SET number = 1")
    await drained(log.keeper(log_days=LOG_DAYS))
    assert len(await log.ids()) == 4


async def test_an_event_dated_ahead_keeps_its_month(log: Log) -> None:
    ahead = Limits(max_ahead_seconds=90 * 86_400)
    sent = event("ahead", time=micros(JANUARY + 80 * DAY))
    await log.seal(submission(sent, limits=ahead))
    await published(log)
    log.clock.instant, keeper = DUE, log.keeper(log_days=LOG_DAYS)
    await drained(keeper)
    assert await log.ids() == ["ahead"]
    recorder = Recorder(log.worker, log.clock, lambda: None)
    assert (await check_idle(log.worker, recorder, keeper)).busy == []
    log.clock.instant = JANUARY + (80 + LOG_DAYS) * DAY
    await drained(keeper)
    assert await log.ids() == []


async def test_ingest_is_busy_until_what_is_due_is_dropped(log: Log) -> None:
    await two_months(log)
    keeper, recorder = (
        log.keeper(keys_days=0, log_days=LOG_DAYS),
        Recorder(log.worker, log.clock, lambda: None),
    )
    found = await check_idle(log.worker, recorder, keeper)
    assert found.busy == ["the log of 2026-01 is to be dropped"]
    assert found.next_due_at is None
    await drained(keeper)
    assert (await check_idle(log.worker, recorder, keeper)).busy == []


async def test_the_chains_go_on_where_all_older_slices_are_gone(log: Log) -> None:
    await two_months(log)
    before = [tuple(head.slice_numbers) for head in await load_heads(log.worker, log.clock, [0])]
    await log.execute("UPDATE segment SET sealed_at = :at", at=JANUARY)
    await drained(log.keeper(log_days=LOG_DAYS))
    assert await log.fetch("SELECT number FROM slice") == []
    after = [tuple(head.slice_numbers) for head in await load_heads(log.worker, log.clock, [0])]
    assert after == before
    newest = dict(await log.fetch("SELECT partition, number FROM trimmed_slice"))
    await seal(log, "fifth")
    [(partition, previous)] = await log.fetch("SELECT partition, previous_number FROM slice")
    assert previous == newest[partition] > 0


async def test_slices_that_are_gone_are_refused_and_the_others_given(log: Log) -> None:
    await two_months(log)
    await seal(log, "fifth")
    await drained(log.keeper(log_days=LOG_DAYS))
    [(acme, trimmed)] = await log.fetch(
        "SELECT partition, number FROM trimmed_slice WHERE number = 1"
    )
    for after in range(trimmed):
        with pytest.raises(LogTrimmed) as refused:
            await load_slices(log.worker, shard=0, partition=acme, after=after)
        assert refused.value.metadata == {"trimmed_number": "1", "after_number": str(after)}
        with pytest.raises(LogTrimmed):
            await load_slices(
                log.worker, shard=0, partition=acme, after=after, corrections_only=True
            )
    [slice_] = await load_slices(log.worker, shard=0, partition=acme, after=trimmed)
    assert (slice_.previous_number, slice_.number) == (1, 4)
    [(other,)] = await log.fetch("SELECT partition FROM slice WHERE number = 3")
    assert len(await load_slices(log.worker, shard=0, partition=other, after=0)) == 1


async def test_a_list_that_could_miss_what_is_gone_is_refused(log: Log) -> None:
    await seal(log, "theirs", tenant=OTHER_TENANT)
    await two_months(log)
    log.clock.instant = FEBRUARY + DAY
    await seal(log, "their own", tenant=OTHER_TENANT)
    await seal(log, "new here", tenant=3)
    await published(log)
    log.clock.instant = DUE
    await drained(log.keeper(log_days=LOG_DAYS))
    for start in (None, JANUARY, FEBRUARY - DAY):
        with pytest.raises(LogTrimmed) as refused:
            await listed(log, start=start)
        assert refused.value.metadata == {"time_max": "2026-01-31T00:00:00+00:00"}
    assert await listed(log, start=FEBRUARY - DAY / 2) == ["fourth"]
    assert await listed(log, start=JANUARY + DAY, tenant=OTHER_TENANT) == ["their own"]
    assert await listed(log, tenant=3) == ["new here"], "nothing of theirs is gone"


async def test_a_list_goes_on_only_behind_what_went_meanwhile(log: Log) -> None:
    await two_months(log)
    where = reading.log_range(TENANT, partition=None, start=None, end=None)
    page = await reading.list_events(log.app, where, Selection(TENANT), page_size=3, after=None)
    await drained(log.keeper(log_days=LOG_DAYS))
    assert page.resume is not None and page.resume.number == 2
    behind = Position(3, -1)
    for after, kept in ((page.resume, False), (behind, True)):
        reading_on = reading.list_events(
            log.app, where, Selection(TENANT), page_size=3, after=after
        )
        if kept:
            assert [found.logged.event.id for found in (await reading_on).events] == ["fourth"]
        else:
            with pytest.raises(LogTrimmed):
                await reading_on


async def test_an_event_that_is_gone_is_neither_shown_nor_corrected(log: Log) -> None:
    """Its key is there still: it had no time."""
    await seal(log, "untimed", time=None)
    await published(log)
    log.clock.instant = DUE
    await drained(log.keeper(log_days=LOG_DAYS))
    corrections = Corrections(log)
    with pytest.raises(LogTrimmed, match="untimed"):
        await corrections.get("untimed")
    with pytest.raises(LogTrimmed, match="untimed"):
        await corrections.retract("untimed")
    assert await seal(log, "untimed", time=None) == ["DUPLICATE"]


async def test_what_it_was_corrected_to_is_shown_and_no_longer_corrected(log: Log) -> None:
    await seal(log, "a")
    corrections = Corrections(log)
    await corrections.amend(event("a", type="better"))
    await published(log)
    log.clock.instant = DUE
    await drained(log.keeper(log_days=LOG_DAYS))
    assert (await corrections.get("a")).logged.event.type == "better"
    with pytest.raises(EventTooOld, match="events before"):
        await corrections.retract("a")


async def test_killed_between_any_two_steps_the_same_remains(log: Log) -> None:
    """Each step is a transaction: another keeper goes on after every one of them."""
    await two_months(log)
    steps = 0
    while True:
        keeper = log.keeper(log_days=LOG_DAYS)
        async with log.worker.connect() as conn:
            worked = await keeper._do_next(conn)
        if not worked:
            break
        steps += 1
        assert steps < 20
    assert steps >= 3, "keys, the bound of the log, and what lies behind it"
    assert await log.ids() == ["fourth"]
    assert await keys(log) == 0


async def test_a_month_is_written_before_it_goes(log: Log, tmp_path: Path) -> None:
    properties = {"tokens": Number(15, -1), "huge": Number(10**29, 0), "model": "é", "hit": False}
    await seal(log, "a", source="s", properties=properties, amount=Number(250, -2), hold_id="h")
    await seal(log, "b", time=None, tenant=OTHER_TENANT)
    await Corrections(log).amend(event("a", source="s", type="better"))
    await published(log)
    log.clock.instant = DUE
    await drained(log.keeper(log_days=LOG_DAYS, export_folder=tmp_path))
    assert await log.ids() == []
    [file] = tmp_path.iterdir()
    assert file.name == "events-2026-01.shard-0.parquet"
    first, second, corrected = parquet.read_table(file).to_pylist()
    assert json.loads(first.pop("properties"), parse_float=str, parse_int=str) == {
        "tokens": "1.5",
        "huge": "1" + "0" * 29,
        "model": "é",
        "hit": False,
    }
    assert first == {
        "tenant": TENANT,
        "shard": 0,
        "number": 1,
        "index": 0,
        "version": 1,
        "retracted": False,
        "sealed_at": JANUARY,
        "received_at": JANUARY,
        "id": "a",
        "source": "s",
        "type": "api_call",
        "time": JANUARY,
        "time_is_receipt": False,
        "customer_id": "acme",
        "subscription_id": "",
        "amount": "2.5",
        "hold_id": "h",
    }
    assert (second["tenant"], second["id"], second["time"]) == (OTHER_TENANT, "b", JANUARY)
    assert second["time_is_receipt"] and second["amount"] is None
    assert [corrected[name] for name in ("number", "index", "version", "type", "sealed_at")] == [
        *(1, 0, 2, "better", JANUARY)
    ]


async def test_a_month_that_cannot_be_written_stays(log: Log, tmp_path: Path) -> None:
    await two_months(log)
    folder = tmp_path / "gone"
    with pytest.raises(NotExported, match="gone"):
        await drained(log.keeper(log_days=LOG_DAYS, export_folder=folder))
    assert len(await log.ids()) == 4
    folder.mkdir()
    (folder / "events-2026-01.shard-0.parquet").write_text("of a process that was killed")
    await drained(log.keeper(log_days=LOG_DAYS, export_folder=folder))
    [file] = folder.iterdir()
    assert parquet.read_table(file, columns=["id"]).to_pydict() == {
        "id": ["first", "second", "third"]
    }
    assert await log.ids() == ["fourth"]


async def test_a_shutdown_leaves_no_half_of_a_file(log: Log, tmp_path: Path) -> None:
    await two_months(log)
    stopping = asyncio.Event()
    stopping.set()
    async with log.worker.connect() as conn:
        whole = await export_month(
            conn,
            tmp_path,
            Month(JANUARY, FEBRUARY),
            Stretch(0, 2),
            events=3,
            stopping=stopping,
        )
    assert not whole
    assert os.listdir(tmp_path) == []


async def test_a_file_that_would_miss_events_is_not_written(log: Log, tmp_path: Path) -> None:
    await two_months(log)
    async with log.worker.connect() as conn:
        with pytest.raises(AssertionError, match="3 events are written of 4"):
            await export_month(
                conn,
                tmp_path,
                Month(JANUARY, FEBRUARY),
                Stretch(0, 2),
                events=4,
                stopping=asyncio.Event(),
            )
    assert os.listdir(tmp_path) == []
