"""Credit notes: what they give back, what becomes of it, and which invoices they pay.

Ids of fees and notes are texts there and UUIDs here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5
from zoneinfo import ZoneInfo

from libs.money import Money, to_decimal
from libs.period import DayPeriod, local_day, local_midnight
from services.invoicing.domain.credit_note import (
    Creditable,
    CreditableLine,
    NoteAmounts,
    NoteItem,
    creditable_minor,
    price_note,
)
from services.invoicing.domain.note_use import (
    NoteKind,
    OpenNote,
    apply_notes,
    refundable_minor,
    settle,
)
from services.invoicing.domain.voiding import void_notes
from services.rating.domain.calendar import BillingTime, Calendar, stretches
from services.rating.domain.fee import base_fee
from services.rating.domain.plan import Interval, IntervalUnit
from tests.vectors.comparing import rounded
from tests.vectors.given import Given

PLACES = 5  # Of exact amounts there.


def credit_note(given: Given) -> dict[str, Any]:
    """Run the function that the case is of, which is known by what it gives."""
    if given.has("item_amount_cents"):
        return _one_note(given)
    if given.has("credit_note"):
        return _after_others(given)
    if given.has("void"):
        return _void(given.inner("invoice"), given.inner("void"))
    if given.has("on_termination_credit_note"):
        return _termination(given)
    invoice = given.inner("invoice")
    if invoice.has("currency"):
        return _apply(invoice, given.each("credit_notes"))
    return _series(_invoice(invoice), given.each("credit_notes"))


def id_of(text: str) -> UUID:
    """Return the UUID of a text that names something."""
    return uuid5(NAMESPACE_OID, text)


def _one_note(given: Given) -> dict[str, Any]:
    fee = given.inner("fee")
    rate = _rate(fee)
    amount, coupon = (
        int(fee.value("amount_cents")),
        Fraction(fee.find_decimal("precise_coupons_cents") or 0),
    )
    line = CreditableLine(id_of("fee"), amount, rate, coupon)
    invoice = Creditable((line,), floor((amount - coupon) * rate + Fraction(1, 2)))
    note = price_note(invoice, [NoteItem(line.line_id, int(given.value("item_amount_cents")))])
    return _note_of(note) | {"max_creditable_cents": note.total_minor}


def _after_others(given: Given) -> dict[str, Any]:
    invoice = _invoice(given.inner("invoice"))
    earlier = tuple(
        NoteAmounts(
            items,
            sum(item.amount_minor for item in items),
            int(note.value("taxes_cents")),
            Fraction(note.decimal("precise_taxes_cents")),
        )
        for note in given.each("earlier_credit_notes")
        for items in [_items(note)]
    )
    noted = Creditable(invoice.lines, invoice.tax_minor, earlier)
    return _note_of(price_note(noted, _items(given.inner("credit_note"))))


def _series(invoice: Creditable, wanted: Sequence[Given]) -> dict[str, Any]:
    notes: list[NoteAmounts] = []
    creditable: list[int | None] = []
    for place, one in enumerate(wanted):
        noted = Creditable(invoice.lines, invoice.tax_minor, tuple(notes))
        note = price_note(noted, _items(one))
        # As they are kept there.
        kept = rounded(note.exact_tax, PLACES)
        notes.append(NoteAmounts(note.items, note.subtotal_minor, note.tax_minor, kept))
        after = creditable_minor(Creditable(invoice.lines, invoice.tax_minor, tuple(notes)))
        creditable.append(None if place < 2 else after)  # None is stated there.
    each = [_note_of(note) for note in notes]
    return {
        "taxes_cents": [note["taxes_cents"] for note in each],
        "totals_cents": [note["total_cents"] for note in each],
        "sub_totals_cents": [note["sub_total_excluding_taxes_cents"] for note in each],
        "coupons_adjustment_cents": [note["coupons_adjustment_cents"] for note in each],
        "precise_taxes_cents": [note["precise_taxes_cents"] for note in each],
        "taxes_rounding_adjustments": [note["taxes_rounding_adjustment"] for note in each],
        "creditable_after_cents": creditable,
    }


def _apply(invoice: Given, stated: Sequence[Given]) -> dict[str, Any]:
    currency = invoice.text("currency")
    notes = {
        id_of(name): (name, OpenNote(id_of(name), id_of("another"), of, balance, "default"))
        for one in stated
        for name, balance in [(one.text("id"), int(one.value("balance_cents")))]
        for of in [one.text("currency") if one.has("currency") else currency]
    }
    gross = int(invoice.value("total_cents"))
    open_notes = [note for _, note in notes.values()]
    applied = apply_notes(id_of("invoice"), currency, gross, open_notes, entity_code="default")
    left = {name: note.balance_minor for name, note in notes.values()}
    for one in applied:
        left[notes[one.credit_note_id][0]] -= one.amount_minor
    return {
        "credits": [[notes[one.credit_note_id][0], one.amount_minor] for one in applied],
        "balances_cents": left,
    }


def _termination(given: Given) -> dict[str, Any]:
    [plan], [subscription] = given.each("plans"), given.each("subscriptions")
    [customer] = given.each("customers")
    billed = given.inner("invoice")
    invoice = _invoice(billed)
    kind = NoteKind(given.text("on_termination_credit_note"))
    zone = ZoneInfo(customer.text("timezone"))
    used, unused, whole = _days(plan, subscription, zone)
    _read(plan, "id", "amount_cents", "currency", "pay_in_advance", "charges")
    _read(subscription, "id", "customer", "plan")
    _read(customer, "id", "tax_rates")
    paid = int(billed.value("paid_cents"))
    if billed.text("status") == "voided":
        return {"credit_note": None}
    line = invoice.lines[0]
    price = line.amount_minor
    earlier = [
        price_note(invoice, _items(note))
        for note in (
            given.each("earlier_credit_notes") if given.has("earlier_credit_notes") else []
        )
    ]
    noted = Creditable(invoice.lines, invoice.tax_minor, tuple(earlier))
    before = line.amount_minor - noted.lines_left()[line.line_id]
    exact = Fraction(price * unused, whole) - before
    item = price - base_cents(price, whole - unused, whole) - before
    coupon_left = line.coupon * unused / whole
    if exact <= 0 or exact == coupon_left:
        return {"credit_note": None}
    note = price_note(noted, [NoteItem(line.line_id, item)])
    gross = {one.line_id: one.amount_minor for one in invoice.lines}
    kept = Fraction(price * used, whole) * (1 + line.tax_rate)
    refundable = refundable_minor(paid, gross, line.line_id, kept=kept)
    parts = settle(kind, note.total_minor, refundable_minor=refundable)
    return {
        "item_cents": item,
        "item_precise_cents": Fraction(floor(exact * 10**PLACES), 10**PLACES),
        "sub_total_cents": note.subtotal_minor,
        "taxes_cents": note.tax_minor,
        "total_cents": note.total_minor,
        "refund_cents": parts.refund_minor,
        "credit_cents": parts.credit_minor,
        "offset_cents": parts.offset_minor,
    }


def _void(invoice: Given, asked: Given) -> dict[str, Any]:
    whole = _invoice(invoice)
    total = whole.subtotal_minor + whole.tax_minor
    paid = int(invoice.value("paid_cents"))
    _read(invoice, "status")
    _read(asked, "generate_credit_note")
    parts, rest = void_notes(
        total,
        paid,
        credit_minor=int(asked.value("credit_cents")),
        refund_minor=int(asked.value("refund_cents")),
    )
    note = {
        "credit_cents": parts.credit_minor,
        "refund_cents": parts.refund_minor,
        "total_cents": parts.credit_minor + parts.refund_minor,
        "credit_status": "available" if parts.credit_minor else "consumed",
        "status": "finalized",
    }
    voided = {"refund_cents": 0, "total_cents": rest, "credit_status": "voided"}
    notes = [note, voided | {"status": "finalized"}] if rest else [note]
    return {
        "invoice_status": "voided",
        "payment_status": "succeeded" if paid == total else "pending",
        "credit_notes": notes,
    }


def base_cents(price: int, days: int, whole: int) -> int:
    """Return what a base fee of `price` costs for so many days, as rating rounds it."""
    first = date(2000, 1, 1)
    fee = base_fee(
        "",
        to_decimal(Money("EUR", price)),
        fee_days=DayPeriod(first, first + timedelta(days=days)),
        whole=DayPeriod(first, first + timedelta(days=whole)),
        currency="EUR",
    )
    return fee.amount_minor


def _days(plan: Given, subscription: Given, zone: ZoneInfo) -> tuple[int, int, int]:
    """Return the days used, unused and of the whole period in which a subscription ended."""
    started, ended = (
        datetime.fromisoformat(subscription.text(key)) for key in ("started_at", "terminated_at")
    )
    assert plan.text("interval") == "monthly"
    if subscription.text("terminated_because") == "upgrade":  # Its day is the new plan's.
        ended = local_midnight(local_day(ended, zone), zone) - timedelta.resolution
    calendar = Calendar(
        Interval(IntervalUnit.MONTH, 1),
        zone,
        BillingTime(subscription.text("billing_time")),
        local_day(started, zone),
    )
    *_, last = stretches(calendar, started, ended)
    trial_days = int(plan.value("trial_days")) if plan.has("trial_days") else 0
    trial_end = local_day(started + timedelta(days=trial_days), zone)
    first, end = last.whole.first_day, last.fee_days.end_day
    if trial_days:
        first = max(first, trial_end)
    used = max(0, (end - first).days)
    unused = max(0, (last.whole.end_day - max(first, end)).days)
    return used, unused, last.whole.days


def _invoice(given: Given) -> Creditable:
    """Read an invoice: its coupon falls on its fees by amount; its tax is stated or follows."""
    fees = given.each("fees")
    amounts = [int(fee.value("amount_cents")) for fee in fees]
    of_invoice = int(given.value("coupon_cents")) if given.has("coupon_cents") else 0
    lines = []
    for fee, amount in zip(fees, amounts, strict=True):
        coupon = Fraction(of_invoice * amount, sum(amounts) or 1)
        if fee.has("coupon_cents"):
            coupon += int(fee.value("coupon_cents"))
        _read(fee, "type", "plan_amount_cents")
        lines.append(CreditableLine(id_of(fee.text("id")), amount, _rate(fee), coupon))
    exact = sum(((line.amount_minor - line.coupon) * line.tax_rate for line in lines), Fraction(0))
    tax = floor(exact + Fraction(1, 2))
    if given.has("taxes_cents"):
        assert tax == given.value("taxes_cents")
    _read(given, "total_cents")
    return Creditable(tuple(lines), tax)


def _rate(fee: Given) -> Fraction:
    rates = fee.decimals("tax_rates") if fee.has("tax_rates") else []
    return Fraction(sum(rates, Decimal(0))) / 100


def _items(note: Given) -> tuple[NoteItem, ...]:
    return tuple(
        NoteItem(id_of(one.text("fee")), int(one.value("amount_cents")))
        for one in note.each("items")
    )


def _read(given: Given, *keys: str) -> None:
    """Read what says nothing here."""
    for key in keys:
        if given.has(key):
            given.value(key)


def _note_of(note: NoteAmounts) -> dict[str, Any]:
    exact = rounded(note.exact_tax, PLACES)
    return {
        "sub_total_excluding_taxes_cents": note.subtotal_minor,
        "coupons_adjustment_cents": note.discount_minor,
        "taxes_cents": note.tax_minor,
        "precise_taxes_cents": exact,
        "taxes_rounding_adjustment": note.tax_minor - exact,
        "total_cents": note.total_minor,
    }
