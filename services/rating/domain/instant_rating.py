"""Rating a slice's events of an instant charge: what each of them costs as it comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from uuid import UUID

from services.rating.domain.charge_price import ChargePrice
from services.rating.domain.fee import FeeKey
from services.rating.domain.instant import Step
from services.rating.domain.instant_fee import InstantFee, PaymentStatus
from services.rating.domain.instant_state import (
    Standing,
    State,
    comes_late,
    price_among,
    price_next,
)
from services.rating.domain.meter import Meter
from services.rating.domain.plan import Charge
from services.rating.domain.replaying import steps_of
from services.rating.domain.single_events import EventsNotRead, SingleEvent
from services.rating.domain.usage_fees import parts_of


@dataclass(frozen=True, slots=True)
class RatedSlice:
    """Fees of a charge in the order of moments, and how its buckets and groups stand after them."""

    fees: tuple[InstantFee, ...]
    states: Mapping[FeeKey, State]


def rate_slice(
    charge: Charge,
    meter: Meter,
    fresh: Sequence[SingleEvent],
    *,
    period_id: UUID,
    states: Mapping[FeeKey, State],
    known: Sequence[SingleEvent] | None,
) -> RatedSlice:
    """Price the `fresh` events of a slice in a usage period, after those of earlier slices.

    `states` are those of all buckets and groups with events; `known` all events that have been
    priced, and the fresh ones, needed where the states are not enough. What costs nothing is no
    fee.

    Raises:
        EventsNotRead: `known` is needed.
    """
    assert charge.instant is not None
    prices: dict[str, ChargePrice] = {one.code: one.price for one in charge.buckets}
    prices[""] = charge.price
    known_of = None if known is None else parts_of(charge, meter, known)
    status = None if charge.instant.invoiced else PaymentStatus.PENDING
    fees: list[InstantFee] = []
    after = dict(states)
    for key, of_part in parts_of(charge, meter, fresh).items():
        state = states.get(key, State())
        others = None if known_of is None else known_of.get(key, ())
        price = prices[key.filter_code]
        standing, amounts = _rate_part(charge, price, meter, state.standing, of_part, others)
        if standing.last is None:
            continue  # All of them were retracted meanwhile.
        after[key] = replace(state, standing=standing)
        fees += [
            InstantFee(period_id, key, step.moment, step.units, amount, status)
            for step, amount in amounts
            if amount
        ]
    return RatedSlice(tuple(sorted(fees, key=lambda fee: fee.moment)), after)


def _rate_part(
    charge: Charge,
    price: ChargePrice,
    meter: Meter,
    standing: Standing,
    fresh: Sequence[SingleEvent],
    known: Sequence[SingleEvent] | None,
) -> tuple[Standing, list[tuple[Step, Decimal]]]:
    moments = {event.moment for event in fresh}
    if not comes_late(standing, meter, min(moments)):
        steps = steps_of(meter, fresh)
        standing, amounts = price_next(price, charge.options, standing, steps)
        return standing, list(zip(steps, amounts, strict=True))
    if known is None:
        raise EventsNotRead("an event is dated before others that were priced")
    steps = steps_of(meter, known)
    standing, costs = price_among(price, charge.options, steps, moments)
    return standing, [(step, costs[step.moment]) for step in steps if step.moment in costs]
