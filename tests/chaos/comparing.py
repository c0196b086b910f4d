"""Finds every way in which the suite's answers disagree with what its clients know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from tests.chaos.comparing_early import taken_early
from tests.chaos.expected import TARIFFS, Settled, expected_usage
from tests.chaos.expected_early import NOTHING, add_on_fee, correction
from tests.chaos.known import Known
from tests.chaos.seen import Books, Charged, InvoiceSeen, Log
from tests.chaos.terms import Terms

Key = tuple[str, datetime, str]  # Subscription, start of the week and charge; "": base fee.


def compare_log(terms: Terms, known: Known, log: Log) -> Iterator[str]:
    """Give what is wrong with the log, and with the usage that was made of it."""
    counts = Counter(identity for identity, _ in log.events)
    stored = dict(log.events)
    for identity in sorted(known.acknowledged - stored.keys()):
        if None not in known.contents(identity):
            yield f"event {identity} was acknowledged and is not in the log"
    for identity, count in sorted(counts.items()):
        if count > 1:
            yield f"event {identity} is {count} times in the log"
        if identity not in known.events:
            yield f"event {identity} is in the log and was never sent"
        elif stored[identity] not in known.contents(identity):
            yield f"event {identity} is {stored[identity]}, sent as {known.contents(identity)}"
    for identity in log.rejected:
        yield f"event {identity} was rejected"
    usage = expected_usage(terms.seats, terms.starts, stored.values())
    for key in sorted(usage.keys() | log.usage.keys()):
        wanted, found = usage.get(key, {}), log.usage.get(key, {})
        if wanted != found:
            yield f"usage of {key[0]} from {key[1]:%F} is {found}, the log gives {wanted}"


def compare_billing(terms: Terms, log: Log, books: Books) -> Iterator[str]:
    """Give what is wrong with the periods and invoices, all of which have ended."""
    yield from _compare_periods(terms, books)
    yield from _compare_numbers(books.invoices)
    yield from _compare_notes(books)
    for invoice in books.invoices:
        yield from _compare_sums(invoice)
        if invoice.customer_id in terms.prepaid and invoice.total_minor:
            yield f"invoice {invoice.number} leaves {invoice.total_minor} in spite of its wallet"
    yield from _compare_lines(terms, log, books)


def _compare_periods(terms: Terms, books: Books) -> Iterator[str]:
    for seat in terms.seats:
        tariff = TARIFFS[seat.tariff]
        kinds = ["usage", "base"] if tariff.base_minor else ["usage"]
        kinds += ["fixed"] if any(one.in_advance for one in tariff.add_ons.values()) else []
        wanted = Counter((kind, start, "closed") for kind in kinds for start in terms.starts)
        periods = books.periods.get(seat.subscription_id, ())
        found = Counter((one.kind, one.start, one.status) for one in periods)
        early = {key: found.pop(key) for key in list(found) if key[0] == "instant"}
        if wanted != found:
            yield f"periods of {seat.subscription_id} are {sorted(found.elements())}"
        if unfinished := [key for key in early if key[2] != "closed"]:
            yield f"periods of {seat.subscription_id} are {unfinished}"


def _compare_numbers(invoices: Sequence[InvoiceSeen]) -> Iterator[str]:
    for invoice in invoices:
        if invoice.status != "finalized":
            yield f"invoice {invoice.invoice_id} is {invoice.status}"
    numbers = [invoice.number.rpartition("-")[2] for invoice in invoices if invoice.number]
    places = sorted(int(number) for number in numbers)
    if places != list(range(1, len(invoices) + 1)):
        yield f"the {len(invoices)} invoices are numbered {places}"


def _compare_notes(books: Books) -> Iterator[str]:
    """Credit notes are numbered without gaps, and what is missing of them paid invoices."""
    places = sorted(int(note.number.rpartition("-")[2]) for note in books.notes)
    if places != list(range(1, len(places) + 1)):
        yield f"the {len(places)} credit notes are numbered {places}"
    used = sum(note.total_minor - note.balance_minor for note in books.notes)
    paid = sum(invoice.notes_minor for invoice in books.invoices)
    if used != paid:
        yield f"{used} is missing of the credit notes, {paid} is paid by them"


def _compare_sums(invoice: InvoiceSeen) -> Iterator[str]:
    lines = sum(line.charged.amount_minor for line in invoice.lines)
    credits_minor = sum(line.credits_minor for line in invoice.lines)
    given_minor = invoice.notes_minor + invoice.credits_minor
    total = invoice.subtotal_minor + invoice.tax_minor - given_minor
    if (lines, credits_minor, total) != (
        invoice.subtotal_minor,
        invoice.credits_minor,
        invoice.total_minor,
    ):
        yield f"invoice {invoice.number} does not add up: {invoice}"


def _compare_lines(terms: Terms, log: Log, books: Books) -> Iterator[str]:
    """Each charge of each period is billed once, late usage by adjustments."""
    wanted = _wanted(terms, log, books)
    billed: dict[Key, Charged] = {}
    times: Counter[tuple[str, datetime, str, int, str]] = Counter()
    for line in (line for invoice in books.invoices for line in invoice.lines):
        key = (line.subscription_id, line.start, line.charge_code)
        billed[key] = added(billed.get(key), line.charged)
        times[*key, line.adjustment, line.period_id] += 1
    for (subscription, start, code, sequence, _), count in sorted(times.items()):
        if count > 1:
            yield (
                f"{code or 'base fee'} of {subscription} from {start:%F} is on {count} lines"
                f" as adjustment {sequence}"
            )
    given_back = _given_back(books)
    for week in sorted(given_back.keys()):
        of_week = [
            sum(charged.amount_minor for key, charged in of.items() if key[:2] == week)
            for of in (wanted, billed)
        ]
        if of_week[0] != of_week[1] - given_back[week]:
            yield (
                f"{week[0]} is billed {of_week[1]} from {week[1]:%F}, less {given_back[week]} by"
                f" credit notes, the log gives {of_week[0]}"
            )
    for key in sorted(wanted.keys() | billed.keys()):
        if key[:2] in given_back:  # A note tells neither units nor events.
            continue
        # Nothing is what is left where a correction took all.
        if wanted.get(key, NOTHING) != billed.get(key, NOTHING):
            yield (
                f"{key[2] or 'base fee'} of {key[0]} from {key[1]:%F} is billed as"
                f" {billed.get(key)}, the log gives {wanted.get(key)}"
            )


def _given_back(books: Books) -> Counter[tuple[str, datetime]]:
    """Return what credit notes give back of each subscription's weeks, before tax."""
    weeks = {
        one.period_id: (name, one.start)
        for name, of_seat in books.periods.items()
        for one in of_seat
    }
    given: Counter[tuple[str, datetime]] = Counter()
    for note in books.notes:
        given[weeks[note.period_id]] += note.subtotal_minor
    return given


