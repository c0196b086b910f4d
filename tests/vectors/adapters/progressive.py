"""Progressive billing as Lago has it: thresholds, what is credited later, and what is given back.

Ids of fees and charges are texts there and UUIDs here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from services.invoicing.domain.credit_note import (
    Creditable,
    CreditableLine,
    CreditExceedsInvoice,
    price_note,
)
from services.invoicing.domain.giving_back import fee_key
from services.invoicing.domain.line import Fee, lines_of
from services.invoicing.domain.progressive import (
    EarlyInvoice,
    EarlyLine,
    credit_early,
    early_invoice,
    items_of,
)
from tests.unit.invoicing.samples import amount_fee, rated
from tests.vectors.adapters.credit_notes import id_of
from tests.vectors.adapters.thresholds import cross, show_progress
from tests.vectors.given import Given

PERIOD_DAYS = 31  # What was issued longer ago is of another period.
KEY = fee_key(amount_fee(0))


def progressive(given: Given) -> Mapping[str, Any]:
    """Run the function that the case is of, which is known by what it gives."""
    if given.has("applied"):
        return show_progress(given)
    if given.has("fixed_thresholds_cents"):
        return cross(given, given.asked("rows"))
    if given.has("invoice_fees"):
        return _credit(given)
    if given.has("amount_to_give_back_cents"):
        return _give_back(given)
    return _billed_amount(given.each("progressive_invoices"))


def _billed_amount(invoices: Sequence[Given]) -> dict[str, Any]:
    """Return what was billed early, and what of it an invoice that is dear enough credits."""
    early: list[EarlyInvoice] = []
    billed = total = 0
    for place, one in enumerate(invoices):
        fees = int(one.value("fees_cents"))
        on_it = _cents(one, "progressive_credit_on_it_cents")
        coupons, taxes = int(one.value("coupons_cents")), int(one.value("taxes_cents"))
        for key in ("status", "issuing_day", "created"):  # Voided ones are left out by the store.
            if one.has(key):
                one.value(key)
        if not one.value("in_period"):
            continue
        noted = _noted(one.each("credit_notes")) if one.has("credit_notes") else 0
        used = _cents(one, "used_credit_cents")
        if one.has("used_on_voided_invoice") and one.value("used_on_voided_invoice"):
            used = 0
        billed += fees - on_it
        total += fees - on_it - coupons + taxes
        left = fees - on_it - noted - used
        early.append(EarlyInvoice(UUID(int=place), (EarlyLine(UUID(int=place), KEY, left),)))
    close = lines_of(id_of("close"), [rated([amount_fee(10**9)])])
    credit = credit_early(close, early)
    return {
        "progressive_billed_cents": billed,
        "to_credit_cents": credit.amount_minor,
        "total_billed_cents": total,
    }


def _credit(given: Given) -> dict[str, Any]:
    """Return what an invoice credits; each progressive invoice credits those before it."""
    early: list[EarlyInvoice] = []
    for place, one in enumerate(given.each("progressive_invoices")):
        day = int(one.value("day")) if one.has("day") else 0
        fees = _fees(one.each("fees"))
        if day > -PERIOD_DAYS:
            invoice_id = UUID(int=place)
            lines = lines_of(invoice_id, [rated(fees)])
            shares = credit_early(lines, early).shares_minor
            left = {
                line.line_id: line.fee.amount_minor - shares.get(line.line_id, 0) for line in lines
            }
            early.append(early_invoice(invoice_id, lines, left))
    stated = given.each("invoice_fees")
    lines = lines_of(id_of("close"), [rated(_fees(stated))])
    credit = credit_early(lines, early)
    names = [one.text("id") for one in stated]
    given_back = [item.amount_minor for items in credit.given_back.values() for item in items]
    return {
        "credits": int(credit.amount_minor > 0),
        "credit_cents": credit.amount_minor,
        "per_fee_cents": {
            name: Decimal(credit.shares_minor.get(line.line_id, 0))
            for name, line in zip(names, lines, strict=True)
        },
        "credit_note_on_latest_progressive_invoice_cents": sum(given_back),
    }


def _give_back(given: Given) -> dict[str, Any]:
    lines: dict[UUID, tuple[str, CreditableLine]] = {}
    for one in given.inner("progressive_invoice").each("fees"):
        name, rate = one.text("id"), sum(one.decimals("tax_rates"), Decimal(0))
        line_id = uuid5(NAMESPACE_OID, name)
        amount = int(one.value("amount_cents"))
        lines[line_id] = (name, CreditableLine(line_id, amount, Fraction(rate) / 100))
    early = [EarlyLine(one, KEY, line.amount_minor) for one, (_, line) in lines.items()]
    try:
        items = items_of(early, int(given.value("amount_to_give_back_cents")))
    except CreditExceedsInvoice:
        return {"error": "creditable_amount_is_less_than_requested"}
    billed = tuple(line for _, line in lines.values())
    tax = int(sum(line.amount_minor * line.tax_rate for line in billed))
    note = price_note(Creditable(billed, tax), items)
    return {
        "credit_amount_cents": note.total_minor,
        "items_cents": {lines[item.line_id][0]: item.amount_minor for item in items},
    }


def _fees(stated: Sequence[Given]) -> list[Fee]:
    return [amount_fee(int(one.value("amount_cents")), code=one.text("charge")) for one in stated]


def _noted(notes: Sequence[Given]) -> int:
    stated = [(int(one.value("cents")), one.text("status")) for one in notes]
    return sum(cents for cents, status in stated if status != "voided")


def _cents(given: Given, key: str) -> int:
    return int(given.value(key)) if given.has(key) else 0
