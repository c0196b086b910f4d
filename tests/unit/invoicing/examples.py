"""The documents under docs/examples: `python -m tests.unit.invoicing.examples` renders them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from uuid import UUID

from services.invoicing.document.render import Format, render_credit_note, render_invoice
from services.invoicing.domain.coupon import OpenCoupon, use_coupons
from services.invoicing.domain.credit_note import CreditNote, NoteItem, NoteStatus
from services.invoicing.domain.discounts import PercentOff
from services.invoicing.domain.invoice import AppliedNote, Invoice
from services.invoicing.domain.party import Address, Party
from tests.unit.invoicing.samples import (
    FINALIZED_AT,
    GST,
    INVOICE_ID,
    SELLER,
    TRACE_ID,
    composed,
    draft,
    electricity,
    finalized,
    rated,
    row,
    usage_fee,
)

FOLDER = Path(__file__).parents[3] / "docs" / "examples"
PAYABLE = replace(
    SELLER,
    payment_details="Bank of Melbourne, BSB 063-000, account 1234 5678\n"
    "or by card: pay.tally.example",
    footer="Tally Energy Pty Ltd is registered in Victoria, ACN 004 085 616.\n"
    "Questions about this document? billing@tally.example",
)
COUPON = OpenCoupon(
    applied_coupon_id=UUID(int=9),
    code="winter",
    name="Winter saver",
    discount=PercentOff(Decimal(5)),
)
HOTELS = (
    "Hôtel de l’Île Saint-Barthélemy",
    "Αθήνα Plaza",
    "מלון ים המלח",
    "فندق النيل",
    "Готель «Дніпро»",
    "Straße des 17. Juni Apart­ments",
)


def invoice() -> Invoice:
    """A month of electricity: tiers, an adjustment, a coupon, a tax, a credit note, credits."""
    bare = composed(INVOICE_ID, electricity(), (GST,))
    used = use_coupons(bare.lines, "AUD", [COUPON])
    content = composed(INVOICE_ID, electricity(), (GST,), coupons=[COUPON])
    note = AppliedNote(UUID(int=1), "INV-CN-201401-003", 250_000)
    whole = replace(
        draft(),
        seller=PAYABLE,
        lines=content.lines,
        coupons=tuple(used),
        coupons_minor=content.coupons_minor,
        taxes=content.taxes,
        subtotal_minor=content.subtotal_minor,
        tax_minor=content.tax_minor,
        notes=(note,),
        credit_notes_minor=note.amount_minor,
        total_minor=content.gross_minor - note.amount_minor,
    )
    return finalized(whole, credits_minor=500_000)


def long_invoice() -> Invoice:
    """Sixty lines over several pages, with names in many scripts, in a currency of three places."""
    fees = [
        replace(
            usage_fee("rooms", [row(f"{place * 7 % 29 + 1}", "12.375")], description="Room nights"),
            group_values=(("hotel", f"{HOTELS[place % len(HOTELS)]} {place + 1}"),),
        )
        for place in range(60)
    ]
    fees = [
        replace(fee, amount_minor=int(fee.exact_amount.scaleb(3)), description="Room nights")
        for fee in fees
    ]
    content = composed(INVOICE_ID, [rated(fees)], (), currency="KWD")
    buyer = Party(
        name="شركة الفنادق العالمية للاستثمار والتطوير السياحي (International Hotels)",
        address=Address(
            lines=("Sōsuke Ōe, c/o Núñez & Søn", "Friedrich-Wilhelm-von-Humboldt-Straße 117–119"),
            city="Kraków",
            postal_code="31-044",
            country_code="PL",
        ),
        tax_id="PL 5260250274",
        tax_note="Reverse charge: the customer accounts for the tax (Directive 2006/112, 196)",
    )
    whole = replace(
        draft("KWD"),
        seller=PAYABLE,
        buyer=buyer,
        lines=content.lines,
        subtotal_minor=content.subtotal_minor,
        total_minor=content.gross_minor,
    )
    return replace(finalized(whole), number="INV-201402-008", customer_id="international-hotels")


def credit_note() -> tuple[CreditNote, Invoice]:
    """Some of the electricity is given back, with its part of the coupon, and its tax."""
    billed = invoice()
    items = tuple(NoteItem(line.line_id, 120_000) for line in billed.lines[1:3])
    subtotal = 240_000 - 12_000
    note = CreditNote(
        credit_note_id=UUID(int=3),
        number="INV-CN-201402-004",
        status=NoteStatus.AVAILABLE,
        invoice_id=billed.invoice_id,
        invoice_number=billed.number,
        customer_id=billed.customer_id,
        currency=billed.currency,
        reason="The meter was read twice on 14 January.",
        period_id=None,
        sequence=0,
        items=items,
        subtotal_minor=subtotal,
        tax_minor=int(Fraction(subtotal, 10)),
        total_minor=subtotal + subtotal // 10,
        balance_minor=subtotal + subtotal // 10,
        issue_date=date(2014, 2, 11),
        issued_at=FINALIZED_AT,
        voided_at=None,
        trace_id=TRACE_ID,
    )
    return note, billed


def examples() -> dict[str, bytes]:
    """Return the documents by the names of their files."""
    note, billed = credit_note()
    return {
        "invoice.pdf": render_invoice(invoice()).content,
        "invoice.html": render_invoice(invoice(), Format.HTML).content,
        "long-invoice.pdf": render_invoice(long_invoice()).content,
        "credit-note.pdf": render_credit_note(note, billed).content,
    }


if __name__ == "__main__":
    for name, content in examples().items():
        (FOLDER / name).write_bytes(content)
