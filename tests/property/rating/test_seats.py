"""Seats rated as they come, against the period replayed and against a sum by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.rating.domain.cell import Cell
from services.rating.domain.charge_price import ChargePrice
from services.rating.domain.event import Moment, micros
from services.rating.domain.fee import FeeKey, FeeKind
from services.rating.domain.instant_bill import Bill, settled
from services.rating.domain.instant_charge import InstantTerms, Settle
from services.rating.domain.instant_fee import InstantFee
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import Charge
from services.rating.domain.seat_period import seat_period_of
from services.rating.domain.seat_rating import rate_seats
from services.rating.domain.seats import KnownUsage
from services.rating.domain.single_events import SingleEvent
from services.rating.operations.rating import price_period
from tests.unit.rating.test_charges import a_version
from tests.unit.rating.test_seats import PRORATED, SEATS, THIRTY, TIERED, USERS, june, left

D = Decimal
JUNE_10 = datetime(2026, 6, 10, tzinfo=UTC)
NAMES = ["ann", "bob", "cat"]
changes = st.tuples(
    st.integers(0, 20 * 24), st.integers(-6, 8).filter(bool), st.sampled_from(NAMES)
)
logs = st.lists(changes, max_size=6)
carried = st.tuples(st.integers(-3, 9), st.sets(st.sampled_from(NAMES)))
charges = st.builds(
    lambda price, prorated: replace(PRORATED, price=price, prorated=prorated),
    st.sampled_from([THIRTY, TIERED]),
    st.booleans(),
)
periods = st.sampled_from([june(), june(10), june(10, held=True)])
Log = list[tuple[int, int, str]]
Left = tuple[int, set[str]]


def events_of(log: Log, *, distinct: bool) -> list[SingleEvent]:
    """Return events from the tenth on; several may happen at once."""
    found = []
    for number, (hour, value, name) in enumerate(log):
        moment = Moment(micros(JUNE_10 + timedelta(hours=hour)), 0, number, 0)
        units = D(1 if value > 0 else -1) if distinct else D(value)
        found.append(SingleEvent(moment, ("",), units, name.encode()))
    return found


def whole(
    charge: Charge,
    period: BillingPeriod,
    before: Cell,
    events: Sequence[SingleEvent],
    distinct: bool,
) -> Decimal:
    """Return what the period costs as a whole."""
    meter = USERS if distinct else SEATS
    rated = price_period(
        period,
        a_version(charge),
        {"seats": meter},
        {SEATS.meter_id: [before, *_own(events)]},
        events={"seats": events},
    )
    return sum((fee.exact_amount for fee in rated.fees), D(0))


def rated(
    charge: Charge,
    period: BillingPeriod,
    before: Cell,
    came: Sequence[SingleEvent],
    *,
    distinct: bool,
    renewed: int = 0,
) -> list[InstantFee]:
    """Rate events as they come, one by one, and the renewal once `renewed` of them have come."""
    meter = USERS if distinct else SEATS
    opening = {seat_period_of(period).opening}
    found: list[InstantFee] = []
    for place in range(len(came) + 1):
        if place == renewed:
            known = KnownUsage([before])
            found += rate_seats(charge, meter, known, opening, period=period, states={}).fees
        if place < len(came):
            known = KnownUsage([before], came[: place + 1])
            wanted = {came[place].moment}
            found += rate_seats(charge, meter, known, wanted, period=period, states={}).fees
    return found


@given(charges, periods, carried, logs, st.booleans(), st.integers(0, 6))
def test_in_time_nothing_is_left_to_correct_whenever_the_renewal_is_made(
    charge: Charge, period: BillingPeriod, before: Left, log: Log, distinct: bool, renewed: int
) -> None:
    cell = left("" if distinct else str(before[0]), *(before[1] if distinct else ()))
    events = sorted(events_of(log, distinct=distinct), key=lambda event: event.moment)
    late = min(renewed, len(events))
    fees = rated(charge, period, cell, events, distinct=distinct, renewed=late)
    assert all(fee.exact_amount > 0 for fee in fees)
    total = sum((fee.exact_amount for fee in fees), D(0))
    assert total == whole(charge, period, cell, events, distinct)


@given(
    charges,
    periods,
    carried,
    logs,
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_bills_and_their_correction_total_the_same_in_any_order_of_arrival(
    charge: Charge,
    period: BillingPeriod,
    before: Left,
    log: Log,
    distinct: bool,
    random: Random,
) -> None:
    cell = left("" if distinct else str(before[0]), *(before[1] if distinct else ()))
    came = events_of(log, distinct=distinct)
    expected = whole(charge, period, cell, came, distinct)
    random.shuffle(came)
    assert whole(charge, period, cell, came, distinct) == expected
    fees = rated(charge, period, cell, came, distinct=distinct)
    billed = replace(charge, instant=InstantTerms(Settle.EVENT))
    key = FeeKey(FeeKind.USAGE, "seats", "")
    total = sum((fee.exact_amount for fee in fees), D(0))
    bills = [Bill(key, "seats", "", D(0), len(fees), total, None)] if fees else []
    priced = price_period(
        period,
        a_version(billed),
        {"seats": USERS if distinct else SEATS},
        {SEATS.meter_id: [cell, *_own(came)]},
        events={"seats": came},
    )
    corrected = settled(a_version(billed), priced.fees, bills, "USD")
    assert total + sum((fee.exact_amount for fee in corrected), D(0)) == expected


@given(periods, carried, logs)
def test_prorated_seats_cost_each_rise_by_its_days(
    period: BillingPeriod, before: Left, log: Log
) -> None:
    events = sorted(events_of(log, distinct=False), key=lambda event: event.moment)
    level = top = D(before[0])
    top = max(top, D(0))
    first = period.fee_days.first_day.day
    weighed = D(0) if period.held_codes else _share(top, 31 - first)
    for event in events:
        level += event.value
        days = -((event.moment.time - micros(datetime(2026, 7, 1, tzinfo=UTC))) // 86_400_000_000)
        weighed += _share(max(level - top, D(0)), days)
        top = max(level, top)
    price: ChargePrice = THIRTY
    charge = replace(PRORATED, price=price)
    assert whole(charge, period, left(str(before[0])), events, False) == weighed * 30


def _share(units: Decimal, days: int) -> Decimal:
    return (units * days / 30).quantize(D("0.00001"), rounding=ROUND_CEILING)


def _own(events: Sequence[SingleEvent]) -> list[Cell]:
    total = sum((event.value for event in events), D(0))
    own = Cell(("",), event_count=len(events), total=total, day=date(2026, 6, 10))
    return [own] if events else []
