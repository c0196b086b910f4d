"""Charges with their options against oracles of whole numbers and fractions."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from libs.period import DayPeriod, Period, local_midnight
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.cell import Cell
from services.rating.domain.custom import CustomPrice
from services.rating.domain.event import UsageEvent, micros
from services.rating.domain.fee import Fee, FeeKind
from services.rating.domain.filters import DimensionFilter
from services.rating.domain.folding import fold
from services.rating.domain.meter import Aggregation, Dimension, Meter
from services.rating.domain.period import BillingPeriod, PeriodKind, PeriodStatus
from services.rating.domain.plan import Charge, FilterBucket, IntervalUnit, PlanVersion
from services.rating.domain.price import StandardPrice, amount_of
from services.rating.domain.price_options import Conversion, ConversionRounding, PriceOptions
from services.rating.domain.single_events import single_events
from services.rating.domain.usage_fees import usage_fees, with_minimums
from tests.property.rating.test_folding import START, TERM, ZONE, hard_values, logs, piece_of
from tests.unit.rating.periods import a_billing_period

NOW = datetime(2024, 1, 1, tzinfo=UTC)
METERS = {
    aggregation: Meter(
        meter_id=UUID(int=place),
        code=aggregation,
        name=aggregation,
        event_type="used",
        aggregation=aggregation,
        value_property="" if aggregation is Aggregation.COUNT else "v",
        dimensions=(Dimension("region", ()), Dimension("card", ())),
        created_at=NOW,
    )
    for place, aggregation in enumerate((Aggregation.COUNT, Aggregation.SUM), start=1)
}
SALES = METERS[Aggregation.SUM]
whole = st.integers(0, 200).map(Decimal)
amounts = st.decimals(min_value=0, max_value=20, places=3)
cents = st.decimals(min_value=0, max_value=100, places=2)
cells = st.lists(
    st.builds(
        lambda region, card, total, count: Cell((region, card), count, Decimal(total)),
        st.sampled_from(["", "eu", "us"]),
        st.sampled_from(["", "visa"]),
        st.integers(0, 300),
        st.integers(1, 5),
    ),
    max_size=8,
)


def of_charge(charge: Charge, used: list[Cell]) -> list[Fee]:
    version = PlanVersion(UUID(int=2), 1, IntervalUnit.MONTH, None, None, (charge,), NOW)
    return usage_fees(version, {"sum": SALES}, {"sum": used}, currency="USD")


@given(
    used=st.integers(0, 500),
    price=amounts,
    factors=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    rounding=st.sampled_from([ConversionRounding.UP, ConversionRounding.DOWN]),
    free=st.integers(0, 30),
    percent=st.integers(0, 100),
    maximum=st.none() | cents,
)
def test_options_equal_pricing_one_converted_unit_at_a_time(
    used: int,
    price: Decimal,
    factors: tuple[int, int],
    rounding: ConversionRounding,
    free: int,
    percent: int,
    maximum: Decimal | None,
) -> None:
    options = PriceOptions(
        conversion=Conversion(Decimal(factors[0]), Decimal(factors[1]), rounding),
        usage_discount=Decimal(free),
        percentage_discount=Decimal(percent),
        maximum_amount=maximum,
    )
    charge = Charge("c", "sum", "", StandardPrice(price), (), options)
    found = of_charge(charge, [Cell(("", ""), 1, Decimal(used))])
    begun = used * factors[0] % factors[1] != 0 and rounding is ConversionRounding.UP
    cost = Fraction(0)
    for unit in range(used * factors[0] // factors[1] + begun):
        cost += Fraction(price) if unit >= free else 0
    cost = cost * (100 - percent) / 100
    assert amount_of(found[0].rows) == (cost if maximum is None else min(cost, Fraction(maximum)))


@given(used=cells, prices=st.tuples(amounts, amounts), maximum=cents, group=st.booleans())
def test_a_maximum_is_reached_to_the_cent_or_takes_nothing(
    used: list[Cell], prices: tuple[Decimal, Decimal], maximum: Decimal, group: bool
) -> None:
    bucket = FilterBucket(
        "eu", (DimensionFilter("region", frozenset({"eu"})),), StandardPrice(prices[1])
    )
    charge = Charge("c", "sum", "", StandardPrice(prices[0]), (bucket,))
    charge = replace(charge, group_by=("card",) if group else ())
    free = of_charge(charge, used)
    bound = of_charge(replace(charge, options=PriceOptions(maximum_amount=maximum)), used)
    limit = int(maximum * 100)
    assert [fee.key for fee in bound] == [fee.key for fee in free]
    assert all(fee.amount_minor >= 0 for fee in bound)
    if bound != free:
        assert sum(fee.amount_minor for fee in bound) == limit
    else:
        assert sum(fee.amount_minor for fee in free) <= limit + len(free)


@given(used=cells, minimum=cents, days=st.integers(1, 31))
def test_fees_and_what_they_lack_are_the_share_of_the_minimum_or_more(
    used: list[Cell], minimum: Decimal, days: int
) -> None:
    charge = Charge("c", "sum", "", StandardPrice(Decimal("0.01")), ())
    charge = replace(charge, options=PriceOptions(minimum_amount=minimum))
    version = PlanVersion(UUID(int=2), 1, IntervalUnit.MONTH, None, None, (charge,), NOW)
    period = a_period(days)
    fees = with_minimums(version, {"sum": SALES}, of_charge(charge, used), period)
    least = int(Fraction(minimum) * days / 31 * 100 + Fraction(1, 2))
    spent = sum(fee.amount_minor for fee in fees if fee.key.kind is FeeKind.USAGE)
    assert sum(fee.amount_minor for fee in fees) == max(spent, least)


@given(used=cells, factors=st.tuples(whole, whole))
def test_a_custom_price_adds_up_over_the_values_that_it_reads(
    used: list[Cell], factors: tuple[Decimal, Decimal]
) -> None:
    eu, other = factors
    text = f"if(dimensions.region = 'eu', {eu} * units, {other}) - events"
    found = of_charge(Charge("c", "sum", "", CustomPrice(text), ()), used)
    expected = Fraction(0)
    for region, alike in groupby(sorted(used, key=region_of), region_of):
        members = list(alike)
        units = sum(cell.total or 0 for cell in members)
        base = eu * units if region == "eu" else other
        expected += max(Fraction(base) - sum(cell.event_count for cell in members), Fraction(0))
    assert sum(Fraction(fee.exact_amount) for fee in found) == expected


@given(logs(hard_values), st.integers(0, 30), st.integers(0, 2), st.integers(1, 3))
def test_single_events_are_those_that_the_cells_of_a_term_and_its_days_count(
    log: list[UsageEvent], change: int, first: int, days: int
) -> None:
    moved = micros(START) + change * 4 * 3_600_000_000
    after = replace(TERM, term_id=UUID(int=10), start=moved, event_types=TERM.event_types)
    terms: list[Term] = [replace(TERM, end=moved), after]
    catalog = Catalog(1, {"used": list(METERS.values())}, {"acme": terms})
    first_day = START.date() + timedelta(days=first)
    window = DayPeriod(first_day, first_day + timedelta(days=days))
    instants = Period(local_midnight(window.first_day, ZONE), local_midnight(window.end_day, ZONE))
    folded = fold([piece_of(event) for event in log], {1: catalog})
    for term in terms:
        found = single_events(
            log, catalog, list(METERS.values()), term_id=term.term_id, window=instants
        )
        for meter in METERS.values():
            counted: dict[tuple[str, ...], list[Decimal]] = {}
            for event in found[meter.code]:
                counted.setdefault(event.dimensions, []).append(event.value)
            stored: dict[tuple[str, ...], tuple[int, Fraction]] = {}
            for key, cell in folded.cells.items():
                own = (key.term_id, key.meter_id) == (term.term_id, meter.meter_id)
                if own and window.first_day <= key.day < window.end_day:
                    count, total = stored.get(cell.dimensions, (0, Fraction(0)))
                    units = cell.event_count if cell.total is None else cell.total
                    stored[cell.dimensions] = (count + cell.event_count, total + Fraction(units))
            assert stored == {
                dimensions: (len(values), sum(map(Fraction, values), Fraction(0)))
                for dimensions, values in counted.items()
            }


def region_of(cell: Cell) -> str:
    return cell.dimensions[0]


def a_period(days: int) -> BillingPeriod:
    first = NOW.date()
    month = DayPeriod(first, first + timedelta(days=31))
    fee_days = DayPeriod(first, first + timedelta(days=days))
    return a_billing_period(
        PeriodKind.USAGE, whole=month, fee_days=fee_days, status=PeriodStatus.DUE
    )
