"""Reading usage through the public API: after a write, before an instant, by windows, growing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import grpc
import pytest

from cli.client import SuiteClient, refusal
from libs.wire import timestamp
from tally.ingest.v1.bulk_pb2 import RecordColumnsRequest
from tally.ingest.v1.event_pb2 import Event
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tally.rating.v1.plan_service_pb2 import DimensionFilter
from tally.rating.v1.usage_service_pb2 import (
    USAGE_WINDOW_DAY,
    USAGE_WINDOW_HOUR,
    USAGE_WINDOW_PERIOD,
    GetUsageRequest,
    QueryUsageRequest,
    QueryUsageResponse,
    UsageRow,
    UsageWindow,
    WatchUsageRequest,
    WatchUsageResponse,
)
from tests.columns import columns_of
from tests.scenario.builders import sell, subscribe, usage
from tests.suite import Suite

START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
NOW = START + timedelta(days=20)
WATCH_SECONDS = 20
ZONES = ["Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]


async def recorded(client: SuiteClient, events: Iterable[Event]) -> str:
    """Record events; return the ack token."""
    return (await client.ingest.RecordEvents(RecordEventsRequest(events=events))).ack_token


async def units_of(client: SuiteClient, **fields: object) -> list[str]:
    """Return the units that GetUsage answers for acme."""
    asked = GetUsageRequest(subscription_id="acme-pro", **fields)  # type: ignore[arg-type]
    return [fee.units for fee in (await client.usage.GetUsage(asked)).fees]


async def query(
    client: SuiteClient, window: UsageWindow.ValueType, **fields: object
) -> QueryUsageResponse:
    """Ask for March."""
    asked = QueryUsageRequest(
        subscription_id="acme-pro",
        meter_code="calls",
        start=timestamp(START),
        end=timestamp(END),
        window=window,
        **fields,  # type: ignore[arg-type]
    )
    return await client.usage.QueryUsage(asked)


async def first_answer(client: SuiteClient, **fields: object) -> WatchUsageResponse:
    """Follow acme's usage up to the first answer."""
    asked = WatchUsageRequest(subscription_id="acme-pro", **fields)  # type: ignore[arg-type]
    stream = client.usage.WatchUsage(asked)
    answer = await read(stream)
    stream.cancel()
    return answer


async def read(stream: Any) -> WatchUsageResponse:
    """Return the next answer of a stream."""
    answer = await asyncio.wait_for(stream.read(), WATCH_SECONDS)
    assert isinstance(answer, WatchUsageResponse)
    return answer


def total(rows: Iterable[UsageRow]) -> tuple[Decimal, int]:
    """Return units and events of all rows."""
    rows = list(rows)
    return sum((Decimal(row.units) for row in rows), Decimal(0)), sum(r.event_count for r in rows)


async def test_a_read_sees_the_write_whose_token_it_names(suite: Suite) -> None:
    """Nothing settles the suite in between."""
    await suite.advance(NOW)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        await subscribe(client, "acme", START)
        for count in range(1, 6):
            event = usage("acme", NOW, "2")
            token = await recorded(client, [event, usage("someone else", NOW)])
            assert await units_of(client, ack_token=token) == [str(2 * count)]
            again = await recorded(client, [event])
            assert again == token  # A repeat names the segment that has the event.
        found = await query(client, USAGE_WINDOW_DAY, ack_token=token)
        assert [(row.units, row.event_count) for row in found.rows] == [("10", 5)]
        watched = await first_answer(client, ack_token=token)
        assert [fee.units for fee in watched.fees] == ["10"]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await units_of(client, ack_token="MDo5OTk5OTk5")  # Segment 9,999,999.
    assert refusal(refused.value).fields.keys() == {"ack_token"}


