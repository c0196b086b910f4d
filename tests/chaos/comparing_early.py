"""Finds what is wrong with fees of single events, bills before a week's end, and units."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import floor

from tests.chaos.expected import CALL, SETTLE_AMOUNT, TARIFFS, WEEK, Rate, Settled
from tests.chaos.expected_early import Taken, take
from tests.chaos.known import Fate, Known, UnitsAsked, Usage
from tests.chaos.seen import Books, FeeSeen, LineSeen, Log
from tests.chaos.terms import Terms

Key = tuple[str, datetime, str]  # Subscription, start of the week and charge.


def taken_early(books: Books) -> tuple[Mapping[Key, Taken], Mapping[Key, Taken]]:
    """Return what bills before the end of each week came to, and what its fees do."""
    weeks = {one.period_id: one.start for of_seat in books.periods.values() for one in of_seat}
    starts = sorted(set(weeks.values()))
    bills: defaultdict[Key, list[tuple[Decimal, int, Fraction]]] = defaultdict(list)
    for line in early_lines(books):
        charged = line.charged
        bills[line.subscription_id, line.start, line.charge_code].append(
            (charged.units, charged.event_count, Fraction(charged.amount_minor))
        )
    fees: defaultdict[Key, list[tuple[Decimal, int, Fraction]]] = defaultdict(list)
    for fee in books.fees:
        start = max(one for one in starts if one <= fee.time)
        fees[fee.subscription_id, start, fee.charge_code].append((fee.units, 1, fee.amount))
    nothing = take([])
    return (
        defaultdict(lambda: nothing, {key: take(parts) for key, parts in bills.items()}),
        defaultdict(lambda: nothing, {key: take(parts) for key, parts in fees.items()}),
    )


def early_lines(books: Books) -> list[LineSeen]:
    """Return the lines that bill fees before their week ends."""
    early = {
        one.period_id
        for of_seat in books.periods.values()
        for one in of_seat
        if one.kind == "instant"
    }
    lines = (line for invoice in books.invoices for line in invoice.lines)
    return [line for line in lines if line.period_id in early]


def compare_early(terms: Terms, known: Known, log: Log, books: Books) -> Iterator[str]:
    """Give what is wrong with fees of single events, their bills and payments, and with units."""
    yield from _compare_fees(terms, known, log, books.fees)
    yield from _compare_bills(terms, books)
    yield from _compare_payments(known, books.fees)
    yield from _compare_units(terms, known.units, books)


def _compare_fees(terms: Terms, known: Known, log: Log, fees: Sequence[FeeSeen]) -> Iterator[str]:
    """Each event of an instant charge has one fee, and one that its price allows.

    An event that was corrected may have that of what it was. One that was not
    acknowledged before its week ended may have come after the close, and has none then.
    """
    tariffs = {seat.subscription_id: TARIFFS[seat.tariff] for seat in terms.seats}
    usage = dict(log.events)
    at = {one.place: one.identity for one in log.stored}
    found = Counter((fee.place, fee.charge_code) for fee in fees)
    for (place, code), count in found.items():
        if count > 1:
            yield f"event {at.get(place, place)} has {count} fees of {code}"
    for fee in fees:
        rate = tariffs[fee.subscription_id].charges[fee.charge_code]
        prices = [Fraction(amount) * 100 for _, amount in rate.tiers]
        if not min(prices) * Fraction(fee.units) <= fee.amount <= max(prices) * Fraction(fee.units):
            yield f"fee of {fee.charge_code} for {fee.units} units is {fee.amount} minor units"
        identity = at.get(fee.place)
        if identity is None or identity in known.corrected:
            continue
        if not _is_of(fee, usage[identity], rate):
            yield f"fee {fee} is not one of {identity}, {usage[identity]}"
    for one in log.stored:
        event = usage[one.identity]
        answered_at = known.answered_at.get(one.identity)
        in_time = answered_at is not None and answered_at < terms.week_of(event.time) + WEEK
        if in_time and one.identity not in known.corrected:
            for code, rate in tariffs[event.subscription_id].charges.items():
                early = rate.settled is not Settled.WITH_WEEK and rate.kind == event.type
                if early and not found[one.place, code]:
                    yield f"event {one.identity} has no fee of {code}"


def _is_of(fee: FeeSeen, event: Usage, rate: Rate) -> bool:
    units = event.value if rate.kind == CALL else Decimal(1)
    return (fee.subscription_id, fee.time, fee.units, rate.kind) == (
        event.subscription_id,
        event.time,
        units,
        event.type,
    )


def _compare_bills(terms: Terms, books: Books) -> Iterator[str]:
    """What is billed early are whole minor units of all fees, by the day or by an amount."""
    bills, fees = taken_early(books)
    for seat in terms.seats:
        for code, rate in TARIFFS[seat.tariff].charges.items():
            for start in terms.starts:
                key = (seat.subscription_id, start, code)
                billed, rated = bills[key].amount, fees[key].amount
                if rate.settled is Settled.BY_AMOUNT:
                    right = 0 <= rated - billed < Fraction(SETTLE_AMOUNT) * 100
                else:
                    right = billed == (floor(rated) if rate.settled is Settled.DAILY else 0)
                if not right:
                    yield f"{key} is billed early at {billed}, its fees are {float(rated)}"


def _compare_payments(known: Known, fees: Sequence[FeeSeen]) -> Iterator[str]:
    """What was told of a fee, and of its payment, stays."""
    amounts = {fee.fee_id: fee for fee in fees}
    for fee_id, told in known.fees.items():
        fee = amounts.get(fee_id)
        if fee is None or fee.amount != Fraction(told.exact_amount) * 100:
            yield f"fee {fee_id} was told as {told.exact_amount} and is {fee}"
        elif fee.payment not in told.payments:
            yield f"payment of fee {fee_id} is {fee.payment}, told were {sorted(told.payments)}"
    rates = {code: rate for one in TARIFFS.values() for code, rate in one.charges.items()}
    for fee in fees:
        apart = rates[fee.charge_code].settled is Settled.APART
        if apart == (fee.payment == "unspecified"):
            yield f"payment of fee {fee.fee_id} of {fee.charge_code} is {fee.payment}"
        if fee.payment in {"succeeded", "failed"} and fee.fee_id not in known.fees:
            yield f"fee {fee.fee_id} is {fee.payment}, nobody has paid it"


def _compare_units(terms: Terms, asked: Sequence[UnitsAsked], books: Books) -> Iterator[str]:
    """Each change that was acknowledged is there once; beyond it only what was never answered."""
    for seat in terms.seats:
        own = [one for one in asked if one.subscription_id == seat.subscription_id]
        found = Counter((one.code, one.units) for one in books.units.get(seat.subscription_id, ()))
        sure = Counter((one.code, one.units) for one in own if one.fate is Fate.ACKNOWLEDGED)
        maybe = Counter((one.code, one.units) for one in own if one.fate is Fate.UNKNOWN)
        if missing := sure - found:
            yield f"units of {seat.subscription_id}: acknowledged and missing: {missing}"
        if extra := found - sure - maybe:
            yield f"units of {seat.subscription_id}: there without being asked for: {extra}"
