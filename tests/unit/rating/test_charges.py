"""Charges with their options: every model as a fee, and what a whole charge costs in a period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest

from libs.errors import FieldsInvalid
from libs.period import DayPeriod
from services.rating.domain.cell import Cell, merged
from services.rating.domain.charge_price import ChargePrice
from services.rating.domain.custom import CustomPrice, PriceNotComputable
from services.rating.domain.dynamic import DynamicPrice
from services.rating.domain.event import Moment
from services.rating.domain.fee import Fee, FeeKind, adjustments
from services.rating.domain.filters import DimensionFilter
from services.rating.domain.graduated_percentage import GraduatedPercentagePrice, RateTier
from services.rating.domain.meter import Aggregation, Dimension, Meter
from services.rating.domain.percentage import PercentagePrice
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus
from services.rating.domain.plan import (
    Charge,
    FilterBucket,
    IntervalUnit,
    PlanVersion,
    check_charges,
)
from services.rating.domain.price import GraduatedPrice, StandardPrice, Tier, amount_of
from services.rating.domain.price_options import Conversion, ConversionRounding, PriceOptions
from services.rating.domain.single_events import EventsNotRead, SingleEvent
from services.rating.domain.usage_fees import usage_fees, with_minimums
from tests.unit.rating.periods import a_billing_period

D = Decimal
Shown = tuple[str, Decimal | int, Decimal | int]  # Of a row: label, units, amount.
NOW = datetime(2024, 1, 1, tzinfo=UTC)
FEBRUARY = DayPeriod(date(2023, 2, 1), date(2023, 3, 1))  # Of 28 days.
SALES = Meter(
    meter_id=UUID(int=1),
    code="sales",
    name="Sales",
    event_type="sale",
    aggregation=Aggregation.SUM,
    value_property="usd",
    dimensions=(Dimension("region", ()), Dimension("card", ())),
    created_at=NOW,
)


def a_version(charge: Charge) -> PlanVersion:
    return PlanVersion(UUID(int=2), 1, IntervalUnit.MONTH, None, None, (charge,), NOW)


def a_charge(
    price: ChargePrice, options: PriceOptions | None = None, *buckets: FilterBucket
) -> Charge:
    return Charge("sales", "sales", "", price, buckets, options or PriceOptions())


def a_bucket(region: str, price: ChargePrice) -> FilterBucket:
    return FilterBucket(region, (DimensionFilter("region", frozenset({region})),), price)


def a_period(days: int) -> BillingPeriod:
    fee_days = replace(FEBRUARY, end_day=date(2023, 2, 1 + days)) if days < 28 else FEBRUARY
    return a_billing_period(
        PeriodKind.USAGE, whole=FEBRUARY, fee_days=fee_days, status=PeriodStatus.DUE
    )


def cell(
    total: str, events: int = 1, *, region: str = "", card: str = "", amount: str = ""
) -> Cell:
    return Cell(
        dimensions=(region, card),
        event_count=events,
        total=D(total),
        amount=D(amount) if amount else None,
    )


def sale(second: int, value: str, *, region: str = "") -> SingleEvent:
    return SingleEvent(Moment(second, 0, 1, second), (region, ""), D(value))


def fees(
    charge: Charge, *cells: Cell, events: Sequence[SingleEvent] | None = None, meter: Meter = SALES
) -> list[Fee]:
    of_meter = None if events is None else {"sales": events}
    return usage_fees(
        a_version(charge), {"sales": meter}, {"sales": cells}, currency="USD", events=of_meter
    )


def closed(charge: Charge, *cells: Cell, days: int = 28) -> list[Fee]:
    meters = {"sales": SALES}
    return with_minimums(a_version(charge), meters, fees(charge, *cells), a_period(days))


def rows_of(fee: Fee) -> list[Shown]:
    assert amount_of(fee.rows) == fee.exact_amount
    return [(row.label, row.units, row.amount) for row in fee.rows]


@pytest.mark.parametrize(
    ("price", "minor", "rows"),
    [
        (
            GraduatedPrice((Tier(D(10), D(1), D(2), D(7)), Tier(None, D(2), D(0)))),
            4700,
            [("tier", 10, 12), ("cap", 0, -5), ("tier", 20, 40)],
        ),
        (
            PercentagePrice(D("1.5"), fixed_amount=D("0.1")),
            75,
            [("percentage", 30, D("0.45")), ("fixed", 3, D("0.3"))],
        ),
        (
            GraduatedPercentagePrice((RateTier(D(10), D(2), D(1)), RateTier(None, D(1), D(0)))),
            140,
            [("tier", 10, D("1.2")), ("tier", 20, D("0.2"))],
        ),
        (DynamicPrice(D("1.5")), 630, [("dynamic", D("4.2"), D("6.3"))]),
        (CustomPrice("units / 4 + events"), 1050, [("custom", 1, D("10.5"))]),
        (CustomPrice("events - units"), 0, [("custom", 1, 0)]),
    ],
)
def test_a_fee_of_each_model_shows_how_it_came_about(
    price: ChargePrice, minor: int, rows: list[Shown]
) -> None:
    [fee] = fees(a_charge(price), cell("10", 1, amount="3"), cell("20", 2, card="x", amount="1.2"))
    assert (fee.units, fee.event_count, fee.amount_minor) == (D(30), 3, minor)
    assert rows_of(fee) == rows


def test_a_percentage_takes_events_in_the_order_of_their_times_in_each_bucket() -> None:
    percent = PercentagePrice(D(10), free_events=1, event_minimum=D(2))
    charge = a_charge(percent, None, a_bucket("eu", percent))
    events = [sale(3, "50"), sale(1, "30"), sale(2, "5", region="eu"), sale(2, "10")]
    found = fees(charge, cell("5", region="eu"), cell("90", 3), events=events)
    # The first of 30 is free; of 10 and 50 the first costs 1, lifted to 2, the other 5.
    assert [(fee.key.filter_code, fee.amount_minor) for fee in found] == [("eu", 0), ("", 700)]
    assert rows_of(found[1]) == [("free", 30, 0), ("percentage", 60, 6), ("minimum", 0, 1)]


@pytest.mark.parametrize(
    "events", [None, [], [sale(1, "4")], [sale(1, "4"), sale(2, "7")], [sale(1, "10")] * 2]
)
def test_a_price_of_single_events_is_refused_where_they_are_not_those_counted(
    events: list[SingleEvent] | None,
) -> None:
    charge = a_charge(PercentagePrice(D(1), free_events=1))
    with pytest.raises(EventsNotRead):
        fees(charge, cell("10", 2), events=events)
    assert fees(charge, events=events) == [], "without usage no event is asked for"


def test_a_custom_price_is_evaluated_for_each_combination_of_what_it_reads() -> None:
    charge = a_charge(CustomPrice("units * if(dimensions.region = 'eu', 2, 1)"))
    cells = [cell("1", region="eu", card="a"), cell("3", region="eu"), cell("10", region="us")]
    [fee] = fees(charge, *cells)
    assert rows_of(fee) == [("custom", 1, 8), ("custom", 1, 10)]
    assert fees(charge) == [], "there is no combination without events"


def test_a_custom_price_without_a_value_is_refused_and_never_nothing() -> None:
    with pytest.raises(PriceNotComputable, match="charge sales.*region 'eu'") as refused:
        fees(a_charge(CustomPrice("units * dimensions.region")), cell("1", region="eu"))
    assert refused.value.metadata == {"charge_code": "sales"}
    with pytest.raises(PriceNotComputable, match="the text 'many'"):
        fees(a_charge(CustomPrice("if(units > 5, 'many', 1)")), cell("6"))


def test_a_custom_price_of_no_usage_is_what_it_says() -> None:
    [fee] = fees(a_charge(CustomPrice("10 + units")))
    assert (fee.units, fee.event_count, fee.amount_minor) == (D(0), 0, 1000)
    assert fees(a_charge(CustomPrice("units * 2"))) == []


def test_options_are_applied_in_their_order() -> None:
    options = PriceOptions(
        conversion=Conversion(divisor=D(1000), rounding=ConversionRounding.UP),
        usage_discount=D(2),
        percentage_discount=D(10),
        maximum_amount=D(40),
    )
    [fee] = fees(a_charge(StandardPrice(D(10)), options), cell("6001"))
    # 7 thousands have begun, 2 are free; 50 less a tenth are 45, and 40 at most.
    assert rows_of(fee) == [
        ("converted", 7, 0),
        ("free", 2, 0),
        ("units", 5, 50),
        ("discount", 0, -5),
        ("maximum", 0, -5),
    ]
    assert (fee.units, fee.amount_minor) == (D(6001), 4000)


def test_a_maximum_holds_for_all_buckets_together_to_the_minor_unit() -> None:
    options = PriceOptions(maximum_amount=D(10))
    each = StandardPrice(D(1))
    charge = a_charge(each, options, a_bucket("eu", each), a_bucket("us", each))
    cells = [cell("3.335", region="eu"), cell("5", region="us"), cell("7")]
    found = fees(charge, *cells)
    assert [fee.amount_minor for fee in found] == [334, 500, 166]
    assert rows_of(found[2]) == [("units", 7, 7), ("maximum", 0, D("-5.34"))]


@pytest.mark.parametrize(
    ("used", "days", "lacking"), [("8", 28, 200), ("8", 25, 93), ("10", 28, 0), ("12", 28, 0)]
)
def test_what_a_charge_lacks_of_its_minimum_is_a_fee_of_its_own(
    used: str, days: int, lacking: int
) -> None:
    each = StandardPrice(D(1))
    charge = a_charge(each, PriceOptions(minimum_amount=D(10)), a_bucket("eu", each))
    cells = [cell("3", region="eu"), cell(str(D(used) - 3))]
    assert all(fee.key.kind is FeeKind.USAGE for fee in fees(charge, *cells))
    found = closed(charge, *cells, days=days)
    assert [fee.amount_minor for fee in found[2:]] == ([lacking] if lacking else [])
    for fee in found[2:]:
        assert (fee.key.kind, fee.meter_code) == (FeeKind.MINIMUM, "sales")
        assert [row.label for row in fee.rows] == [
            "minimum" if days == 28 else "proration",
            "used",
        ]
        assert abs(amount_of(fee.rows) - D(lacking) / 100) < D("0.005")


def test_a_minimum_is_due_without_any_usage_and_given_back_for_late_usage() -> None:
    charge = a_charge(StandardPrice(D(1)), PriceOptions(minimum_amount=D(10)))
    before = closed(charge)
    assert [(fee.key.kind, fee.amount_minor) for fee in before] == [(FeeKind.MINIMUM, 1000)]
    for usage, difference in (
        ("4", {"usage": 400, "minimum": -400}),
        ("12", {"usage": 1200, "minimum": -1000}),
    ):
        late = adjustments(closed(charge, cell(usage)), before)
        assert {str(fee.key.kind): fee.amount_minor for fee in late} == difference


def test_each_group_of_a_bucket_is_priced_for_itself() -> None:
    tiers = GraduatedPrice((Tier(D(10), D(1), D(2)), Tier(None, D("0.5"), D(0))))
    options = PriceOptions(usage_discount=D(1), minimum_amount=D(100))
    charge = a_charge(tiers, options, a_bucket("eu", StandardPrice(D(3))))
    charge = replace(charge, group_by=("card",))
    cells = [cell("12", card="visa"), cell("5", 2), cell("4", region="eu", card="visa"), cell("3")]
    found = closed(charge, *cells)
    assert [(fee.key.filter_code, fee.key.group_values, fee.amount_minor) for fee in found] == [
        ("eu", (("card", "visa"),), 900),
        ("", (("card", ""),), 900),  # A missing value is a group: 2 + 7 of 5 + 3 units.
        ("", (("card", "visa"),), 1250),
        ("", (), 6950),
    ]
    [flat] = fees(charge)
    assert (flat.key.group_values, flat.amount_minor) == ((), 200)


def test_events_are_taken_in_order_within_their_group() -> None:
    charge = replace(a_charge(PercentagePrice(D(10), free_events=1)), group_by=("region",))
    events = [sale(2, "30", region="eu"), sale(1, "10"), sale(3, "40"), sale(1, "20", region="eu")]
    found = fees(charge, cell("50", 2), cell("50", 2, region="eu"), events=events)
    assert [fee.amount_minor for fee in found] == [400, 300]


LATEST = replace(SALES, aggregation=Aggregation.LATEST)
MAX = replace(SALES, aggregation=Aggregation.MAX)
FREE = PercentagePrice(D(1), free_events=1)
RATES = GraduatedPercentagePrice((RateTier(None, D(1), D(0)),))
CONVERTED = PriceOptions(conversion=Conversion(D(2)))
DISCOUNTED = PriceOptions(usage_discount=D(1))
EACH = StandardPrice(D(1))
STRANGE = CustomPrice("dimensions.city + units * dimensions.zip")


@pytest.mark.parametrize(
    ("meter", "charge", "fields"),
    [
        (LATEST, a_charge(PercentagePrice(D(1))), ["price.percentage"]),
        (LATEST, a_charge(RATES), ["price.graduated_percentage"]),
        (LATEST, a_charge(EACH, None, a_bucket("eu", FREE)), ["buckets[0].price.percentage"]),
        (MAX, a_charge(FREE), ["price.percentage"]),
        (MAX, a_charge(PercentagePrice(D(1))), []),
        (MAX, a_charge(DynamicPrice()), ["price.dynamic"]),
        (SALES, a_charge(STRANGE), ["price.custom.expression"] * 2),
        (LATEST, a_charge(CustomPrice("units")), []),
        (SALES, a_charge(FREE, CONVERTED), ["conversion"]),
        (SALES, a_charge(EACH, DISCOUNTED, a_bucket("eu", FREE)), ["usage_discount"]),
        (SALES, a_charge(DynamicPrice(), DISCOUNTED), ["usage_discount"]),
        (SALES, a_charge(CustomPrice("units"), CONVERTED), ["conversion"]),
        (SALES, replace(a_charge(EACH), group_by=("card", "city")), ["group_by[1]"]),
        (SALES, replace(a_charge(EACH), group_by=("card", "card")), ["group_by[1]"]),
        (SALES, a_charge(RATES, replace(CONVERTED, usage_discount=D(1))), []),
    ],
)
def test_a_price_that_does_not_fit_its_meter_or_options_is_refused_by_field(
    meter: Meter, charge: Charge, fields: list[str]
) -> None:
    found: list[str] = []
    try:
        check_charges([charge], {"sales": meter})
    except FieldsInvalid as refused:
        found = [fault.field.removeprefix("version.charges[0].") for fault in refused.faults]
    assert found == fields


def test_amounts_of_events_add_up_over_cells() -> None:
    assert merged([cell("1"), cell("2", amount="0.5"), cell("3", amount="-2")]).amount == D("-1.5")
    assert merged([cell("1")]).amount is None
