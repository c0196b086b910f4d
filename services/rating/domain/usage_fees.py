"""Fees of usage: what the charges of a plan cost for the cells of a period.

Each bucket and group of a charge that has events makes a fee; what they lack of the charge's
minimum makes one more when the period closes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from operator import attrgetter
from typing import Protocol, TypeVar

from libs.money import EXACT, Money, exact_sum, round_minor, to_decimal
from services.rating.domain.cell import Cell
from services.rating.domain.charge_price import (
    NO_USAGE,
    ChargePrice,
    Usage,
    costs_something,
    price_usage,
    reads_events,
    weighs_entries,
)
from services.rating.domain.custom import CustomPrice, Part, PriceNotComputable
from services.rating.domain.fee import Fee, FeeKey, FeeKind, share_of_days
from services.rating.domain.filters import choose_bucket
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import Charge, PlanVersion
from services.rating.domain.price import ZERO, Row, amount_of, flat_row
from services.rating.domain.prorated_usage import prorated_entries, prorated_units
from services.rating.domain.replaying import replayed_usage
from services.rating.domain.seats import Seats, is_seats, replayed_seats
from services.rating.domain.single_events import EventsNotRead, SingleEvent
from services.rating.domain.true_up import true_up_minor
from services.rating.domain.usage import Span, units, whole_usage

Events = Mapping[str, Sequence[SingleEvent]]


class HasDimensions(Protocol):
    """What has values of its meter's dimensions."""

    @property
    def dimensions(self) -> tuple[str, ...]: ...


T = TypeVar("T", bound=HasDimensions)


def usage_fees(
    version: PlanVersion,
    meters: Mapping[str, Meter],
    cells: Mapping[str, Sequence[Cell]],
    *,
    currency: str,
    span: Span | None = None,
    events: Events | None = None,
) -> list[Fee]:
    """Return the fees of all charges, in the plan's order, buckets before the default bucket.

    `meters` and `cells` are by meter code, and so are the `events` that were counted, for prices
    that look at them; meters that weigh levels over time need the `span`. A bucket without events
    makes no fee; a charge without any makes one on the default bucket if nothing costs something:
    a first tier's flat amount.

    Raises:
        PriceNotComputable: a custom price has no value.
        EventsNotRead: a price looks at events, and they are not those of the cells.
    """
    fees = []
    for charge in version.charges:
        code = charge.meter_code
        counted = None if events is None else events.get(code)
        fees += charge_fees(
            charge,
            meters[code],
            cells.get(code, ()),
            span=span,
            events=counted,
            currency=currency,
        )
    return fees


def charge_fees(
    charge: Charge,
    meter: Meter,
    cells: Sequence[Cell],
    *,
    span: Span | None,
    events: Sequence[SingleEvent] | None,
    currency: str,
) -> list[Fee]:
    """Return the fees of one charge. Its maximum holds for all of them in their order."""
    prices = charge.prices
    cells_of = parts_of(charge, meter, cells)
    events_of = None if events is None else parts_of(charge, meter, events)
    fees: list[Fee] = []

    def add(key: FeeKey, usage: Usage) -> None:
        price, billed = prices[key.filter_code], _billed(fees, currency)
        fee = usage_fee(
            charge, meter.name, key, price, usage=usage, billed=billed, currency=currency
        )
        fees.append(fee)

    for key in cells_of:
        counted = None if events_of is None else events_of.get(key, ())
        weighed = prorated_usage_of if charge.prorated else usage_of
        price = prices[key.filter_code]
        if is_seats(charge, meter):
            period = None if span is None else span.seats
            seats = replayed_seats(
                charge, price, meter, cells_of[key], events=counted, period=period
            )
            usage = seats.usage()
            if usage is not None:
                add(key, usage)
                fees[-1] = _less_held(fees[-1], seats, currency)
        elif charge.instant is not None:
            add(key, replayed_usage(price, meter, cells_of[key], counted))
        else:
            add(key, weighed(price, meter, cells_of[key], span=span, events=counted))
    if not fees and charge.instant is None and costs_something(charge.price, charge.options):
        add(FeeKey(FeeKind.USAGE, charge.code, ""), NO_USAGE)
    return fees


