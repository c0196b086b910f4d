"""An invoice composed again: whatever of it was changed is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from libs.difference import Difference
from services.invoicing.domain.content_hash import content_hash
from services.invoicing.domain.coupon import CouponUse, OpenCoupon
from services.invoicing.domain.discounts import PercentOff
from services.invoicing.domain.invoice import Content, Credit, Kind, Status, with_notes
from services.invoicing.domain.line import Line
from services.invoicing.domain.note_use import NoteApplication
from services.invoicing.domain.verification import (
    FrozenInvoice,
    credit_differences,
    invoice_differences,
)
from tests.unit.invoicing.samples import GST, INVOICE_ID, base_fee, composed, rated, row, usage_fee

USAGE = usage_fee("kwh", [row("100", "0.25")], description="Energy")
ADJUSTED = usage_fee("kwh", [row("10", "0.25")], description="Energy")
BILLED = [
    rated([base_fee("9.99")], period=1),
    rated([USAGE], period=2),
    rated([ADJUSTED], period=3, sequence=1),
]
TENTH = OpenCoupon(
    applied_coupon_id=UUID(int=53), code="tenth", name="A tenth", discount=PercentOff(Decimal(10))
)
GRANT, WALLET, NOTE = UUID(int=50), UUID(int=51), UUID(int=52)

Change = Callable[[FrozenInvoice], FrozenInvoice]


def frozen() -> FrozenInvoice:
    """The invoice of what is BILLED, with a credit of a dollar on its first line.

    A credit note paid two dollars, and a coupon took a tenth off.
    """
    content = composed(INVOICE_ID, BILLED, [GST], coupons=[TENTH])
    content = with_notes(content, [NoteApplication(NOTE, 200)])
    periods = [one.period_id for one in BILLED if not one.sequence]
    first, *others = content.lines
    credit = Credit(first.line_id, WALLET, GRANT, 100, False)
    return FrozenInvoice(
        tenant=1,
        invoice_id=INVOICE_ID,
        kind=Kind.SUBSCRIPTION,
        status=Status.FINALIZED,
        customer_id="yarra",
        currency="AUD",
        number="INV-201402-007",
        sequences=(7, 3),
        progressive_credit_minor=0,
        coupons_minor=content.coupons_minor,
        subtotal_minor=content.subtotal_minor,
        tax_minor=content.tax_minor,
        credit_notes_minor=200,
        credits_minor=100,
        total_minor=content.gross_minor - 300,
        content_hash=hash_of(content, periods),
        lines=(replace(first, credits_minor=100), *others),
        coupons=content.coupons,
        default_tax_codes=content.default_tax_codes,
        taxes=content.taxes,
        notes=content.notes,
        credits=(credit,),
        closed=tuple(periods),
        adjusted=((UUID(int=3), 1),),
    )


def hash_of(content: Content, periods: list[UUID]) -> bytes:
    return content_hash(
        INVOICE_ID, content, customer_id="yarra", currency="AUD", period_ids=periods
    )


def of_first_line(change: Callable[[Line], Line]) -> Change:
    """Change the first line of an invoice."""
    return lambda invoice: replace(invoice, lines=(change(invoice.lines[0]), *invoice.lines[1:]))


def of_its_fee(**fields: Any) -> Change:
    """Change the fee of the first line."""
    return of_first_line(lambda line: replace(line, fee=replace(line.fee, **fields)))


CHANGES: dict[str, tuple[Change, set[tuple[str, str]]]] = {
    "units": (of_its_fee(units=Decimal(2)), {("line", "units")}),
    "event count": (of_its_fee(event_count=7), {("line", "event_count")}),
    "exact amount": (of_its_fee(exact_amount=Decimal(1)), {("line", "exact_amount")}),
    "amount": (of_its_fee(amount_minor=1), {("line", "amount_minor")}),
    "description": (of_its_fee(description="Free"), {("line", "description")}),
    "breakdown": (of_its_fee(breakdown=()), {("line", "breakdown")}),
    "tax share": (
        of_first_line(lambda line: replace(line, tax_share_minor=0)),
        {("line", "tax_share_minor")},
    ),
    "credit of a line": (
        of_first_line(lambda line: replace(line, credits_minor=0)),
        {("line", "credits_minor")},
    ),
    "what coupons took off of a line": (
        of_first_line(lambda line: replace(line, coupons_minor=0)),
        {("line", "coupons_minor")},
    ),
    "taxes that a line bears": (
        of_first_line(lambda line: replace(line, tax_codes=())),
        {("line", "tax_codes")},
    ),
    "what a coupon took off": (
        lambda invoice: replace(
            invoice, coupons=(replace(invoice.coupons[0], amount_minor=1),), coupons_minor=1
        ),
        {("invoice", "coupons_minor"), ("coupon", "amount_minor")},
    ),
    "rate of a coupon": (
        lambda invoice: replace(
            invoice, coupons=(CouponUse(replace(TENTH, discount=PercentOff(Decimal(20))), 375),)
        ),
        {("coupon", "amount_minor"), ("invoice", "subtotal_minor"), ("invoice", "content_hash")},
    ),
    "taxes of what names none": (
        lambda invoice: replace(invoice, default_tax_codes=None),
        {("invoice", "tax_minor"), ("line", "tax_codes"), ("tax", "amount_minor")},
    ),
    "what notes paid of a line": (
        of_first_line(lambda line: replace(line, credit_notes_minor=0)),
        {("line", "credit_notes_minor")},
    ),
    "what notes paid": (
        lambda invoice: replace(invoice, notes=()),
        {("invoice", "credit_notes_minor"), ("invoice", "content_hash")},
    ),
    "subscription": (
        of_first_line(lambda line: replace(line, subscription_id="another")),
        {("line", "subscription_id")},
    ),
    "order": (
        lambda invoice: replace(invoice, lines=tuple(reversed(invoice.lines))),
        {("line", "position")},
    ),
    "line": (
        lambda invoice: replace(invoice, lines=invoice.lines[1:]),
        {("line", "amount_minor")},
    ),
    "subtotal": (
        lambda invoice: replace(invoice, subtotal_minor=0),
        {("invoice", "subtotal_minor")},
    ),
    "tax": (lambda invoice: replace(invoice, tax_minor=0), {("invoice", "tax_minor")}),
    "total": (lambda invoice: replace(invoice, total_minor=0), {("invoice", "total_minor")}),
    "credits": (lambda invoice: replace(invoice, credits_minor=0), {("invoice", "credits_minor")}),
    "hash": (lambda invoice: replace(invoice, content_hash=b"x"), {("invoice", "content_hash")}),
    "customer": (lambda invoice: replace(invoice, customer_id="b"), {("invoice", "content_hash")}),
    "number": (lambda invoice: replace(invoice, number="INV-8"), {("invoice", "number")}),
    "base of a tax": (
        lambda invoice: replace(invoice, taxes=(replace(invoice.taxes[0], base_minor=1),)),
        {("tax", "base_minor")},
    ),
    "rate of a tax": (
        lambda invoice: replace(
            invoice,
            taxes=(replace(invoice.taxes[0], tax=replace(GST, rate_percent=Decimal(5))),),
        ),
        {("tax", "amount_minor"), ("invoice", "tax_minor"), ("invoice", "total_minor")},
    ),
    "amount of a tax": (
        lambda invoice: replace(invoice, taxes=(replace(invoice.taxes[0], amount_minor=1),)),
        {("tax", "amount_minor")},
    ),
    "period that nobody closed": (
        lambda invoice: replace(invoice, closed=(*invoice.closed, UUID(int=9))),
        {("invoice", "close"), ("invoice", "content_hash")},
    ),
}


def test_an_invoice_agrees_with_what_it_bills() -> None:
    assert invoice_differences(frozen(), BILLED) == []


@pytest.mark.parametrize("name", CHANGES)
def test_whatever_was_changed_is_named(name: str) -> None:
    change, expected = CHANGES[name]
    found = invoice_differences(change(frozen()), BILLED)
    assert expected <= {(one.kind, one.field) for one in found}
    assert all(one.names["invoice_id"] == str(INVOICE_ID) for one in found)


def test_an_invoice_of_other_fees_is_found_line_by_line() -> None:
    other = [BILLED[0], rated([replace(USAGE, amount_minor=2_600)], period=2), BILLED[2]]
    found = invoice_differences(frozen(), other)
    [line] = [one for one in found if (one.kind, one.field) == ("line", "amount_minor")]
    assert (line.stored, line.recomputed) == ("2500", "2600")
    assert {one.field for one in found if one.kind == "invoice"} == {
        "coupons_minor",
        "subtotal_minor",
        "tax_minor",
        "total_minor",
        "content_hash",
    }


@pytest.mark.parametrize("number", ["INV-201402-007", "AUS-012-003"])
def test_a_number_may_show_either_of_its_sequences(number: str) -> None:
    assert invoice_differences(replace(frozen(), number=number), BILLED) == []


def test_credits_are_compared_part_by_part() -> None:
    [credit] = frozen().credits
    assert credit_differences(1, {}, [credit], [credit]) == []
    twice = [replace(credit, amount_minor=40), replace(credit, amount_minor=60)]
    assert credit_differences(1, {}, twice, [credit]) == []
    captured = replace(credit, captured=True)
    named = {"line_id": str(credit.line_id), "wallet_id": str(WALLET), "grant_id": str(GRANT)}
    assert credit_differences(1, {}, [credit], [captured]) == [
        Difference(1, "credit", {**named, "source": "available"}, "amount_minor", "100", ""),
        Difference(1, "credit", {**named, "source": "captured"}, "amount_minor", "", "100"),
    ]
