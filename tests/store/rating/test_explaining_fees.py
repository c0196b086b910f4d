"""The events behind a fee: of its bucket and group, as they were when it was frozen."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from libs.db import Snapshots
from libs.errors import FieldInvalid, NotFound
from services.rating.domain.event import LogPlace, UsageEvent
from services.rating.domain.fee import FeeKey, FeeKind
from services.rating.domain.meter import Aggregation
from services.rating.domain.plan import Charge
from services.rating.domain.price import StandardPrice
from services.rating.operations.explaining_fees import WantedFee, explain_fee
from services.rating.operations.reattributing import reattribute_next
from tests.store.rating.conftest import (
    JANUARY,
    TENANT,
    World,
    a_bucket,
    an_event,
    instant,
)

FEBRUARY = instant("2024-02-01 00:10")
HOUR = timedelta(hours=1)


def tokens(value: str, hours: int, model: str, region: str = "eu") -> UsageEvent:
    at = JANUARY + hours * HOUR
    return an_event("acme", at, type_="tokens", value=Decimal(value), model=model, region=region)


async def explained(
    world: World, period_id: UUID, bucket: str = "", region: str = "eu", *, sequence: int = 0
) -> tuple[bool, str, list[str]]:
    """Return whether a fee's basis is frozen, its note, and the values of its events."""
    key = FeeKey(FeeKind.USAGE, "tokens", bucket, (("region", region),))
    snapshots = Snapshots(world.app, world.worker, TENANT)
    wanted = WantedFee(period_id, sequence, key)
    basis, *pages = [part async for part in explain_fee(snapshots, world, TENANT, wanted)]
    values = [event.value for page in pages for event in page.events.events]
    return basis.basis.frozen, basis.basis.note, values


async def test_a_fee_has_the_events_of_its_bucket_and_group_as_they_were_frozen(
    world: World,
) -> None:
    await world.create_meter(
        "tokens", Aggregation.SUM, value="value", dimensions=["model", "region"]
    )
    large = a_bucket("large", "model", ["l", "xl"], "2")
    price = StandardPrice(Decimal(1))
    charge = Charge("tokens", "tokens", "", price, (large,), group_by=("region",))
    await world.create_plan("tokens", [charge])
    await world.subscribe("acme", plan="tokens")
    await world.fold(
        tokens("1", 1, "s"),
        tokens("2", 2, "l"),
        tokens("3", 3, "xl"),
        tokens("4", 4, "s", "us"),
        tokens("5", 24 * 31, "l"),  # February's.
        an_event("acme", JANUARY, type_="calls"),
    )
    period_id = await world.period_id("acme")
    assert await explained(world, period_id, "large") == (False, "", ["2", "3"])
    await world.announce(FEBRUARY)
    fees = (await world.close(period_id, FEBRUARY)).fees
    frozen = {
        (fee.filter_code, fee.group_values[0].value): (fee.units, fee.event_count) for fee in fees
    }
    assert frozen == {("large", "eu"): ("5", 2), ("", "eu"): ("1", 1), ("", "us"): ("4", 1)}

    # What comes, is amended or retracted after the close is not in it, but in its adjustment.
    at = LogPlace(0, 1, 1)
    await world.fold_slice(world.correct(at, tokens("9", 2, "l")))
    await world.fold_slice(world.correct(LogPlace(0, 1, 2), None))
    await world.fold(tokens("7", 5, "xl"))
    assert await explained(world, period_id, "large") == (True, "", ["2", "3"])
    assert await explained(world, period_id) == (True, "", ["1"])
    assert await explained(world, period_id, region="us") == (True, "", ["4"])
    while await reattribute_next(world.worker, world):
        pass
    await world.adjust(period_id, 1)
    is_frozen, note, values = await explained(world, period_id, "large", sequence=1)
    assert (is_frozen, values) == (True, ["9", "7"])
    assert "adjustment" in note


async def test_a_fee_of_no_charge_or_period_is_refused(world: World) -> None:
    await world.subscribe("acme")
    period_id = await world.period_id("acme")
    with pytest.raises(FieldInvalid, match="no charge 'tokens'"):
        await explained(world, period_id)
    with pytest.raises(NotFound):
        await explained(world, UUID(int=1))
