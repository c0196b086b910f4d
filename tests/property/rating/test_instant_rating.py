"""Rating events as they come, slice by slice with a stored state, against the whole replayed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from random import Random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.rating.domain.charge_price import ChargePrice, price_usage
from services.rating.domain.event import Moment
from services.rating.domain.fee import FeeKey
from services.rating.domain.instant import InstantPrice, provisional_fee, replay
from services.rating.domain.instant_bill import settle
from services.rating.domain.instant_charge import InstantTerms, Settle
from services.rating.domain.instant_fee import InstantFee
from services.rating.domain.instant_rating import rate_slice
from services.rating.domain.instant_state import State, Unbilled
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.plan import Charge
from services.rating.domain.price import amount_of
from services.rating.domain.replaying import costliest, steps_of
from services.rating.domain.single_events import EventsNotRead, SingleEvent
from tests.property.rating.test_instant import prices
from tests.unit.rating.test_charges import SALES

D = Decimal
PERIOD = UUID(int=1)
USERS = replace(SALES, aggregation=Aggregation.UNIQUE_COUNT)
values = st.integers(-30, 60).map(D)
amounts = st.integers(0, 40).map(D)
names = st.sampled_from([b"a", b"b", b"c"])
kinds = st.tuples(st.integers(0, 5), values, amounts, names)
slices = st.lists(st.lists(kinds, min_size=1, max_size=4), min_size=1, max_size=5)


def events_of(
    drawn: Sequence[Sequence[tuple[int, Decimal, Decimal, bytes]]],
) -> list[list[SingleEvent]]:
    """Return the slices' events, of which several may happen at one instant."""
    return [
        [
            SingleEvent(Moment(time, 0, number, place), ("", ""), value, name, amount)
            for place, (time, value, amount, name) in enumerate(one)
        ]
        for number, one in enumerate(drawn, 1)
    ]


def rated(
    charge: Charge, meter: Meter, came: Sequence[list[SingleEvent]]
) -> list[list[InstantFee]]:
    """Rate slices as the service does: with the state alone, and with all events where it must."""
    states: dict[FeeKey, State] = {}
    found = []
    for place, fresh in enumerate(came, 1):
        try:
            one = rate_slice(charge, meter, fresh, period_id=PERIOD, states=states, known=None)
        except EventsNotRead:
            known = [event for each in came[:place] for event in each]
            one = rate_slice(charge, meter, fresh, period_id=PERIOD, states=states, known=known)
        states = dict(one.states)
        found.append(list(one.fees))
    return found


def instant(price: ChargePrice, settle_: Settle = Settle.PERIOD) -> Charge:
    return Charge("sales", "sales", "", price, (), instant=InstantTerms(settle_))


def total(fees: Sequence[Sequence[InstantFee]]) -> Decimal:
    return sum((fee.exact_amount for each in fees for fee in each), D(0))


@given(prices, slices)
def test_each_fee_is_what_its_event_adds_to_those_known_and_dated_before_it(
    price: InstantPrice, drawn: list[list[tuple[int, Decimal, Decimal, bytes]]]
) -> None:
    came = events_of(drawn)
    found = rated(instant(price), SALES, came)
    for place, fees in enumerate(found, 1):
        known = steps_of(SALES, [event for each in came[:place] for event in each])
        fresh = [step for step in known if step.moment.number == place]
        expected = {step.moment: provisional_fee(price, known, step).amount for step in fresh}
        costs = {fee.moment: fee.exact_amount for fee in fees}
        assert costs == {moment: cost for moment, cost in expected.items() if cost}


@given(prices, slices, st.randoms(use_true_random=False), st.sampled_from([SALES, USERS]))
def test_fees_and_their_correction_total_the_same_in_any_order_of_arrival(
    price: InstantPrice,
    drawn: list[list[tuple[int, Decimal, Decimal, bytes]]],
    random: Random,
    meter: Meter,
) -> None:
    came = events_of(drawn)
    steps = steps_of(meter, [event for each in came for event in each])
    whole = price_usage(price, instant(price).options, costliest(price, steps))
    assert amount_of(whole) == amount_of(replay(price, steps))
    in_time = rated(instant(price), meter, [[event] for event in _ordered(came)])
    assert total(in_time) == amount_of(whole)  # Nothing is left to correct.
    shuffled = list(came)
    random.shuffle(shuffled)
    as_they_came = rated(instant(price), meter, shuffled)
    assert all(fee.exact_amount > 0 for each in as_they_came for fee in each)


@given(
    prices,
    slices,
    st.sampled_from([Settle.EVENT, Settle.DAILY, Settle.AMOUNT]),
    st.sampled_from(["USD", "JPY", "KWD"]),
)
def test_no_minor_unit_is_billed_twice_or_lost(
    price: InstantPrice,
    drawn: list[list[tuple[int, Decimal, Decimal, bytes]]],
    when: Settle,
    currency: str,
) -> None:
    charge = instant(price, when)
    if when is Settle.AMOUNT:
        charge = replace(charge, instant=InstantTerms(when, D(7)))
    left: dict[FeeKey, Unbilled] = {}
    billed = D(0)
    fees = rated(charge, SALES, events_of(drawn))
    third = D("0.333")  # So that there is something below any minor unit.
    cut = [[replace(f, exact_amount=f.exact_amount * third) for f in each] for each in fees]
    for each in cut:
        made, left = settle(charge, "", each, left, currency=currency)
        for _, bills in made:
            billed += sum(bill.amount_minor or 0 for bill in bills)
    places = {"USD": 2, "JPY": 0, "KWD": 3}[currency]
    rest = sum((one.exact for one in left.values()), D(0))
    assert billed.scaleb(-places) + rest == total(cut)
    if when is not Settle.AMOUNT:
        assert rest < D(1).scaleb(-places)
    else:
        assert rest < 7


def _ordered(came: Sequence[Sequence[SingleEvent]]) -> list[SingleEvent]:
    return sorted((event for each in came for event in each), key=lambda event: event.moment)
