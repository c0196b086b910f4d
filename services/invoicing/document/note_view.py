"""A credit note as its document shows it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from services.invoicing.document import formats
from services.invoicing.document.rows import GroupView, RowView, group_key, group_of, named, note_of
from services.invoicing.document.view import DocumentView, notices_of, party_lines
from services.invoicing.domain.credit_note import CreditNote, NoteStatus
from services.invoicing.domain.invoice import Invoice


def note_view_of(note: CreditNote, invoice: Invoice) -> DocumentView:
    """Return what the document of a credit note on `invoice` says.

    It says nothing of what has become of the credit since: the document stands as it was issued,
    unless it was voided.
    """
    voided = note.status is NoteStatus.VOIDED
    return DocumentView(
        stamp="VOID" if voided else "",
        title="Credit note",
        number=note.number,
        facts=(
            ("Credit note number", note.number),
            ("Issued", formats.day(note.issue_date)),
            ("On invoice", note.invoice_number),
            ("Customer", note.customer_id),
        ),
        seller=party_lines(invoice.seller),
        buyer_label="Credit to",
        buyer=party_lines(invoice.buyer),
        currency=note.currency,
        currency_name=formats.currency_name(note.currency),
        with_units=False,
        groups=tuple(groups(note, invoice)),
        sums=tuple(sums(note)),
        total_label="Total before it was voided" if voided else "Total credited",
        total=formats.money(note.total_minor, note.currency),
        due="This credit note was voided." if voided else note.reason,
        payment=(),
        notices=notices_of(invoice.buyer),
        footer=invoice.seller.footer,
        trace=note.trace_id,
    )


def groups(note: CreditNote, invoice: Invoice) -> Iterator[GroupView]:
    """Yield what is given back of the invoice's lines, in their order."""
    given = {item.line_id: item.amount_minor for item in note.items}
    lines = [line for line in invoice.lines if line.line_id in given]
    for _, members in groupby(lines, group_key):
        of_group = list(members)
        rows = (
            RowView(
                description=named(line.fee),
                note=note_of(line.fee, named(line.fee)),
                units="",
                price="",
                amount=formats.plain(given[line.line_id], note.currency),
                parts=(),
            )
            for line in of_group
        )
        yield group_of(of_group[0], tuple(rows))


def sums(note: CreditNote) -> Iterator[tuple[str, str]]:
    """Yield what stands above the total, by name."""
    items_minor = sum(item.amount_minor for item in note.items)
    if items_minor != note.subtotal_minor:
        yield "Charges", formats.money(items_minor, note.currency)
        coupons = note.subtotal_minor - items_minor
        yield "Coupons that were used on them", formats.money(coupons, note.currency)
    yield "Subtotal", formats.money(note.subtotal_minor, note.currency)
    if note.tax_minor:
        yield "Tax", formats.money(note.tax_minor, note.currency)
