"""Cells and fees are computed again, and every way in which they could be wrong is found."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text

from libs import db
from libs.db import Snapshots
from libs.difference import Difference, Finding, Unverified
from libs.tenant import Tenant
from services.rating.domain.columns import Slice
from services.rating.domain.event import Correction, ShardHead, UsageEvent
from services.rating.domain.meter import Aggregation, ValueInput
from services.rating.operations import verifying_cells
from services.rating.operations.log import LogUnreadable
from services.rating.operations.reattributing import reattribute_next
from services.rating.operations.verifying_cells import verify_cells
from services.rating.operations.verifying_fees import verify_fees
from services.rating.store.applied import Lane
from services.rating.store.cell_parts import PARTS
from services.rating.store.usage_schema import ambiguous, cells, unattributed
from tests.store.rating.conftest import JANUARY, TENANT, World, a_charge, an_event

OTHER = Tenant(8)
FEBRUARY = JANUARY.replace(month=2)

CHANGES = {
    "a cell that counts too much": (
        "UPDATE cells SET event_count = event_count + 1 WHERE total IS NOT NULL",
        ("cell", "event_count"),
    ),
    "a cell with another latest value": (
        "UPDATE cells SET latest = latest + 1 WHERE latest IS NOT NULL",
        ("cell", "latest"),
    ),
    "a cell that is gone": ("DELETE FROM cells WHERE greatest = 5", ("cell", "event_count")),
    "a cell that should not be": (
        "UPDATE cells SET day = day + 1 WHERE greatest = 5",
        ("cell", "event_count"),
    ),
    "a cell with other dimensions": (
        "UPDATE cells SET dimensions = '{nowhere}' WHERE total IS NOT NULL",
        ("cell", "dimensions"),
    ),
    "a distinct value that is gone": (
        "DELETE FROM cell_values WHERE present",
        ("cell", "distinct_values"),
    ),
    "a distinct value that was not removed": (
        "UPDATE cell_values SET present = true",
        ("cell", "distinct_values"),
    ),
    "a distinct value that came later": (
        "UPDATE cell_values SET added_time_us = added_time_us + 1",
        ("cell", "distinct_values"),
    ),
    "another least value": (
        "UPDATE cells SET least = least + 1 WHERE least IS NOT NULL",
        ("cell", "least"),
    ),
    "a level that is another": ("UPDATE cell_levels SET value = 7", ("cell", "levels")),
    "a value that was seen more often": (
        "UPDATE cell_counts SET event_count = event_count + 1",
        ("cell", "counts_of_values"),
    ),
    "another sum of amounts": (
        "UPDATE cells SET amount = amount + 1 WHERE amount IS NOT NULL",
        ("cell", "amount"),
    ),
    "a cell of a meter that does not exist": (
        "UPDATE cells SET meter_id = gen_random_uuid() WHERE greatest = 5",
        ("cell", "term"),
    ),
    "events of nobody that were lost": (
        "DELETE FROM unattributed",
        ("unattributed events", "event_count"),
    ),
    "events of one of several that were lost": (
        "UPDATE ambiguous SET event_count = event_count + 1",
        ("ambiguous events", "event_count"),
    ),
}


@dataclass
class Log:
    """Slices as ingest keeps them, two a page."""

    world: World
    pieces: list[Slice] = field(default_factory=list)
    pages: int = 0  # How often it was read.

    async def fold(self, *events: UsageEvent) -> None:
        """Seal events as a slice, and fold it."""
        await self.world.fold_slice(self.seal(*events))

    def seal(self, *events: UsageEvent) -> Slice:
        """Seal events as a slice."""
        self.pieces.append(self.world.slice(*events))
        return self.pieces[-1]

    async def heads(self) -> Sequence[ShardHead]:
        return await self.world.heads()

    async def page(self, lane: Lane, *, after: int) -> Sequence[Slice]:
        self.pages += 1
        return [piece for piece in self.pieces if piece.number > after][:2]

    async def corrections(self, lane: Lane, *, through: int) -> Sequence[Correction]:
        known = [piece for piece in self.pieces if piece.number <= through]
        return [correction for piece in known for correction in piece.corrections]


@pytest.fixture
async def log(world: World) -> Log:
    """A log of every kind of usage, of two tenants, folded up to its end."""
    meters = {"sum": Aggregation.SUM, "max": Aggregation.MAX, "latest": Aggregation.LATEST}
    meters |= {"users": Aggregation.UNIQUE_COUNT, "min": Aggregation.MIN}
    meters |= {"level": Aggregation.WEIGHTED_SUM, "middle": Aggregation.PERCENTILE}
    options: dict[str, dict[str, Any]] = {
        "level": {"value_input": ValueInput.LEVEL},
        "middle": {"percentile": 50},
        "users": {"recurring": True},
    }
    for code, aggregation in meters.items():
        await world.create_meter(
            code, aggregation, value="value", dimensions=["region"], **options.get(code, {})
        )
    await world.create_plan("all", [a_charge(code, "0.1") for code in meters])
    await world.create_meter("calls", Aggregation.COUNT, tenant=OTHER)
    await world.create_plan("calls", [a_charge("calls", "0.01")], tenant=OTHER)
    for customer in ("acme", "bolt", "corp"):
        await world.subscribe(customer, plan="all")
    await world.subscribe("second", plan="all", customer="corp")
    await world.subscribe("acme", tenant=OTHER)
    sealed = Log(world)
    for n, customer in enumerate(("acme", "bolt", "corp", "acme", "nobody")):
        at = JANUARY + timedelta(days=n, hours=5)
        values = (Decimal("1.5"), Decimal(5) if customer == "bolt" else Decimal(4))
        await sealed.fold(
            *(
                an_event(customer, at + timedelta(hours=hour), type_=code, value=v, region="eu")
                for code in meters
                for hour, v in enumerate(values)
            ),
            replace(
                an_event(customer, at, type_="users", value="1.5", operation_type="remove"),
                amount=Decimal("0.1"),
            ),
            an_event("acme", at, tenant=OTHER),
        )
    return sealed


async def test_usage_that_was_only_folded_agrees(world: World, log: Log) -> None:
    found, counts = await verified(log)
    assert found == []
    # Seven meters, one of them in two regions, for three customers, one of them on two days; and
    # five days of the other tenant.
    assert counts == {"events": 5 * 16, "cells": 8 * 4 + 5}
    found, counts = await verified(log, OTHER)
    assert (found, counts) == ([], {"events": 5, "cells": 5})


async def test_a_partition_that_is_too_large_is_read_in_parts(
    world: World, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, whole = await verified(log)
    pages = log.pages
    monkeypatch.setattr(verifying_cells, "ROWS_MAX", 18)
    found, counts = await verified(log)
    assert (found, counts) == ([], whole)
    assert log.pages > 2 * pages
    await execute(world, CHANGES["a cell that is gone"][0])
    found, _ = await verified(log)
    assert [(one.kind, one.names["subscription_id"]) for one in found] == [("cell", "bolt")]


async def test_every_change_by_hand_is_found(world: World, log: Log) -> None:
    missed = {}
    for name, (change, expected) in CHANGES.items():
        async with restored(world):
            await execute(world, change)
            found, _ = await verified(log)
            if expected not in {(one.kind, one.field) for one in differences(found)}:
                missed[name] = found
            assert await verified(log, OTHER) == ([], {"events": 5, "cells": 5})
    assert missed == {}
    assert (await verified(log))[0] == []


async def test_what_is_not_applied_yet_is_not_missed(world: World, log: Log) -> None:
    log.seal(an_event("acme", JANUARY, type_="sum", value=Decimal(9)))
    found, counts = await verified(log)
    assert found == []
    assert counts["events"] == 5 * 16


async def test_a_meter_counts_only_where_a_plan_charges_it(world: World, log: Log) -> None:
    """A meter counts from its making on; what came before is in no cell, and nobody pays it."""
    await world.create_meter("later", Aggregation.COUNT)
    await execute(world, "UPDATE meters SET event_type = 'sum' WHERE code = 'later'")
    world.catalogs.drop([TENANT])
    await log.fold(an_event("acme", JANUARY, type_="sum", value=Decimal(9)))
    found, _ = await verified(log)
    assert found == []


async def test_a_customer_that_is_being_attributed_again_is_left_out(
    world: World, log: Log
) -> None:
    await world.subscribe("nobody", plan="all")
    found, _ = await verified(log)
    [left_out] = found
    assert isinstance(left_out, Unverified)
    assert (left_out.kind, left_out.names) == ("customer", {"customer_id": "nobody"})
    assert await reattribute_next(world.worker, world)
    found, counts = await verified(log)
    assert found == []
    assert counts["cells"] == 8 * 5 + 5


@pytest.mark.parametrize("lost", [0, 2, 4])
async def test_a_slice_that_the_log_lost_is_found(lost: int, world: World, log: Log) -> None:
    gone = log.pieces.pop(lost)
    found, _ = await verified(log)
    faults = [one for one in differences(found) if one.kind == "log"]
    told = [(one.field, one.stored) for one in faults]
    assert told == [(f"slice after {gone.number - 1}", "a slice is missing")]


async def test_a_slice_that_cannot_be_read_is_found(
    world: World, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(lane: Lane, *, after: int) -> Sequence[Slice]:
        raise LogUnreadable("slice 1 cannot be read: it is torn")

    monkeypatch.setattr(log, "page", unreadable)
    found, _ = await verified(log)
    assert "slice 1 cannot be read: it is torn" in {one.stored for one in differences(found)}


async def test_frozen_fees_agree_with_their_adjustments(world: World, log: Log) -> None:
    period_id = await world.period_id("acme")
    await world.announce(FEBRUARY + timedelta(hours=1))
    await world.close(period_id, FEBRUARY)
    assert await verified_fees(log) == ([], {"closed periods": 1, "closed fees": 7})
    await log.fold(an_event("acme", JANUARY, type_="sum", value=Decimal(70), region="us"))
    [pending], _ = await verified_fees(log)
    assert isinstance(pending, Unverified)
    assert (pending.kind, pending.names["period_id"]) == ("period", str(period_id))
    await world.adjust(period_id, 1)
    assert await verified_fees(log) == ([], {"closed periods": 1, "closed fees": 8})
    assert await verified_fees(log, OTHER) == ([], {"closed periods": 0, "closed fees": 0})


@pytest.mark.parametrize("adjusted", [False, True])
async def test_a_fee_of_other_usage_is_found(adjusted: bool, world: World, log: Log) -> None:
    period_id = await world.period_id("acme")
    await world.announce(FEBRUARY + timedelta(hours=1))
    await world.close(period_id, FEBRUARY)
    if adjusted:
        await log.fold(an_event("acme", JANUARY, type_="sum", value=Decimal(70), region="us"))
        await world.adjust(period_id, 1)
    await execute(world, "UPDATE cells SET total = total - 1 WHERE dimensions = '{eu}'")
    found, _ = await verified_fees(log)
    [wrong] = [one for one in differences(found) if one.field == "units"]
    assert {"exact_amount", "amount_minor"} <= {one.field for one in differences(found)}
    assert wrong.names["charge_code"] == "sum"
    # Its usage of January lies in two cells of the region.
    assert Decimal(wrong.stored) - Decimal(wrong.recomputed) == 2


async def test_a_close_of_a_period_that_is_open_is_found(world: World, log: Log) -> None:
    period_id = await world.period_id("acme")
    await world.announce(FEBRUARY + timedelta(hours=1))
    await world.close(period_id, FEBRUARY)
    await execute(world, "UPDATE billing_periods SET status = 'due' WHERE status = 'closed'")
    [found], _ = await verified_fees(log)
    assert isinstance(found, Difference)
    assert (found.kind, found.field, found.stored) == ("period", "status", "due")


async def verified(log: Log, tenant: Tenant | None = None) -> tuple[list[Finding], Counter[str]]:
    """Verify the cells, of all tenants or of one as it sees them."""
    counts: Counter[str] = Counter()
    snapshots = Snapshots(log.world.app, log.world.worker, tenant)
    return [one async for one in verify_cells(snapshots, log, counts)], counts


async def verified_fees(
    log: Log, tenant: Tenant | None = None
) -> tuple[list[Finding], Counter[str]]:
    """Verify the fees, of all tenants or of one as it sees them."""
    counts: Counter[str] = Counter()
    snapshots = Snapshots(log.world.app, log.world.worker, tenant)
    return [one async for one in verify_fees(snapshots, log.world, counts)], counts


def differences(found: Sequence[Finding]) -> list[Difference]:
    return [one for one in found if isinstance(one, Difference)]


@asynccontextmanager
async def restored(world: World) -> AsyncIterator[None]:
    """Put all usage back as it was, at the end."""
    tables = (cells, *PARTS, unattributed, ambiguous)
    async with db.begin_worker(world.worker) as conn:
        kept = [(await conn.execute(select(table))).mappings().all() for table in tables]
    yield
    async with db.begin_worker(world.worker) as conn:
        for table, rows in zip(tables, kept, strict=True):
            await conn.execute(delete(table))
            await conn.execute(insert(table), [dict(row) for row in rows])


async def execute(world: World, statement: str) -> None:
    """Change rows of the first tenant as the worker; it must touch some."""
    guard = f" AND tenant = {TENANT}" if " WHERE " in statement else f" WHERE tenant = {TENANT}"
    async with db.begin_worker(world.worker) as conn:
        assert (await conn.execute(text(statement + guard))).rowcount > 0