def _wanted(terms: Terms, log: Log, books: Books) -> dict[Key, Charged]:
    """Return what all lines of each charge, add-on and base fee must come to."""
    usage = expected_usage(terms.seats, terms.starts, [usage for _, usage in log.events])
    bills, fees = taken_early(books)
    wanted: dict[Key, Charged] = {}
    for seat in terms.seats:
        tariff = TARIFFS[seat.tariff]
        for start in terms.starts:
            of_week = usage[seat.subscription_id, start]
            for code, rate in tariff.charges.items():
                key = (seat.subscription_id, start, code)
                whole = of_week.get(code, NOTHING)
                if rate.settled is Settled.WITH_WEEK:
                    wanted[key] = whole
                elif rate.settled is Settled.APART:
                    wanted[key] = correction(rate, whole, fees[key])
                else:
                    billed = Charged(
                        bills[key].units, bills[key].event_count, int(bills[key].amount)
                    )
                    wanted[key] = added(billed, correction(rate, whole, bills[key]))
            if tariff.base_minor:
                wanted[seat.subscription_id, start, ""] = Charged(Decimal(1), 0, tariff.base_minor)
            for code, add_on in tariff.add_ons.items():
                history = books.units.get(seat.subscription_id, ())
                key = (seat.subscription_id, start, code)
                wanted[key] = add_on_fee(add_on, history, start)
    return wanted


def added(one: Charged | None, other: Charged) -> Charged:
    """Return two parts of a charge as one."""
    if one is None:
        return other
    return Charged(
        one.units + other.units,
        one.event_count + other.event_count,
        one.amount_minor + other.amount_minor,
    )
