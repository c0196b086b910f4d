"""Rating seats: what is renewed as a period starts, and what each event costs as it comes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from services.rating.domain.event import Moment
from services.rating.domain.fee import FeeKey
from services.rating.domain.instant_fee import InstantFee, PaymentStatus
from services.rating.domain.instant_rating import RatedSlice
from services.rating.domain.instant_state import Standing, State
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import Charge
from services.rating.domain.seat_period import seat_period_of
from services.rating.domain.seats import KnownUsage, seats_of
from services.rating.domain.usage_fees import parts_of


def rate_seats(
    charge: Charge,
    meter: Meter,
    known: KnownUsage,
    wanted: Collection[Moment],
    *,
    period: BillingPeriod,
    states: Mapping[FeeKey, State],
) -> RatedSlice:
    """Price what happens at the moments `wanted`, among all that is `known` of a period.

    The period's opening moment stands for what it carries. `states` are those of all buckets and
    groups so far; what costs nothing is no fee.
    """
    assert charge.instant is not None
    days = seat_period_of(period)
    status = None if charge.instant.invoiced else PaymentStatus.PENDING
    carried = parts_of(charge, meter, known.carried)
    events = parts_of(charge, meter, known.events)
    fees: list[InstantFee] = []
    after = dict(states)
    for key in {**carried, **events}:
        of_part = KnownUsage(carried.get(key, ()), events.get(key, ()))
        seats = seats_of(charge, charge.prices[key.filter_code], meter, of_part, period=days)
        found = list(seats.fees(wanted))
        if found:
            standing = Standing(last=found[-1][0].moment)
            after[key] = replace(states.get(key, State()), standing=standing)
        fees += [
            InstantFee(period.period_id, key, rise.moment, rise.weighed, amount, status)
            for rise, amount in found
        ]
    return RatedSlice(tuple(sorted(fees, key=lambda fee: fee.moment)), after)
