"""Seats: what a period carries, what comes and goes in it, and what another plan has charged.

June has 30 days. A seat costs 30, so that a day of one costs 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from libs.period import DayPeriod
from services.rating.domain.carrying import BEFORE
from services.rating.domain.cell import Cell, Presence
from services.rating.domain.charge_price import ChargePrice
from services.rating.domain.dynamic import DynamicPrice
from services.rating.domain.event import Moment, micros
from services.rating.domain.fee import Fee
from services.rating.domain.instant_charge import InstantTerms
from services.rating.domain.meter import Aggregation, Dimension, Meter
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus
from services.rating.domain.plan import Charge, FilterBucket, charge_faults
from services.rating.domain.price import (
    GraduatedPrice,
    StandardPrice,
    Tier,
    VolumePrice,
    amount_of,
)
from services.rating.domain.price_options import PriceOptions
from services.rating.domain.seat_period import seat_period_of
from services.rating.domain.seat_rating import rate_seats
from services.rating.domain.seats import KnownUsage
from services.rating.domain.single_events import EventsNotRead, SingleEvent
from services.rating.domain.usage_fees import Events
from services.rating.operations.rating import price_period
from tests.unit.rating.periods import a_billing_period
from tests.unit.rating.test_charges import a_version

D = Decimal
JUNE = DayPeriod(date(2026, 6, 1), date(2026, 7, 1))
SEATS = Meter(
    meter_id=UUID(int=1),
    code="seats",
    name="Seats",
    event_type="seats",
    aggregation=Aggregation.SUM,
    value_property="v",
    dimensions=(Dimension("team", ()),),
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    recurring=True,
)
USERS = replace(SEATS, aggregation=Aggregation.UNIQUE_COUNT)
THIRTY = StandardPrice(D(30))
# Five at 30, then 15; the sixth brings 6 more.
TIERED = GraduatedPrice((Tier(D(5), D(30), D(0)), Tier(None, D(15), D(6))))
PRORATED = Charge("seats", "seats", "", THIRTY, (), prorated=True, instant=InstantTerms())
WHOLE = replace(PRORATED, prorated=False)


def june(first: int = 1, *, held: bool = False) -> BillingPeriod:
    """Return June from a day on; `held`: what it carries was charged by another plan."""
    days = replace(JUNE, first_day=date(2026, 6, first))
    period = a_billing_period(PeriodKind.USAGE, whole=JUNE, fee_days=days, status=PeriodStatus.OPEN)
    return replace(period, held_codes=frozenset({"seats"} if held else ()))


def at(day: int, value: str, name: str = "", team: str = "") -> SingleEvent:
    """Return an event at noon; values of one day are in the order in which they are made."""
    time = micros(datetime(2026, 6, day, 12, tzinfo=UTC))
    return SingleEvent(Moment(time, 0, 1, next(_places)), (team,), D(value), name.encode())


_places = iter(range(1_000_000))


def left(units: str = "", *names: str, team: str = "") -> Cell:
    """Return what earlier periods have left."""
    present = {name.encode(): Presence(Moment(0, 0, 1, 0), True) for name in names}
    return Cell((team,), total=D(units or 0), values=present, day=BEFORE)


def fees(
    period: BillingPeriod,
    carried: Sequence[Cell],
    *events: SingleEvent,
    charge: Charge = PRORATED,
    meter: Meter = SEATS,
) -> Sequence[Fee]:
    """Return the fees of the period as a whole."""
    teams = {event.dimensions for event in events}
    own = [
        Cell(
            team,
            event_count=sum(event.dimensions == team for event in events),
            total=sum((one.value for one in events if one.dimensions == team), D(0)),
            day=date(2026, 6, 2),
        )
        for team in sorted(teams)
    ]
    cells = {meter.meter_id: [*carried, *own]}
    known = {"seats": events}
    rated = price_period(period, a_version(charge), {"seats": meter}, cells, events=known)
    assert all(amount_of(fee.rows) == fee.exact_amount for fee in rated.fees)
    come = as_they_come(period, carried, *events, charge=charge, meter=meter)
    assert sum(amount for _, amount in come) == sum(fee.exact_amount for fee in rated.fees)
    return rated.fees


def as_they_come(
    period: BillingPeriod,
    carried: Sequence[Cell],
    *events: SingleEvent,
    charge: Charge = PRORATED,
    meter: Meter = SEATS,
) -> list[tuple[Decimal, Decimal]]:
    """Return units and amounts of what is renewed, and then of each event, in order."""
    known = KnownUsage(carried, events)
    wanted = {seat_period_of(period).opening, *(event.moment for event in events)}
    rated = rate_seats(charge, meter, known, wanted, period=period, states={})
    return [(fee.units, fee.exact_amount) for fee in rated.fees]


def priced(*given: object, **more: object) -> list[tuple[Decimal, Decimal]]:
    return [(fee.units, fee.exact_amount) for fee in fees(*given, **more)]  # type: ignore[arg-type]


def test_what_is_carried_costs_its_price_and_what_comes_the_days_left() -> None:
    # On the sixteenth at noon the last of 15 blocks of 24 hours has begun.
    story = (june(), [left("5")], at(16, "2"))
    assert priced(*story) == [(D(6), D(180))]
    assert as_they_come(*story) == [(D(5), D(150)), (D(1), D(30))]
    assert priced(*story, charge=WHOLE) == [(D(7), D(210))]


def test_what_goes_gives_nothing_back_and_what_comes_again_costs_nothing() -> None:
    story = (june(), [left("5")], at(6, "-3"), at(16, "3"), at(21, "1"))
    assert priced(*story) == [(D("5.33334"), D("160.0002"))]  # 10 days, rounded up to 5 places.
    assert as_they_come(*story) == [(D(5), D(150)), (D("0.33334"), D("10.0002"))]
    assert priced(*story, charge=WHOLE) == [(D(6), D(180))]


def test_tiers_go_on_behind_what_is_carried() -> None:
    charge = replace(PRORATED, price=TIERED)
    story = (june(), [left("5")], at(16, "2"))
    # Half of 2 x 15, and the flat amount of the second tier, which is not weighed.
    assert as_they_come(*story, charge=charge) == [(D(5), D(150)), (D(1), D(21))]
    assert priced(*story, charge=charge) == [(D(6), D(171))]
    assert priced(*story, charge=replace(charge, prorated=False)) == [(D(7), D(186))]


def test_what_was_there_before_a_first_period_costs_the_days_left() -> None:
    # From the tenth on there are 21 days.
    assert as_they_come(june(10), [left("5")]) == [(D("3.5"), D(105))]
    assert priced(june(10), [left("5")]) == [(D("3.5"), D(105))]


def test_what_another_plan_has_charged_costs_nothing_until_it_is_renewed() -> None:
    held = june(16, held=True)
    assert priced(held, [left("5")]) == []
    assert priced(held, [left("5")], at(16, "-2"), at(17, "2")) == []
    story = (held, [left("5")], at(16, "2"))
    [fee] = fees(*story)
    assert (fee.units, fee.exact_amount) == (D(1), D(30))
    assert [(row.label, row.units, row.amount) for row in fee.rows] == [
        ("prorated", D(6), D(0)),
        ("units", D(6), D(180)),
        ("held", D(-5), D(-150)),
    ]
    assert priced(*story, charge=WHOLE) == [(D(2), D(60))]
    assert priced(*story, charge=replace(PRORATED, price=TIERED)) == [(D(1), D(21))]


def test_what_is_held_has_used_up_what_is_free() -> None:
    charge = replace(PRORATED, options=PriceOptions(usage_discount=D(4)))
    assert priced(june(), [left("5")], at(16, "2"), charge=charge) == [(D(6), D(60))]
    held = june(16, held=True)
    assert priced(held, [left("5")], at(16, "2"), charge=charge) == [(D(1), D(30))]


def test_distinct_values_that_are_carried_are_there() -> None:
    story = (
        june(),
        [left("", "ann", "bob")],
        at(16, "1", "ann"),
        at(16, "-1", "bob"),
        at(16, "1", "cat"),
        at(16, "1", "bob"),
    )
    assert as_they_come(*story, meter=USERS) == [(D(2), D(60)), (D("0.5"), D(15))]
    assert priced(*story, meter=USERS) == [(D("2.5"), D(75))]


@pytest.mark.parametrize("units", ["0", "-3"])
def test_no_seats_cost_nothing(units: str) -> None:
    charge = replace(PRORATED, price=GraduatedPrice((Tier(None, D(30), D(100)),)))
    assert priced(june(), [left(units)], charge=charge) == []
    assert priced(june(), [left(units)], at(1, "4"), at(2, "-4"), charge=charge) != []
    assert priced(june(), [left("-3")], at(1, "3"), charge=charge) == []


def test_groups_renew_each_their_own_once() -> None:
    charge = replace(PRORATED, group_by=("team",))
    carried = [left("5", team="a"), left("2", team="b")]
    assert priced(june(), carried, at(16, "2", team="b"), charge=charge) == [
        (D(5), D(150)),
        (D(3), D(90)),
    ]
    opening = {seat_period_of(june()).opening}
    rated, again = (
        rate_seats(charge, SEATS, KnownUsage(carried), opening, period=june(), states={})
        for _ in range(2)
    )
    ids = [fee.fee_id for fee in rated.fees]
    assert len(set(ids)) == 2
    assert ids == [fee.fee_id for fee in again.fees]
    assert all(fee.is_renewal for fee in rated.fees)


def test_an_end_of_the_subscription_gives_nothing_back() -> None:
    cut = replace(june(), fee_days=replace(JUNE, end_day=date(2026, 6, 20)))
    cut = replace(cut, usage=replace(cut.usage, end=datetime(2026, 6, 19, tzinfo=UTC)))
    assert priced(cut, [left("5")], at(16, "2")) == [(D(6), D(180))]


def test_other_events_than_those_counted_are_refused() -> None:
    cells = {
        SEATS.meter_id: [left("5"), Cell(("",), event_count=1, total=D(2), day=JUNE.first_day)]
    }
    others: list[Events | None] = [None, {"seats": []}, {"seats": [at(1, "5")]}]
    for events in others:
        with pytest.raises(EventsNotRead):
            price_period(june(), a_version(PRORATED), {"seats": SEATS}, cells, events=events)


@pytest.mark.parametrize(
    ("price", "field"),
    [
        (PercentagePrice(D(1)), "percentage"),
        (DynamicPrice(D(1)), "dynamic"),
        (VolumePrice((Tier(None, D(1), D(0)),)), "volume"),
    ],
)
def test_prices_of_events_do_not_go_with_what_is_carried(price: ChargePrice, field: str) -> None:
    bucket = FilterBucket("b", (), price)
    charge = replace(WHOLE, price=price, buckets=(bucket,))
    assert [fault.field for fault in charge_faults(charge, SEATS, "c")] == [
        f"c.price.{field}",
        f"c.buckets[0].price.{field}",
    ]
    assert charge_faults(PRORATED, SEATS, "c") == []
    assert charge_faults(replace(PRORATED, price=TIERED), USERS, "c") == []
