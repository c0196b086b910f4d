"""Instant charges in a period: their price is that of a replay, whatever order events came in."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from services.rating.domain.charge_price import ChargePrice
from services.rating.domain.custom import CustomPrice
from services.rating.domain.dynamic import DynamicPrice
from services.rating.domain.event import Moment
from services.rating.domain.instant_charge import InstantTerms, Settle, instant_faults, terms_faults
from services.rating.domain.meter import Aggregation, DayBucket
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.plan import Charge, charge_faults
from services.rating.domain.price import (
    GraduatedPrice,
    StandardPrice,
    Tier,
    VolumePrice,
    amount_of,
)
from services.rating.domain.price_options import Conversion, PriceOptions
from services.rating.domain.rounding import Rounding, RoundingMode
from services.rating.domain.single_events import EventsNotRead, SingleEvent, codes_read
from services.rating.domain.usage_fees import usage_fees
from tests.unit.rating.test_charges import SALES, a_version, cell

D = Decimal
ONE_EACH = StandardPrice(D(1))
FLAT = GraduatedPrice((Tier(D(5), D(2), D(100)), Tier(None, D(1), D(50))))


def instant(price: ChargePrice, **more: object) -> Charge:
    return replace(Charge("sales", "sales", "", price, (), instant=InstantTerms()), **more)  # type: ignore[arg-type]


def at(second: int, value: str, amount: str = "0") -> SingleEvent:
    return SingleEvent(Moment(second, 0, 1, second), ("", ""), D(value), amount=D(amount))


def priced(charge: Charge, *events: SingleEvent) -> list[tuple[object, ...]]:
    """Return units, events and amount of each fee for events of the sum `sales`."""
    total = sum((event.value for event in events), D(0))
    cells = [cell(str(total), events=len(events))] if events else []
    found = usage_fees(
        a_version(charge),
        {"sales": SALES},
        {"sales": cells},
        currency="USD",
        events={"sales": events},
    )
    for fee in found:
        assert amount_of(fee.rows) == fee.exact_amount
    return [(fee.units, fee.event_count, fee.exact_amount) for fee in found]


def test_what_goes_gives_nothing_back() -> None:
    assert priced(instant(ONE_EACH), at(2, "-4"), at(1, "10"), at(3, "5")) == [(11, 3, 11)]
    assert priced(instant(ONE_EACH), at(2, "-4"), at(1, "10")) == [(10, 1, 10)]


def test_no_usage_costs_nothing_and_the_flat_amount_comes_with_the_first_event() -> None:
    assert priced(instant(FLAT)) == []
    assert priced(replace(instant(FLAT), instant=None)) == [(0, 0, 100)]
    assert priced(instant(FLAT), at(1, "0")) == [(0, 1, 100)]


def test_options_hold_for_the_highest_usage() -> None:
    options = PriceOptions(
        conversion=Conversion(divisor=D(10)), usage_discount=D(1), percentage_discount=D(50)
    )
    # 40 are 4 tens, of which one is free: half of 3.
    charge = instant(ONE_EACH, options=options)
    assert priced(charge, at(1, "40"), at(2, "-30")) == [(40, 1, D("1.5"))]


def test_percentages_and_dynamic_prices_stop_where_they_cost_most() -> None:
    share = PercentagePrice(D(10), fixed_amount=D(1), free_events=1)
    assert priced(instant(share), at(1, "50"), at(2, "50"), at(3, "-40")) == [(100, 2, 6)]
    own = instant(DynamicPrice(D(2)))
    assert priced(own, at(1, "1", "3"), at(2, "1", "-1")) == [(1, 1, 6)]


def test_events_are_counted_without_being_read() -> None:
    calls = replace(SALES, aggregation=Aggregation.COUNT)
    charge = instant(FLAT)
    assert codes_read(a_version(charge), {"sales": calls}) == frozenset()
    [fee] = usage_fees(
        a_version(charge), {"sales": calls}, {"sales": [cell("0", events=6)]}, currency="USD"
    )
    assert (fee.units, fee.exact_amount) == (D(6), D(161))
    assert codes_read(a_version(charge), {"sales": SALES}) == {"sales"}


def test_other_events_than_those_counted_are_refused() -> None:
    charge, counted = instant(ONE_EACH), cell("10", events=2)
    for events in (None, [at(1, "10")], [at(1, "4"), at(2, "5")]):
        with pytest.raises(EventsNotRead):
            usage_fees(
                a_version(charge),
                {"sales": SALES},
                {"sales": [counted]},
                currency="USD",
                events=None if events is None else {"sales": events},
            )


def test_distinct_values_cost_what_was_there_at_most() -> None:
    users = replace(SALES, aggregation=Aggregation.UNIQUE_COUNT)
    came = [("a", True), ("b", True), ("a", False), ("c", True), ("b", True)]
    events = [
        SingleEvent(Moment(n, 0, 1, n), ("", ""), D(1 if present else -1), value.encode())
        for n, (value, present) in enumerate(came)
    ]
    [fee] = usage_fees(
        a_version(instant(ONE_EACH)),
        {"sales": users},
        {"sales": [cell("0", events=5)]},
        currency="USD",
        events={"sales": events},
    )
    assert (fee.units, fee.exact_amount) == (D(2), D(2))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"aggregation": Aggregation.MAX}, "pay_in_advance"),
        ({"aggregation": Aggregation.AVG}, "pay_in_advance"),
        ({"recurring": True, "fan_out": True}, "pay_in_advance"),
        ({"recurring": True, "rounding": Rounding(RoundingMode.CEIL, 0)}, "pay_in_advance"),
        ({"day_bucket": DayBucket.SUM}, "pay_in_advance"),
    ],
)
def test_meters_whose_usage_is_no_sum_of_events_are_refused(
    change: dict[str, object], field: str
) -> None:
    meter = replace(SALES, **change)  # type: ignore[arg-type]
    faults = charge_faults(instant(ONE_EACH), meter, "charge")
    assert [fault.field for fault in faults] == [f"charge.{field}"]


def test_prices_and_options_of_a_whole_period_are_refused_all_at_once() -> None:
    prices: dict[str, ChargePrice] = {
        "c.price": VolumePrice((Tier(None, D(1), D(0)),)),
        "c.buckets[0].price": CustomPrice("units"),
    }
    options = PriceOptions(maximum_amount=D(9), minimum_amount=D(1))
    assert [fault.field for fault in instant_faults(prices, options, SALES, "c")] == [
        "c.price.volume",
        "c.buckets[0].price.custom",
        "c.maximum_amount",
        "c.minimum_amount",
    ]


@pytest.mark.parametrize(
    ("terms", "fields"),
    [
        (InstantTerms(Settle.AMOUNT, D(1)), []),
        (InstantTerms(Settle.AMOUNT), ["c.settle_amount"]),
        (InstantTerms(Settle.AMOUNT, D(0)), ["c.settle_amount"]),
        (InstantTerms(Settle.DAILY, D(1)), ["c.settle_amount"]),
        (InstantTerms(Settle.EVENT, invoiced=False), ["c.settle"]),
        (InstantTerms(invoiced=False), []),
    ],
)
def test_terms_that_do_not_go_together_are_refused(terms: InstantTerms, fields: list[str]) -> None:
    assert [fault.field for fault in terms_faults(terms, "c")] == fields
