"""Closing billing periods: frozen once, and what comes later is neither lost nor billed twice."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from libs.db import begin
from libs.errors import FieldInvalid
from libs.tenant import Tenant
from services.rating.domain.fee import AmountTooLarge
from services.rating.domain.meter import Aggregation
from services.rating.domain.period import (
    AdjustmentOutOfOrder,
    PeriodNotClosed,
    PeriodNotDue,
    PeriodNotFound,
)
from services.rating.operations.closing import close_period, close_periods
from tally.rating.v1 import events_pb2, rating_service_pb2
from tests.store.rating.conftest import TENANT, TRACEPARENT, World, a_charge, an_event, instant

NOON = instant("2024-01-10 12:00")
FEBRUARY = instant("2024-02-01 00:10")


async def closed_january(world: World, events: int) -> object:
    """Subscribe acme, fold events of January, and close it."""
    await world.subscribe("acme")
    await world.fold(*[an_event("acme", NOON)] * events)
    await world.announce(FEBRUARY)
    period_id = await world.period_id("acme")
    await world.close(period_id, FEBRUARY)
    return period_id


async def test_a_close_freezes_the_fees_with_the_positions_and_traces(world: World) -> None:
    await world.subscribe("acme")
    await world.fold(*[an_event("acme", NOON)] * 150)
    await world.announce(FEBRUARY)
    period_id = await world.period_id("acme")
    rated = await world.close(period_id, FEBRUARY)
    assert rated.amount.amount_minor == 150
    assert [(fee.units, fee.exact_amount) for fee in rated.fees] == [("150", "1.5")]
    assert list(rated.usage_traceparents) == [TRACEPARENT.format(1, 1)]
    assert await world.fetch("SELECT applied FROM closes") == [([[0, 0, 1]],)]


async def test_a_repeated_close_gives_the_first_answer(world: World) -> None:
    await world.subscribe("acme")
    await world.fold(an_event("acme", NOON))
    await world.announce(FEBRUARY)
    period_id = await world.period_id("acme")
    first = await world.close(period_id, FEBRUARY)
    await world.fold(an_event("acme", NOON))
    assert await world.close(period_id, instant("2024-03-05")) == first


async def test_periods_are_closed_together_or_not_at_all(world: World) -> None:
    for customer in ("acme", "zeta"):
        await world.subscribe(customer)
    await world.fold(*[an_event("acme", NOON)] * 2, *[an_event("zeta", NOON)] * 3)
    acme, zeta = [await world.period_id(customer) for customer in ("acme", "zeta")]
    with pytest.raises(PeriodNotDue):
        await close_periods(world.app, world, TENANT, [acme, zeta], now=FEBRUARY)
    await world.announce(FEBRUARY)
    with pytest.raises(PeriodNotFound):
        await close_periods(world.app, world, TENANT, [acme, zeta, uuid4()], now=FEBRUARY)
    with pytest.raises(FieldInvalid, match="twice"):
        await close_periods(world.app, world, TENANT, [acme, acme], now=FEBRUARY)
    assert await world.fetch("SELECT * FROM closes") == []
    first = await world.close(acme, FEBRUARY)
    await world.fold(an_event("acme", NOON), an_event("zeta", NOON))
    answer = await close_periods(world.app, world, TENANT, [zeta, acme], now=FEBRUARY)
    assert [one.amount.amount_minor for one in answer.rated] == [4, 2]
    assert answer.rated[1] == first, "what was closed before stays as it was"


async def test_a_period_that_is_not_due_is_not_closed(world: World) -> None:
    await world.subscribe("acme")
    with pytest.raises(PeriodNotDue):
        await world.close(await world.period_id("acme"), NOON)


async def test_another_tenants_period_does_not_exist(world: World) -> None:
    await world.subscribe("acme")
    period_id = await world.period_id("acme")
    for tenant, asked in ((Tenant(8), period_id), (TENANT, uuid4())):
        with pytest.raises(PeriodNotFound):
            await close_period(world.app, world, tenant, asked, now=FEBRUARY)


async def test_each_group_is_frozen_and_adjusted_for_itself(world: World) -> None:
    await world.create_meter("sales", Aggregation.SUM, value="value", dimensions=["region"])
    charge = replace(a_charge("sales", "1"), group_by=("region",))
    await world.create_plan("sales", [charge])
    await world.subscribe("acme", plan="sales")

    async def sell(value: int, region: str) -> None:
        sale = an_event("acme", NOON, type_="sales", value=Decimal(value), region=region)
        await world.fold(sale)

    await sell(3, "eu")
    await sell(4, "")
    await world.announce(FEBRUARY)
    period_id = await world.period_id("acme")
    closed = await world.close(period_id, FEBRUARY)
    assert by_region(closed) == {"": 400, "eu": 300}
    assert by_region(await world.close(period_id, FEBRUARY)) == {"": 400, "eu": 300}
    await sell(2, "eu")
    await sell(9, "us")
    assert by_region(await world.adjust(period_id, 1)) == {"eu": 200, "us": 900}


def by_region(rated: rating_service_pb2.RatedPeriod) -> dict[str, int]:
    found = {}
    for fee in rated.fees:
        [group] = fee.group_values
        assert group.key == "region"
        found[group.value] = fee.amount.amount_minor
    return found


async def test_late_usage_raises_the_late_version_and_is_announced(world: World) -> None:
    await world.subscribe("acme")
    await world.fold(an_event("acme", NOON))
    await world.announce(FEBRUARY)
    period_id = await world.period_id("acme")
    await world.fold(an_event("acme", NOON))
    await world.close(period_id, FEBRUARY)
    await world.fold(an_event("acme", NOON))
    rows = await world.fetch(
        "SELECT payload FROM outbox WHERE subject LIKE '%UsageChanged' ORDER BY id"
    )
    changed = [events_pb2.PeriodUsageChanged.FromString(payload) for (payload,) in rows]
    assert [(each.late_version, each.closed) for each in changed] == [(1, False), (2, True)]
    assert {each.period_id for each in changed} == {str(period_id)}


async def test_an_adjustment_is_the_difference_to_all_that_was_frozen(world: World) -> None:
    await world.subscribe("acme")
    await world.fold(*[an_event("acme", NOON)] * 3)
    await world.announce(FEBRUARY)
    period_id = await world.period_id("acme")
    await world.close(period_id, FEBRUARY)
    amounts = []
    for sequence in (1, 2):
        await world.fold(*[an_event("acme", NOON)] * sequence)
        adjustment = await world.adjust(period_id, sequence)
        amounts.append([(fee.units, fee.amount.amount_minor) for fee in adjustment.fees])
        rows = [Decimal(row.amount) for fee in adjustment.fees for row in fee.breakdown]
        assert sum(rows) == Decimal(adjustment.fees[0].exact_amount)
    assert amounts == [[("1", 1)], [("2", 2)]]
    assert (await world.adjust(period_id, 1)).amount.amount_minor == 1
    assert not (await world.adjust(period_id, 3)).fees


async def test_adjustments_come_one_after_the_other_and_after_the_close(world: World) -> None:
    await world.subscribe("acme")
    period_id = await world.period_id("acme")
    with pytest.raises(PeriodNotClosed):
        await world.adjust(period_id, 1)
    await world.announce(FEBRUARY)
    await world.close(period_id, FEBRUARY)
    with pytest.raises(AdjustmentOutOfOrder):
        await world.adjust(period_id, 2)


async def test_what_is_frozen_cannot_be_changed(world: World) -> None:
    await world.subscribe("acme")
    await world.fold(an_event("acme", NOON))
    await world.announce(FEBRUARY)
    await world.close(await world.period_id("acme"), FEBRUARY)
    for statement in (
        "UPDATE closed_fees SET amount_minor = 0",
        "DELETE FROM closes",
        "UPDATE plan_versions SET version = 9",
    ):
        with pytest.raises(DBAPIError, match="written once"):
            async with begin(world.app, TENANT) as conn:
                await conn.execute(text(statement))


@pytest.mark.parametrize("quantity", ["1e29", "1000000000000100"])
async def test_usage_beyond_what_can_be_billed_is_refused(world: World, quantity: str) -> None:
    """At a cent each, the second comes to 10^15 + 100 minor units."""
    await world.create_meter("stored", Aggregation.SUM, value="bytes")
    await world.create_plan("storage", [a_charge("stored", "0.01")])
    await world.subscribe("acme", plan="storage")
    await world.fold(an_event("acme", NOON, type_="stored", bytes=Decimal(quantity)))
    await world.announce(FEBRUARY)
    with pytest.raises(AmountTooLarge):
        await world.close(await world.period_id("acme"), FEBRUARY)
