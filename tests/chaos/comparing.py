"""Finds every way in which the suite's answers disagree with what its clients know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from tests.chaos.expected import TARIFFS, Seat, expected_usage
from tests.chaos.known import Known
from tests.chaos.seen import Books, Charged, InvoiceSeen, Log


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed: the subscriptions, and when their weeks begin."""

    seats: Sequence[Seat]
    starts: Sequence[datetime]
    prepaid: frozenset[str]  # Customers whose wallets cover any invoice.


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
    for invoice in books.invoices:
        yield from _compare_sums(invoice)
        if invoice.customer_id in terms.prepaid and invoice.total_minor:
            yield f"invoice {invoice.number} leaves {invoice.total_minor} in spite of its wallet"
    yield from _compare_lines(terms, log, books)


def _compare_periods(terms: Terms, books: Books) -> Iterator[str]:
    for seat in terms.seats:
        kinds = ["usage", "base"] if TARIFFS[seat.tariff].base_minor else ["usage"]
        wanted = Counter((kind, start, "closed") for kind in kinds for start in terms.starts)
        periods = books.periods.get(seat.subscription_id, ())
        found = Counter((one.kind, one.start, one.status) for one in periods)
        if wanted != found:
            yield f"periods of {seat.subscription_id} are {sorted(found.elements())}"


def _compare_numbers(invoices: Sequence[InvoiceSeen]) -> Iterator[str]:
    for invoice in invoices:
        if invoice.status != "finalized":
            yield f"invoice {invoice.invoice_id} is {invoice.status}"
    numbers = [invoice.number.rpartition("-")[2] for invoice in invoices if invoice.number]
    places = sorted(int(number) for number in numbers)
    if places != list(range(1, len(invoices) + 1)):
        yield f"the {len(invoices)} invoices are numbered {places}"


def _compare_sums(invoice: InvoiceSeen) -> Iterator[str]:
    lines = sum(line.charged.amount_minor for line in invoice.lines)
    credits_minor = sum(line.credits_minor for line in invoice.lines)
    total = invoice.subtotal_minor + invoice.tax_minor - invoice.credits_minor
    if (lines, credits_minor, total) != (
        invoice.subtotal_minor,
        invoice.credits_minor,
        invoice.total_minor,
    ):
        yield f"invoice {invoice.number} does not add up: {invoice}"


def _compare_lines(terms: Terms, log: Log, books: Books) -> Iterator[str]:
    """Each charge of each period is billed once, late usage by adjustments."""
    events = [usage for _, usage in log.events]
    wanted = {
        (subscription, start, code): charged
        for (subscription, start), fees in expected_usage(terms.seats, terms.starts, events).items()
        for code, charged in fees.items()
    }
    for seat in terms.seats:
        if base_minor := TARIFFS[seat.tariff].base_minor:
            for start in terms.starts:
                wanted[seat.subscription_id, start, ""] = Charged(Decimal(1), 0, base_minor)
    billed: dict[tuple[str, datetime, str], Charged] = {}
    times: Counter[tuple[str, datetime, str, int]] = Counter()
    for line in (line for invoice in books.invoices for line in invoice.lines):
        key = (line.subscription_id, line.start, line.charge_code)
        billed[key] = added(billed.get(key), line.charged)
        times[*key, line.adjustment] += 1
    for (subscription, start, code, sequence), count in sorted(times.items()):
        if count > 1:
            yield (
                f"{code or 'base fee'} of {subscription} from {start:%F} is on {count} lines"
                f" as adjustment {sequence}"
            )
    nothing = Charged(Decimal(0), 0, 0)  # What is left where a correction took all.
    for key in sorted(wanted.keys() | billed.keys()):
        if wanted.get(key, nothing) != billed.get(key, nothing):
            yield (
                f"{key[2] or 'base fee'} of {key[0]} from {key[1]:%F} is billed as"
                f" {billed.get(key)}, the log gives {wanted.get(key)}"
            )


def added(one: Charged | None, other: Charged) -> Charged:
    """Return two parts of a charge as one."""
    if one is None:
        return other
    return Charged(
        one.units + other.units,
        one.event_count + other.event_count,
        one.amount_minor + other.amount_minor,
    )
