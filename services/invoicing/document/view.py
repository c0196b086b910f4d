"""An invoice as its document shows it: text only, in the order of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from libs.period import local_day
from libs.quantity import decimal_text
from services.invoicing.document import formats
from services.invoicing.document.rows import GroupView, groups_of
from services.invoicing.domain.coupon import OpenCoupon
from services.invoicing.domain.discounts import AmountOff, PercentOff
from services.invoicing.domain.folded_lines import shown_lines
from services.invoicing.domain.invoice import Invoice, Status
from services.invoicing.domain.party import Party
from services.invoicing.domain.tax import TaxAmount

DRAFTS = (Status.DRAFT, Status.FINALIZING)
STAMPS = {Status.DRAFT: "DRAFT", Status.FINALIZING: "DRAFT", Status.VOIDED: "VOID"}
TITLES = {Status.DRAFT: "Draft invoice", Status.FINALIZING: "Draft invoice"}
TOTALS = {
    Status.DRAFT: "Total so far",
    Status.FINALIZING: "Total so far",
    Status.VOIDED: "Total before it was voided",
}


@dataclass(frozen=True, slots=True)
class DocumentView:
    """All that stands on the pages of an invoice or a credit note.

    `stamp` is written across them; without `with_units` rows have an amount alone. `payment` tells
    how to pay, by name; `notices` and `footer` stand at the end.
    """

    stamp: str
    title: str
    number: str
    facts: tuple[tuple[str, str], ...]
    seller: tuple[str, ...]
    buyer_label: str
    buyer: tuple[str, ...]
    currency: str
    currency_name: str
    with_units: bool
    groups: tuple[GroupView, ...]
    sums: tuple[tuple[str, str], ...]
    total_label: str
    total: str
    due: str
    payment: tuple[tuple[str, str], ...]
    notices: tuple[str, ...]
    footer: str
    trace: str


def view_of(invoice: Invoice) -> DocumentView:
    """Return what the document of an invoice says."""
    return DocumentView(
        stamp=STAMPS.get(invoice.status, ""),
        title=TITLES.get(invoice.status, "Invoice"),
        number=invoice.number,
        facts=tuple(facts_of(invoice)),
        seller=party_lines(invoice.seller),
        buyer_label="Bill to",
        buyer=party_lines(invoice.buyer),
        currency=invoice.currency,
        currency_name=formats.currency_name(invoice.currency),
        with_units=True,
        groups=tuple(groups_of(shown_lines(invoice.invoice_id, invoice.lines), invoice.currency)),
        sums=tuple(sums_of(invoice)),
        total_label=TOTALS.get(invoice.status, "Total due"),
        total=formats.money(invoice.total_minor, invoice.currency),
        due=due_of(invoice),
        payment=tuple(payment_of(invoice)),
        notices=notices_of(invoice.buyer),
        footer=invoice.seller.footer,
        trace=invoice.trace_id,
    )


def facts_of(invoice: Invoice) -> Iterator[tuple[str, str]]:
    """Yield what stands at the head, by name."""
    if invoice.number:
        yield "Invoice number", invoice.number
    if invoice.issue_date is not None:
        yield "Issued", formats.day(invoice.issue_date)
    if invoice.due_date is not None and invoice.issue_date is not None and invoice.total_minor:
        yield "Payment due", formats.day(invoice.due_date)
        days = (invoice.due_date - invoice.issue_date).days
        yield "Terms", formats.net_days(days)
    if invoice.status is Status.DRAFT:
        closing = local_day(invoice.finalize_at, ZoneInfo(invoice.time_zone))
        yield "To be finalized", formats.day(closing)
    yield "Customer", invoice.customer_id


def due_of(invoice: Invoice) -> str:
    """Return the sentence beside the total."""
    if invoice.status is Status.VOIDED:
        return "This invoice was voided: nothing is to be paid."
    if invoice.status is Status.OPEN:
        return "Payable now; it gets its number when it is paid."
    if invoice.due_date is None:
        return "This is a draft and not a request to pay."
    if invoice.total_minor == 0:
        return "Nothing is left to pay."
    if invoice.due_date == invoice.issue_date:
        return "Payable on receipt."
    return f"Please pay by {formats.day(invoice.due_date)}."


def payment_of(invoice: Invoice) -> Iterator[tuple[str, str]]:
    """Yield how to pay, by name; nothing where there is nothing to pay."""
    if invoice.total_minor == 0 or invoice.status not in (Status.FINALIZED, Status.OPEN):
        return
    if invoice.seller.payment_details:
        yield "How to pay", invoice.seller.payment_details
    if invoice.number:
        yield "Payment reference", invoice.number


def notices_of(buyer: Party) -> tuple[str, ...]:
    """Return what has to be said of the buyer: why it bears no tax, and who wrote the document."""
    own = "Self-billing: the customer wrote this document on behalf of the seller."
    return tuple(filter(None, (buyer.tax_note, own if buyer.self_billed else "")))


def party_lines(party: Party) -> tuple[str, ...]:
    """Return a party as an address block; the first line is the name."""
    address = party.address
    town = " ".join(part for part in (address.postal_code, address.city) if part)
    place = ", ".join(part for part in (town, address.region) if part)
    tail = [
        place,
        formats.country(address.country_code) if address.country_code else "",
        party.email,
        f"Tax ID {party.tax_id}" if party.tax_id else "",
    ]
    return (party.name, *address.lines, *(line for line in tail if line))


def sums_of(invoice: Invoice) -> Iterator[tuple[str, str]]:
    """Yield what stands above the total, by name."""
    currency = invoice.currency
    if invoice.early or invoice.coupons:
        charged = sum(line.fee.amount_minor for line in invoice.lines)
        yield "Charges", formats.money(charged, currency)
    for one in invoice.early:
        yield f"Billed before on {one.number}", formats.money(-one.amount_minor, currency)
    for use in invoice.coupons:
        yield coupon_name(use.coupon), formats.money(-use.amount_minor, currency)
    yield "Subtotal", formats.money(invoice.subtotal_minor, currency)
    for tax in invoice.taxes:
        yield tax_name(tax, currency), formats.money(tax.amount_minor, currency)
    for note in invoice.notes:
        yield f"Credit note {note.number}", formats.money(-note.amount_minor, currency)
    if invoice.credits_minor:
        yield "Paid from prepaid credits", formats.money(-invoice.credits_minor, currency)


def coupon_name(coupon: OpenCoupon) -> str:
    """Return what documents call a coupon: "Coupon Spring", with the rate of a percentage."""
    match coupon.discount:
        case PercentOff(percent):
            return f"Coupon {coupon.name} {decimal_text(percent)}%"
        case AmountOff():
            return f"Coupon {coupon.name}"


def tax_name(tax: TaxAmount, currency: str) -> str:
    """Return what a tax is called: "GST 10% on A$100.00"."""
    rate = decimal_text(tax.tax.rate_percent)
    return f"{tax.tax.name} {rate}% on {formats.money(tax.base_minor, currency)}"