async def test_events_in_columns_are_the_usage_that_they_are_one_by_one(suite: Suite) -> None:
    await suite.advance(NOW)
    values = ["2", "1.50", "-0.25", "1e3", "7", "123456789012345678901234.5"]
    found = []
    for in_columns in (True, False):
        async with suite.client(suite.new_tenant()) as client:
            await sell(client, group_by="region")
            await subscribe(client, "acme", START)
            events = [
                usage("acme", NOW - timedelta(days=day), value, region="eu" if day % 2 else "us")
                for day, value in enumerate(values)
            ]
            if in_columns:
                request = RecordColumnsRequest(columns=columns_of(events))
                token = (await client.ingest.RecordColumns(request)).ack_token
            else:
                token = await recorded(client, events)
            rows = (await query(client, USAGE_WINDOW_DAY, ack_token=token)).rows
            found.append([row.SerializeToString(deterministic=True) for row in rows])
    assert len(found[0]) == len(values)
    assert found[0] == found[1]


async def test_hours_of_any_zone_add_up_to_days_and_to_the_period(suite: Suite) -> None:
    """Berlin's clock changes on 29 March, St John's on 8 March."""
    await suite.advance(NOW)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        await subscribe(client, "acme", START)
        minutes = [1, 59, 61, 1_439, 1_441, 10_000, 10_021, 11_000, 20_000, 28_799]
        events = [
            usage("acme", START + timedelta(minutes=each), f"{place}.25", region="eu")
            for place, each in enumerate(minutes)
        ]
        token = await recorded(client, events)
        period = await query(client, USAGE_WINDOW_PERIOD, ack_token=token)
        expected = (Decimal("47.5"), 10)
        assert total(period.rows) == expected
        for zone in ZONES:
            for window in (USAGE_WINDOW_DAY, USAGE_WINDOW_HOUR):
                found = await query(client, window, time_zone=zone)
                assert total(found.rows) == expected, (zone, window)
                starts = [row.window.start.ToDatetime() for row in found.rows]
                assert starts == sorted(set(starts))
        assert await units_of(client) == ["47.5"]
        # Without a dimension `region` the log tells.
        europe = DimensionFilter(key="region", values=["eu"])
        found = await query(client, USAGE_WINDOW_PERIOD, filters=[europe], group_by=["region"])
        assert [(list(row.group_values), row.units) for row in found.rows] == [(["eu"], "47.5")]

        # What is dated at the instant itself does not count.
        first_day_end = timestamp(START + timedelta(minutes=1_439))
        assert await units_of(client, as_of=first_day_end) == ["3.75"]  # 0.25 + 1.25 + 2.25
        within_a_day = timestamp(START + timedelta(minutes=10_021))
        assert await units_of(client, as_of=within_a_day) == ["16.5"]  # And 3.25 + 4.25 + 5.25.
        assert await units_of(client, as_of=timestamp(END), at=timestamp(NOW)) == ["47.5"]


async def test_a_watcher_sees_usage_grow_and_resumes_where_it_was(suite: Suite) -> None:
    await suite.advance(NOW)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        await subscribe(client, "acme", START)
        stream = client.usage.WatchUsage(WatchUsageRequest(subscription_id="acme-pro"))
        first = await read(stream)
        assert [fee.units for fee in first.fees] == []
        await recorded(client, [usage("acme", NOW, "3")])
        second = await read(stream)
        assert ([fee.units for fee in second.fees], second.amount.amount_minor) == (["3"], 3)
        stream.cancel()
        await recorded(client, [usage("acme", NOW, "4")])
        third = await first_answer(client, resume_token=second.resume_token)
        assert [fee.units for fee in third.fees] == ["7"]


async def test_a_watch_is_refused_with_all_that_is_wrong(suite: Suite) -> None:
    wrong = WatchUsageRequest(resume_token="x", ack_token="y")
    async with suite.client(suite.new_tenant()) as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await read(client.usage.WatchUsage(wrong))
        assert refusal(refused.value).fields.keys() == {
            "subscription_id",
            "resume_token",
            "ack_token",
        }
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await first_answer(client)
        assert refusal(refused.value).reason == "SUBSCRIPTION_NOT_FOUND"
    async with suite.client(suite.new_tenant(), scopes=["events:write"]) as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await first_answer(client)
        assert refusal(refused.value).reason == "SCOPE_MISSING"
