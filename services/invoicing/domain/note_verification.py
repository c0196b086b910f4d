"""How stored credit notes differ from those that their items and their invoice make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from libs.difference import Difference, compared
from services.invoicing.domain.credit_note import (
    Creditable,
    CreditExceedsInvoice,
    CreditExceedsLine,
    CreditNote,
    NoteStatus,
    price_note,
)


@dataclass(frozen=True, slots=True)
class UsedNote:
    """A credit note, and how much of it paid invoices."""

    note: CreditNote
    applied_minor: int


def note_differences(
    tenant: int, invoice: Creditable, notes: Sequence[UsedNote]
) -> list[Difference]:
    """Return how the `notes` on an invoice, oldest first, differ from what they should be.

    `invoice` is without notes. Each is priced again after those before it; where one was voided
    since, it is open what the later ones had to absorb, and amounts are only summed up.
    """
    found: list[Difference] = []
    stable = all(one.note.status is not NoteStatus.VOIDED for one in notes)
    for used in notes:
        note = used.note
        named = {"number": note.number, "credit_note_id": str(note.credit_note_id)}
        voided = note.status is NoteStatus.VOIDED
        left = 0 if voided else note.total_minor - used.applied_minor
        amounts = {
            "total_minor": (note.total_minor, note.subtotal_minor + note.tax_minor),
            "balance_minor": (note.balance_minor, left),
        }
        if stable:
            try:
                priced = price_note(invoice, note.items)
            except (CreditExceedsLine, CreditExceedsInvoice) as error:
                found.append(Difference(tenant, "credit note", named, "items", str(error), ""))
                continue
            amounts["subtotal_minor"] = (note.subtotal_minor, priced.subtotal_minor)
            amounts["tax_minor"] = (note.tax_minor, priced.tax_minor)
            invoice = replace(invoice, notes=(*invoice.notes, priced))
        found += compared(tenant, "credit note", named, **amounts)
    return found
