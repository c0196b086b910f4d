"""Prorated charges: which there are, and what their fees tell. June has 30 days."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from libs.period import DayPeriod
from services.rating.domain.carrying import BEFORE
from services.rating.domain.cell import Cell, Presence
from services.rating.domain.charge_price import ChargePrice
from services.rating.domain.event import Moment, micros
from services.rating.domain.fee import Fee
from services.rating.domain.meter import Aggregation, Dimension, Meter
from services.rating.domain.plan import Charge, charge_faults
from services.rating.domain.price import (
    GraduatedPrice,
    PackagePrice,
    StandardPrice,
    Tier,
    VolumePrice,
)
from services.rating.domain.price_options import Conversion, PriceOptions
from services.rating.domain.prorated_rules import prorated_price_faults
from services.rating.domain.prorated_usage import prorated_entries
from services.rating.domain.proration import BilledDays, Entry
from services.rating.domain.rounding import Rounding, RoundingMode
from services.rating.domain.single_events import EventsNotRead, SingleEvent
from services.rating.domain.usage import Billed, Span
from services.rating.domain.usage_fees import charge_fees

D = Decimal
ONE = StandardPrice(D(1))
TIERS = (Tier(D(10), D(3), D(0)), Tier(None, D(1), D(4)))
JUNE = BilledDays(DayPeriod(date(2026, 6, 1), date(2026, 7, 1)), held=30, of_days=30)
BILLED = Billed(JUNE, ZoneInfo("UTC"))
SPAN = Span(0, 1, BILLED)
SEATS = Meter(
    meter_id=UUID(int=1),
    code="seats",
    name="Seats",
    event_type="seats",
    aggregation=Aggregation.SUM,
    value_property="v",
    dimensions=(Dimension("region", ()),),
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    recurring=True,
)
USERS = replace(SEATS, aggregation=Aggregation.UNIQUE_COUNT)
UP = Rounding(RoundingMode.CEIL, 0)


def a_charge(price: ChargePrice, options: PriceOptions | None = None) -> Charge:
    return Charge("seats", "seats", "", price, (), options or PriceOptions(), prorated=True)


def seats(total: str, day: int, *, region: str = "") -> Cell:
    """Return seats that came on a day of June; on day 0 they were there before."""
    at = date(2026, 6, day) if day else BEFORE
    return Cell(dimensions=(region,), event_count=1, total=D(total), day=at)


def at(day: int, hour: int = 0) -> Moment:
    return Moment(micros(datetime(2026, 6, day, hour, tzinfo=UTC)), 0, 1, hour)


def users(day: int, values: dict[bytes, Presence], *, region: str = "") -> Cell:
    return Cell(
        dimensions=(region,), event_count=len(values), values=values, day=date(2026, 6, day)
    )


def fees(charge: Charge, *cells: Cell, meter: Meter = SEATS) -> list[Fee]:
    return charge_fees(charge, meter, cells, span=SPAN, events=None, currency="USD")


def only_fee(charge: Charge, *cells: Cell, meter: Meter = SEATS) -> Fee:
    [fee] = fees(charge, *cells, meter=meter)
    return fee


def told(*numbers: Decimal | int | str | None) -> tuple[Decimal | int | str | None, ...]:
    """Return what is compared; numbers may be written as those of another type."""
    return numbers


def test_a_fee_tells_units_weighed_and_full() -> None:
    # 6 for all of June, 10 for 15 days of 30.
    fee = only_fee(a_charge(ONE), seats("6", 0), seats("10", 16))
    assert told(fee.units, fee.event_count, fee.exact_amount) == (11, 2, 11)
    weighed, priced = fee.rows
    assert told(weighed.label, weighed.units, weighed.up_to, weighed.amount) == (
        "prorated",
        11,
        16,
        0,
    )
    assert told(priced.label, priced.units, priced.amount) == ("units", 11, 11)


def test_the_meter_rounds_what_was_weighed_and_the_full_units() -> None:
    meter = replace(SEATS, rounding=UP)
    fee = only_fee(a_charge(ONE), seats("1.1", 0), seats("1", 30), meter=meter)
    assert told(fee.units, fee.rows[0].up_to) == (2, 3)


def test_a_volume_price_goes_by_the_tier_of_the_full_units() -> None:
    charge = a_charge(VolumePrice(TIERS))
    assert only_fee(charge, seats("12", 16)).exact_amount == 6 + 4
    # Half of them are counted in pairs: 6 pairs are within the first tier.
    pairs = a_charge(VolumePrice(TIERS), PriceOptions(conversion=Conversion(divisor=D(2))))
    assert only_fee(pairs, seats("12", 16)).exact_amount == 9
    free = a_charge(VolumePrice(TIERS), PriceOptions(usage_discount=D(2)))
    assert only_fee(free, seats("12", 16)).exact_amount == (6 - 2) * 3


def test_each_group_is_weighed_for_itself() -> None:
    charge = replace(a_charge(VolumePrice(TIERS)), group_by=("region",))
    found = fees(charge, seats("9", 16, region="eu"), seats("12", 16, region="us"))
    assert [fee.exact_amount for fee in found] == [D("13.5"), 10]


def test_a_value_counts_once_wherever_it_is_there() -> None:
    there, gone = Presence(at(11), True, at(11)), Presence(at(16, 9), False, at(16, 8))
    cells = [users(11, {b"a": there}, region="eu"), users(16, {b"a": gone}, region="us")]
    fee = only_fee(a_charge(ONE), *cells, meter=USERS)
    assert told(fee.units, fee.rows[0].up_to) == (D("0.2"), 0)  # The 11th to the 16th.


def test_what_becomes_of_a_value_on_a_day_is_decided_by_the_last_operation_anywhere() -> None:
    came = users(11, {b"a": Presence(at(11, 5), True, at(11, 5))}, region="eu")
    went = users(11, {b"a": Presence(at(11, 9), False)}, region="us")
    for cells in ((came, went), (went, came)):
        fee = only_fee(a_charge(ONE), *cells, meter=USERS)
        assert told(fee.units, fee.rows[0].up_to) == (D("0.03334"), 0)


def change(day: int, hour: int, value: int, key: bytes = b"") -> SingleEvent:
    return SingleEvent(at(day, hour), ("",), D(value), key)


def test_events_follow_what_was_carried_in_the_order_of_time() -> None:
    events = [change(21, 0, 2), change(16, 0, -1)]
    cells = [seats("6", 0), seats("2", 21), seats("-1", 16)]
    thirds = Entry(D(2), Fraction(1, 3))
    found = prorated_entries(cells, SEATS, BILLED, events)
    assert found == [Entry(D(6), Fraction(1)), Entry(D(-1), Fraction(1, 2)), thirds]


def test_events_that_were_not_counted_are_refused() -> None:
    cells = [seats("6", 0), seats("2", 21)]
    for events in (None, [], [change(21, 0, 3)], [change(21, 0, 1)] * 2):
        with pytest.raises(EventsNotRead):
            prorated_entries(cells, SEATS, BILLED, events)
    with pytest.raises(EventsNotRead):
        prorated_entries([users(3, {b"a": Presence(at(3), True, at(3))})], USERS, BILLED, [])


def test_no_usage_costs_the_first_flat_amount() -> None:
    [fee] = fees(a_charge(GraduatedPrice((Tier(None, D(1), D(5)),))))
    assert told(fee.exact_amount, *(row.label for row in fee.rows)) == (5, "tier")


NOT_RECURRING = replace(SEATS, recurring=False)
LEVEL = replace(SEATS, aggregation=Aggregation.WEIGHTED_SUM)
COUNT = replace(NOT_RECURRING, aggregation=Aggregation.COUNT)
ROUNDED = replace(USERS, rounding=UP)
GRADUATED = a_charge(GraduatedPrice(TIERS))
CONVERTED = PriceOptions(conversion=Conversion(divisor=D(2)), usage_discount=D(1))


@pytest.mark.parametrize(
    ("meter", "charge", "fields"),
    [
        (SEATS, a_charge(ONE, CONVERTED), []),
        (USERS, GRADUATED, []),
        (ROUNDED, a_charge(VolumePrice(TIERS)), []),
        (NOT_RECURRING, a_charge(ONE), ["prorated"]),
        (LEVEL, a_charge(ONE), ["prorated"]),
        (COUNT, a_charge(ONE), ["prorated"] * 2),
        (ROUNDED, GRADUATED, ["prorated"]),
        (SEATS, replace(GRADUATED, options=CONVERTED), ["conversion", "usage_discount"]),
        (SEATS, replace(GRADUATED, options=CONVERTED, prorated=False), []),
    ],
)
def test_a_prorated_charge_that_does_not_fit_its_meter_is_refused(
    meter: Meter, charge: Charge, fields: list[str]
) -> None:
    found = charge_faults(charge, meter, "c")
    assert [fault.field for fault in found] == [f"c.{name}" for name in fields]


def test_prices_that_look_at_something_else_cannot_be_prorated() -> None:
    package = PackagePrice(D(1), D(10), D(0))
    assert [fault.field for fault in prorated_price_faults(package, "c.price")] == ["c.price"]
    for price in (ONE, GraduatedPrice(TIERS), VolumePrice(TIERS)):
        assert prorated_price_faults(price, "c.price") == []
