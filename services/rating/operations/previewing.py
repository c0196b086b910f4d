"""Pricing units, or events, by a charge that is stored nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin
from libs.errors import FieldInvalid, FieldsInvalid
from libs.money import Money
from libs.period import Period
from libs.tenant import Tenant
from libs.wire import money_message
from services.rating.domain.attribution import TIME_MIN, Catalog, Term
from services.rating.domain.charge_price import ChargePrice, Usage, needs_more_than_units
from services.rating.domain.custom import Part
from services.rating.domain.estimating import as_slice
from services.rating.domain.event import UsageEvent
from services.rating.domain.fee import Fee, FeeKey, FeeKind, check_amounts
from services.rating.domain.folding import fold
from services.rating.domain.meter import Aggregation, Meter, MeterUnknown
from services.rating.domain.plan import Charge, charge_faults
from services.rating.domain.single_events import single_events
from services.rating.domain.usage_fees import charge_fees, usage_fee
from services.rating.domain.windows import EARLIEST, LATEST
from services.rating.operations.messages import fee_message
from services.rating.store.meters import load_meters
from tally.rating.v1 import plan_service_pb2 as pb

NOBODY = UUID(int=0)  # In place of what is stored nowhere.
ALL_TIME = Period(EARLIEST, LATEST)


@dataclass(frozen=True, slots=True)
class Units:
    """Usage that is counted already, in the bucket `filter_code` ("": the default bucket)."""

    units: Decimal
    event_count: int
    filter_code: str


async def load_meter_of(engine: AsyncEngine, tenant: Tenant, charge: Charge) -> Meter:
    """Return the meter of `charge`.

    Raises:
        MeterUnknown: there is none.
    """
    async with begin(engine, tenant) as conn:
        found = await load_meters(conn, tenant, [charge.meter_code])
    if charge.meter_code not in found:
        raise MeterUnknown(
            f"charge.meter_code: no meter {charge.meter_code}",
            metadata={"meter_code": charge.meter_code},
        )
    return found[charge.meter_code]


def preview_units(charge: Charge, currency: str, usage: Units) -> pb.PreviewPriceResponse:
    """Price units that are counted already; those of a prorated charge are there all the time.

    Raises:
        FieldInvalid: the charge has no such bucket, or its price looks at more than units.
        PriceNotComputable: a custom price has no value.
        AmountTooLarge: they cost more than money can be written in.
    """
    prices: dict[str, ChargePrice] = {bucket.code: bucket.price for bucket in charge.buckets}
    prices[""] = charge.price
    if usage.filter_code not in prices:
        problem = f"the charge has no bucket {usage.filter_code}"
        raise FieldInvalid("units.filter_code", problem)
    price = prices[usage.filter_code]
    if needs_more_than_units(price):
        raise FieldInvalid("units", "do not tell what the price looks at: give events")
    parts = (Part(usage.units, usage.event_count, {}),)
    counted = Usage(usage.units, usage.event_count, parts=parts)
    if charge.instant is not None and not (usage.units or usage.event_count):
        return _answer([], currency, uncounted=0)  # The flat amount comes with the first event.
    key = FeeKey(FeeKind.USAGE, charge.code, usage.filter_code)
    fee = usage_fee(charge, charge.meter_code, key, price, usage=counted, currency=currency)
    return _answer([fee], currency, uncounted=0)


def preview_events(
    charge: Charge, currency: str, meter: Meter, events: Sequence[UsageEvent]
) -> pb.PreviewPriceResponse:
    """Price what `meter` counts in `events`; those without a type have the meter's.

    Raises:
        FieldInvalid, FieldsInvalid: the charge does not fit the meter, or levels or a prorated
            charge have no period to be weighed over.
        PriceNotComputable: a custom price has no value.
        AmountTooLarge: they cost more than money can be written in.
    """
    faults = charge_faults(charge, meter, "charge")
    if faults:
        raise FieldsInvalid(faults)
    if meter.aggregation is Aggregation.WEIGHTED_SUM:
        problem = f"{meter.code} weighs levels over a billing period: give units"
        raise FieldInvalid("events", problem)
    if charge.prorated:
        problem = "are weighed by the days of a billing period, as the charge is prorated"
        raise FieldInvalid("events", f"{problem}: give units")
    placed = [
        replace(event, type=event.type or meter.event_type, customer_id="", subscription_id="")
        for event in events
    ]
    catalog = Catalog(0, {meter.event_type: [meter]}, {"": [_term(meter)]})
    folded = fold([as_slice(placed)], {event.tenant: catalog for event in events})
    alone = single_events(placed, catalog, [meter], term_id=NOBODY, window=ALL_TIME)
    fees = charge_fees(
        charge,
        meter,
        [replace(cell, day=key.day) for key, cell in folded.cells.items()],
        span=None,
        events=alone[meter.code],
        currency=currency,
    )
    missed = sum(folded.unattributed.values()) + folded.without_value
    return _answer(fees, currency, uncounted=missed)


def _term(meter: Meter) -> Term:
    """Return one that takes every event that `meter` counts."""
    return Term(
        term_id=NOBODY,
        subscription_id="",
        subscription_start=TIME_MIN,
        default_for_usage=False,
        zone=ZoneInfo("UTC"),
        start=TIME_MIN,
        end=None,
        event_types=frozenset([meter.event_type]),
    )


def _answer(fees: Sequence[Fee], currency: str, *, uncounted: int) -> pb.PreviewPriceResponse:
    check_amounts(fees)
    return pb.PreviewPriceResponse(
        fees=[fee_message(fee, currency) for fee in fees],
        amount=money_message(Money(currency, sum(fee.amount_minor for fee in fees))),
        uncounted=uncounted,
    )
