"""What usage must cost, computed anew from the events: in fractions, by code of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from math import ceil, floor

from tests.chaos.known import Usage
from tests.chaos.seen import Charged

DAYS = 7
WEEK = timedelta(days=DAYS)
# Types of events: the values of calls are added up, jobs are counted, and the values of levels stay
# from their day on, in later weeks, too.
CALL, JOB, LEVEL = "call", "job", "level"
PLACES = 10**5  # Units that are weighed by days are rounded up to so many parts of one.

Tiers = Sequence[tuple[int | None, str]]  # Last unit of the band (None: open) and unit amount.


class Settled(StrEnum):
    """When what the events of a charge cost is billed."""

    WITH_WEEK = "with week"
    DAILY = "daily"
    BY_AMOUNT = "by amount"
    APART = "apart"  # Fee by fee, on no invoice.


@dataclass(frozen=True, slots=True)
class Rate:
    """What events of a type cost."""

    kind: str
    tiers: Tiers
    settled: Settled = Settled.WITH_WEEK


@dataclass(frozen=True, slots=True)
class AddOn:
    """So many units a week, whatever the usage; those in advance by the days that are left."""

    units: Decimal
    unit_amount: str
    in_advance: bool


@dataclass(frozen=True, slots=True)
class Tariff:
    """A weekly plan: its charges and add-ons by code, and its base fee."""

    code: str
    charges: Mapping[str, Rate]
    base_minor: int = 0
    add_ons: Mapping[str, AddOn] = field(default_factory=dict)

    @property
    def bills_early(self) -> bool:
        """Tell whether some of its events are priced as they come."""
        return any(rate.settled is not Settled.WITH_WEEK for rate in self.charges.values())


SETTLE_AMOUNT = "0.25"
EARLY = {
    "soon": Rate(CALL, [(30, "0.016"), (None, "0.008")], Settled.BY_AMOUNT),
    "daily": Rate(JOB, [(5, "0.012"), (None, "0.004")], Settled.DAILY),
    "apart": Rate(CALL, [(None, "0.03")], Settled.APART),
}
# More than retractions can take: at the end no refund waits for an invoice that never comes.
SUPPORT = AddOn(Decimal(1), "20", in_advance=False)
TARIFFS = {
    tariff.code: tariff
    for tariff in (
        Tariff(
            "metered",
            {
                CALL: Rate(CALL, [(100, "0.013"), (None, "0.007")]),
                JOB: Rate(JOB, [(None, "0.05")]),
            },
        ),
        Tariff("based", {CALL: Rate(CALL, [(None, "0.0105")])}, base_minor=300),
        Tariff("instant", EARLY, add_ons={"support": SUPPORT}),
        Tariff(
            "seated",
            {LEVEL: Rate(LEVEL, [(None, "0.35")])},
            add_ons={"seats": AddOn(Decimal(4), "7", in_advance=True)},
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Seat:
    """A subscription of the world."""

    subscription_id: str
    customer_id: str
    tariff: str
    delay_seconds: int  # Collection delay.


def expected_usage(
    seats: Sequence[Seat], starts: Sequence[datetime], events: Iterable[Usage]
) -> dict[tuple[str, datetime], dict[str, Charged]]:
    """Return what each subscription's weeks, which begin at `starts`, cost by charge.

    Charges without events are left out.
    """
    own: defaultdict[tuple[str, str], list[Usage]] = defaultdict(list)
    for event in events:
        own[event.subscription_id, event.type].append(event)
    found: dict[tuple[str, datetime], dict[str, Charged]] = {}
    for seat in seats:
        rates = TARIFFS[seat.tariff].charges
        for start in starts:
            of_week = {
                code: charge_week(rate, own[seat.subscription_id, rate.kind], start)
                for code, rate in rates.items()
            }
            found[seat.subscription_id, start] = {
                code: charged for code, charged in of_week.items() if charged.event_count
            }
    return found


def charge_week(rate: Rate, events: Sequence[Usage], start: datetime) -> Charged:
    """Return what the week that begins at `start` costs, whatever the order of its events."""
    before_end = [event for event in events if event.time < start + WEEK]
    if rate.kind == LEVEL:
        units = weighed([(event.time, event.value) for event in before_end], start)
        return Charged(units, len(before_end), rounded(cents(units, rate.tiers)))
    inside = [event.value for event in before_end if event.time >= start]
    return charge(rate.kind, inside, rate.tiers)


def charge(kind: str, values: Sequence[Decimal], tiers: Tiers) -> Charged:
    """Return the units, the events and the amount of one charge, rounded once.

    150 units at 0.013 up to 100, then 0.007: 1.30 + 0.35 is 165 minor units.
    """
    units = Decimal(len(values)) if kind == JOB else sum(values, Decimal(0))
    return Charged(units, len(values), rounded(cents(units, tiers)))


def weighed(changes: Iterable[tuple[datetime, Decimal]], start: datetime) -> Decimal:
    """Return a level by the days of a week: 7 that come on its last day are 1.

    What came before the week counts for all of it.
    """
    total = Fraction(0)
    for time, value in changes:
        total += Fraction(value) * (DAYS - max((time - start).days, 0))
    return Decimal(ceil(total / DAYS * PLACES)) / PLACES


def cents(units: Decimal, tiers: Tiers) -> Fraction:
    """Return what units cost in minor units, exactly."""
    amount, below = Fraction(0), Fraction(0)
    for last, unit_amount in tiers:
        top = Fraction(units) if last is None else min(Fraction(units), Fraction(last))
        amount += max(top - below, Fraction(0)) * Fraction(unit_amount)
        below = top
    return amount * 100


def rounded(amount: Fraction) -> int:
    """Round half away from zero: 0.5 to 1 and -0.5 to -1."""
    size = floor(abs(amount) + Fraction(1, 2))
    return size if amount >= 0 else -size