def parts_of(charge: Charge, meter: Meter, found: Iterable[T]) -> dict[FeeKey, list[T]]:
    """Return what of cells or events belongs to each fee of `charge`.

    They are in the order of the buckets, the default bucket last, then of the groups' values.
    """
    if not charge.buckets and not charge.group_by:
        everything = list(found)
        return {FeeKey(FeeKind.USAGE, charge.code, ""): everything} if everything else {}
    filters = [bucket.filters for bucket in charge.buckets]
    keys = [dimension.key for dimension in meter.dimensions]
    sorted_out: dict[tuple[int, tuple[str, ...]], list[T]] = {}
    chosen: dict[tuple[str, ...], tuple[int, tuple[str, ...]]] = {}
    for one in found:
        part = chosen.get(one.dimensions)
        if part is None:
            values = dict(zip(keys, one.dimensions, strict=True))
            bucket = choose_bucket(filters, values)
            group = tuple(values[key] for key in charge.group_by)
            part = chosen[one.dimensions] = (len(filters) if bucket is None else bucket, group)
        sorted_out.setdefault(part, []).append(one)
    codes = [*(bucket.code for bucket in charge.buckets), ""]
    parts = {}
    for place, group in sorted(sorted_out):
        named = tuple(zip(charge.group_by, group, strict=True))
        key = FeeKey(FeeKind.USAGE, charge.code, codes[place], named)
        parts[key] = sorted_out[place, group]
    return parts


def usage_of(
    price: ChargePrice,
    meter: Meter,
    cells: Sequence[Cell],
    *,
    span: Span | None,
    events: Sequence[SingleEvent] | None,
) -> Usage:
    """Return the usage of one bucket and group, with what of it `price` looks at."""
    whole = whole_usage(cells, meter)
    return Usage(
        units=units(whole, meter, span=span),
        event_count=whole.event_count,
        amount=whole.amount or ZERO,
        values=_values(whole, meter, events) if reads_events(price) else (),
        parts=_parts(price, meter, cells, span) if isinstance(price, CustomPrice) else (),
    )


def prorated_usage_of(
    price: ChargePrice,
    meter: Meter,
    cells: Sequence[Cell],
    *,
    span: Span | None,
    events: Sequence[SingleEvent] | None,
) -> Usage:
    """Return the usage of one bucket and group, weighed by the days billed of the `span`."""
    assert span is not None and span.billed is not None, "prorated usage is weighed by days"
    found = prorated_units(cells, meter, span.billed)
    entries = None
    if weighs_entries(price):
        entries = prorated_entries(cells, meter, span.billed, events)
    count = sum(cell.event_count for cell in cells)
    return Usage(found.units, count, full_units=found.full_units, entries=entries)


def with_minimums(
    version: PlanVersion, meters: Mapping[str, Meter], fees: Sequence[Fee], period: BillingPeriod
) -> list[Fee]:
    """Return the usage `fees` of a `period` that closes, and behind each charge's what they lack.

    That is minimum_amount x days billed / days of the whole week or month - what they cost,
    rounded once: 10.00 for 25 of 28 days and 8.00 used lack 0.93.
    """
    found: list[Fee] = []
    days, of_days = period.billed_days, period.whole.days
    for charge in version.charges:
        own = [fee for fee in fees if fee.key.charge_code == charge.code]
        found += own
        minimum = charge.options.minimum_amount
        if minimum is None:
            continue
        used = sum(fee.amount_minor for fee in own)
        lacking = true_up_minor(minimum, used, days=days, of_days=of_days, currency=period.currency)
        if lacking:
            row = share_of_days(minimum, days, period.whole, label="minimum")
            rows = (row, flat_row("used", EXACT.minus(_billed(own, period.currency))))
            found.append(_true_up(charge, meters[charge.meter_code], rows, lacking))
    return found


