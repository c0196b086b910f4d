"""Days with too many combinations of dimension values are read from the log: the same amounts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from libs.db import Snapshots, begin_worker
from services.rating.domain.columns import Slice
from services.rating.domain.event import LogPlace, UsageEvent
from services.rating.domain.filters import DimensionFilter
from services.rating.domain.folding import fold
from services.rating.domain.meter import Aggregation, DayBucket, ValueInput
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.plan import Charge
from services.rating.domain.price import GraduatedPrice, StandardPrice, Tier
from services.rating.domain.simulation import StoredVersion
from services.rating.domain.usage_query import UsageQuery
from services.rating.domain.windows import Window
from services.rating.operations.adding import add_cells
from services.rating.operations.estimating import estimate_events
from services.rating.operations.folding import Catalogs
from services.rating.operations.querying import query_usage
from services.rating.operations.rating import rate_period
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.simulating import simulate_plan
from services.rating.operations.usage import get_usage, get_usage_before
from services.rating.operations.verifying_fees import verify_fees
from services.rating.store.simulation import Selection
from tests.store.rating.conftest import (
    JANUARY,
    TENANT,
    World,
    a_bucket,
    a_charge,
    an_event,
    instant,
)
from tests.store.rating.test_recurring import move_calendar

NOON = instant("2024-01-10 12:00")
NEW_YORK, START = "America/New_York", instant("2024-01-01 05:00")
METERS: dict[str, tuple[Aggregation, dict[str, Any]]] = {
    "calls_by": (Aggregation.COUNT, {}),
    "sum": (Aggregation.SUM, {}),
    "priced": (Aggregation.SUM, {}),
    "best": (Aggregation.MAX, {}),
    "latest": (Aggregation.LATEST, {}),
    "users": (Aggregation.UNIQUE_COUNT, {}),
    "level": (Aggregation.WEIGHTED_SUM, {"value_input": ValueInput.LEVEL}),
    "middle": (Aggregation.PERCENTILE, {"percentile": 50}),
    "daily": (Aggregation.SUM, {"day_bucket": DayBucket.MAX}),
    "seats": (Aggregation.SUM, {"recurring": True}),
    "held": (Aggregation.WEIGHTED_SUM, {"value_input": ValueInput.LEVEL, "recurring": True}),
    "members": (Aggregation.UNIQUE_COUNT, {"recurring": True}),
}
CROWDED, PLAIN = "crowded", "plain"  # The same usage: one in log mode, the other in cells.


def few(cells_max: int = 3) -> Catalogs:
    """Return catalogs under which a day of a term and meter has so many cells at most."""
    return Catalogs(cells_per_day_max=cells_max)


def charges() -> list[Charge]:
    tiers = (Tier(Decimal(3), Decimal(2), Decimal(1)), Tier(None, Decimal("0.5"), Decimal(0)))
    prices = {
        "sum": Charge("sum", "sum", "", GraduatedPrice(tiers), (), group_by=("region",)),
        "priced": Charge("priced", "priced", "", PercentagePrice(Decimal(10), free_events=2), ()),
    }
    buckets = [a_bucket("eu", "region", ["eu"], "0.3")]
    plain = [prices.get(code) or a_charge(code, "0.1", buckets=buckets) for code in METERS]
    bands = (Tier(Decimal(3), Decimal(2), Decimal(0)), Tier(None, Decimal("0.5"), Decimal(0)))
    weighed = [
        Charge("seat days", "seats", "", StandardPrice(Decimal(3)), (), prorated=True),
        Charge("member days", "members", "", GraduatedPrice(bands), (), prorated=True),
    ]
    return [*plain, *weighed]


@pytest.fixture
async def sold(world: World) -> World:
    """Two customers on a plan that charges meters of every kind, by region and user."""
    for code, (aggregation, options) in METERS.items():
        value = "" if aggregation is Aggregation.COUNT else "value"
        dimensions = ["region", "user"]
        await world.create_meter(code, aggregation, value=value, dimensions=dimensions, **options)
    await world.create_plan("all", charges())
    for customer in (CROWDED, PLAIN):
        await world.subscribe(customer, plan="all", start=START, zone=NEW_YORK)
    await move_calendar(world, instant("2024-02-02"))  # So that there is a February.
    return world


def an_hour(rng: random.Random, first: datetime, hours: int) -> datetime:
    return first + timedelta(hours=rng.randrange(hours), seconds=rng.randrange(3600))


def made(rng: random.Random, first: datetime, hours: int, count: int) -> list[UsageEvent]:
    """Return events of CROWDED, of all meters."""
    return [
        an_event(
            CROWDED,
            an_hour(rng, first, hours),
            type_=rng.choice(list(METERS)),
            value=Decimal(rng.randrange(1, 40)) / 4,
            region=rng.choice(("eu", "us", "")),
            user=f"u{rng.randrange(6)}",
            operation_type=rng.choice(("add", "add", "remove")),
        )
        for _ in range(count)
    ]


async def fold_both(world: World, events: Sequence[UsageEvent]) -> None:
    await world.fold(*events, catalogs=few(1))
    twins = [replace(event, customer_id=PLAIN) for event in events]
    await world.fold(*twins, catalogs=Catalogs())


async def crowded_codes(world: World, customer: str) -> set[str]:
    rows = await world.fetch(
        "SELECT DISTINCT code FROM cells JOIN meters USING (tenant, meter_id)"
        " JOIN terms USING (tenant, term_id) JOIN subscriptions USING (tenant, subscription_uid)"
        " WHERE in_log AND customer_id = :customer",
        customer=customer,
    )
    return {code for (code,) in rows}


async def test_amounts_are_those_of_cells_wherever_usage_is_read(sold: World) -> None:
    rng = random.Random(7)
    for first in (JANUARY + timedelta(days=8), instant("2024-02-02")):
        for _ in range(2):
            await fold_both(sold, made(rng, first, 24, 40))
    assert await crowded_codes(sold, CROWDED) == set(METERS)
    assert await crowded_codes(sold, PLAIN) == set()
    await _same_prices(sold, instant("2024-01-09 06:00"))
    await _same_prices(sold, instant("2024-02-02 06:00"))  # With what recurring meters carry.
    await _same_windows(sold)
    await _same_trials(sold, made(rng, JANUARY + timedelta(days=8), 24, 20))
    await _same_closes(sold)


async def _same_prices(world: World, at: datetime) -> None:
    one, other = [await get_usage(world.reader, who, at) for who in (CROWDED, PLAIN)]
    assert list(one.fees) == list(other.fees) and len(one.fees) > len(METERS)
    assert set(one.high_cardinality_meter_codes) == set(METERS)
    assert not other.high_cardinality_meter_codes
    cut = at + timedelta(hours=12)
    one, other = [await get_usage_before(world.reader, who, at, cut) for who in (CROWDED, PLAIN)]
    assert list(one.fees) == list(other.fees)


async def _same_windows(world: World) -> None:
    for code in METERS:
        for window in (Window.DAY, Window.PERIOD):
            if window is Window.DAY and code in ("level", "held", "daily"):
                continue  # Known of whole periods only.
            rows = []
            for who in (CROWDED, PLAIN):
                query = UsageQuery(
                    subscription_id=who,
                    meter_code=code,
                    start=instant("2024-01-01 05:00"),
                    end=instant("2024-02-01 05:00"),
                    window=window,
                    group_by=("region",),
                    filters=(DimensionFilter("user", frozenset({"u1", "u2", "u3"})),),
                    time_zone="",
                )
                rows.append(list((await query_usage(world.reader, query)).rows))
            assert rows[0] == rows[1] and rows[0], code


async def _same_trials(world: World, events: Sequence[UsageEvent]) -> None:
    answers = []
    for who in (CROWDED, PLAIN):
        tried = [replace(event, customer_id=who) for event in events]
        [found] = (await estimate_events(world.reader, tried)).usage
        answers.append((found.before, found.after, list(found.differences)))
    assert answers[0] == answers[1]
    totals = []
    for who in (CROWDED, PLAIN):
        selection = Selection(JANUARY, instant("2024-03-02"), [who], "")
        snapshots = Snapshots(world.app, world.worker, TENANT)
        wanted = [StoredVersion("calls", 0)]
        simulated = simulate_plan(snapshots, world, TENANT, wanted, selection, with_periods=True)
        found_ = [one async for one in simulated]
        periods = [one.period for one in found_ if one.HasField("period")]
        totals.append([(list(one.fees_before), list(one.after)) for one in periods])
    assert totals[0] == totals[1] and totals[0]


async def _same_closes(world: World) -> None:
    now = instant("2024-02-01 05:30")
    await world.announce(now)
    ids = [await world.period_id(who) for who in (CROWDED, PLAIN)]
    rated = [(await rate_period(world.app, world, TENANT, one)).rated for one in ids]
    closed = [await world.close(one, now) for one in ids]
    assert list(rated[0].fees) == list(closed[0].fees) == list(closed[1].fees)
    assert set(closed[0].high_cardinality_meter_codes) == set(METERS)
    assert await world.close(ids[0], now) == closed[0], "a repeat gets the first answer"
    assert closed[0].usage_traceparents, "of the folds, though no cell has been kept"
    snapshots = Snapshots(world.app, world.worker, None)
    assert [one async for one in verify_fees(snapshots, world, Counter())] == []
    late = an_event(CROWDED, NOON, type_="calls_by", region="us", user="late")
    await world.fold(late, catalogs=few(1))
    assert (await world.subjects()).count("PeriodUsageChanged") == 1
    assert (await world.adjust(ids[0], 1)).amount.amount_minor == 10


async def test_usage_that_comes_while_a_close_reads_the_log_is_not_lost(
    sold: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    users = [an_event(CROWDED, NOON, type_="calls_by", user=f"u{n}") for n in range(5)]
    await sold.fold(*users, catalogs=few())
    now = instant("2024-02-01 05:30")
    await sold.announce(now)
    reading = sold.events

    async def overtaken(*args: Any, **options: Any) -> Any:
        async for page in reading(*args, **options):
            yield page
        monkeypatch.setattr(sold, "events", reading)
        await sold.fold(users[0], catalogs=few())

    monkeypatch.setattr(sold, "events", overtaken)
    closed = await sold.close(await sold.period_id(CROWDED), now)
    assert closed.amount.amount_minor == 100 + 60, "with the first tier's flat amount"


async def test_a_day_is_in_log_mode_in_whatever_portions_it_came(sold: World) -> None:
    rng = random.Random(3)
    pieces = [sold.slice(*made(rng, NOON, 24, 12)) for _ in range(6)]
    catalogs = Catalogs()
    await catalogs.load(sold.worker, pieces)

    async def merged(portions: Iterable[Sequence[Slice]]) -> list[tuple[Any, ...]]:
        for table in ("cells", "cell_values", "cell_levels", "cell_counts"):
            await sold.fetch(f"DELETE FROM {table} RETURNING 1")
        for portion in portions:
            async with begin_worker(sold.worker) as conn:
                await add_cells(conn, fold(portion, catalogs.view()).cells, cells_max=3)
        rows: list[tuple[Any, ...]] = []
        for table in ("cells", "cell_values", "cell_levels", "cell_counts"):
            rows += await sold.fetch(f"SELECT {table}::text FROM {table} ORDER BY 1")
        return rows

    whole = await merged([pieces])
    assert any(row.endswith(",t)") for (row,) in whole), "some days are in log mode"
    counts = "SELECT max(n) FROM (SELECT count(*) n FROM cells WHERE NOT in_log"
    counts += " GROUP BY term_id, meter_id, day) each"
    assert await sold.fetch(counts) == [(3,)], "and others are just below"
    assert await merged([[piece] for piece in pieces]) == whole
    assert await merged([[piece] for piece in reversed(pieces)]) == whole
    assert await merged([pieces[4:], pieces[:1], pieces[1:4]]) == whole


async def test_a_day_that_corrections_make_small_again_has_cells_again(sold: World) -> None:
    users = [an_event(CROWDED, NOON, type_="calls_by", user=f"u{n}") for n in range(4)]
    await sold.fold(*users, catalogs=few())
    assert await sold.fetch("SELECT in_log, event_count FROM cells") == [(True, 4)]
    await sold.fold(users[0], catalogs=few())
    assert await sold.fetch("SELECT in_log, event_count FROM cells") == [(True, 5)]
    piece = sold.correct(LogPlace(0, 1, 3), None)
    await sold.fold_slice(piece, catalogs=few())
    while await reattribute_next(sold.worker, sold, cells_per_day_max=3):
        pass
    found = await sold.fetch("SELECT in_log, event_count FROM cells ORDER BY 2")
    assert found == [(False, 1), (False, 1), (False, 2)]