def _values(whole: Cell, meter: Meter, events: Sequence[SingleEvent] | None) -> list[Decimal]:
    """Return the values of a bucket's events in their order.

    Raises:
        EventsNotRead: they are not known, or not those that its cells have counted.
    """
    if events is None:
        raise EventsNotRead("a price looks at single events, which were not read")
    values = [event.value for event in sorted(events, key=attrgetter("moment"))]
    total = exact_sum(values)
    counts = meter.aggregation is Aggregation.COUNT
    quantity = Decimal(whole.event_count) if counts else whole.total or ZERO
    if (len(values), total) != (whole.event_count, quantity):
        counted = f"{whole.event_count} events of {quantity} units"
        raise EventsNotRead(f"{counted} are counted, {len(values)} of {total} are in the log")
    return values


def _parts(
    price: CustomPrice, meter: Meter, cells: Sequence[Cell], span: Span | None
) -> list[Part]:
    """Return the usage of each combination of the values that `price` reads, in their order."""
    keys = [dimension.key for dimension in meter.dimensions]
    read = [(place, key) for place, key in enumerate(keys) if key in price.dimensions]
    alike: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        alike.setdefault(tuple(cell.dimensions[place] for place, _ in read), []).append(cell)
    parts = []
    for values in sorted(alike):
        whole = whole_usage(alike[values], meter)
        named = {key: value for (_, key), value in zip(read, values, strict=True)}
        parts.append(Part(units(whole, meter, span=span), whole.event_count, named))
    return parts


def _rows(charge: Charge, price: ChargePrice, usage: Usage, *, billed: Decimal) -> tuple[Row, ...]:
    try:
        return price_usage(price, charge.options, usage, billed=billed)
    except PriceNotComputable as failed:
        code = charge.code
        raise PriceNotComputable(
            f"charge {code}: {failed}", metadata={"charge_code": code}
        ) from None


def usage_fee(
    charge: Charge,
    meter_name: str,
    key: FeeKey,
    price: ChargePrice,
    *,
    usage: Usage,
    billed: Decimal = ZERO,
    currency: str,
) -> Fee:
    """Return the fee `key`, for its `usage`; `billed` is what those before it cost."""
    rows = _rows(charge, price, usage, billed=billed)
    exact = amount_of(rows)
    return Fee(
        key=key,
        meter_code=charge.meter_code,
        display_name=charge.display_name or meter_name,
        units=usage.units,
        event_count=usage.event_count,
        exact_amount=exact,
        amount_minor=round_minor(exact, currency),
        rows=rows,
    )


def _true_up(charge: Charge, meter: Meter, rows: tuple[Row, ...], amount_minor: int) -> Fee:
    return Fee(
        key=FeeKey(FeeKind.MINIMUM, charge.code, ""),
        meter_code=charge.meter_code,
        display_name=charge.display_name or meter.name,
        units=ZERO,
        event_count=0,
        exact_amount=amount_of(rows),
        amount_minor=amount_minor,
        rows=rows,
    )


def _less_held(fee: Fee, seats: Seats, currency: str) -> Fee:
    """Return the fee of seats without what is paid for already."""
    if not seats.held_units:
        return fee
    units, amount = EXACT.minus(seats.held_units), EXACT.minus(seats.held_amount)
    exact = EXACT.add(fee.exact_amount, amount)
    return replace(
        fee,
        units=EXACT.add(fee.units, units),
        exact_amount=exact,
        amount_minor=round_minor(exact, currency),
        rows=(*fee.rows, Row("held", units, ZERO, ZERO, amount)),
    )


def _billed(fees: Iterable[Fee], currency: str) -> Decimal:
    return to_decimal(Money(currency, sum(fee.amount_minor for fee in fees)))
