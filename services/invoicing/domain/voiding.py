"""What becomes of an invoice's amount when it is voided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.errors import Refused
from services.invoicing.domain.credit_note import CreditExceedsInvoice
from services.invoicing.domain.note_use import Settlement


class InvoiceVoided(Refused):
    """The invoice was voided before, by another request."""

    reason = "INVOICE_VOIDED"


class InvoiceNotVoided(Refused):
    """Only what was voided is billed again."""

    reason = "INVOICE_NOT_VOIDED"


class InvoiceNotReissuable(Refused):
    """It is progressive: what it billed is on the next invoice of its period anyway."""

    reason = "INVOICE_NOT_REISSUABLE"


class InvoiceReissued(Refused):
    """Another invoice bills it again."""

    reason = "INVOICE_REISSUED"


@dataclass(frozen=True, slots=True)
class Voiding:
    """Why and when an invoice was voided, and which one bills the same again.

    `credits_returned` tells whether the wallets have taken back what they paid.
    """

    reason: str
    voided_at: datetime
    credits_returned: bool
    reissued_as: UUID | None = None


@dataclass(frozen=True, slots=True)
class NoteOnIt:
    """A credit note on an invoice that is to be voided: what of it is left."""

    credit_note_id: UUID
    total_minor: int
    balance_minor: int

    @property
    def used(self) -> bool:
        """Tell whether some of it paid an invoice, or went back as money: that stays given."""
        return self.balance_minor < self.total_minor


def void_notes(
    total_minor: int, paid_minor: int, *, credit_minor: int, refund_minor: int
) -> tuple[Settlement, int]:
    """Return what is given back of a voided invoice, and the total of the voided note beside it.

    Both together are the whole invoice. Of 12.00 that were paid 7.00 may be credit and 5.00 go
    back; nothing is given back that was never paid.

    Raises:
        CreditExceedsInvoice: less was paid.
    """
    given = credit_minor + refund_minor
    if given > min(paid_minor, total_minor):
        raise CreditExceedsInvoice(
            f"{paid_minor} of {total_minor} is paid, {given} cannot be given back"
        )
    return Settlement(credit_minor, refund_minor, 0), total_minor - given


def notes_to_void(notes: Iterable[NoteOnIt], paid_minor: int) -> list[UUID]:
    """Return which notes on an invoice, given oldest first, are voided with it.

    Notes stay as far as money was paid for them: first those of which something was used, which is
    given back for good, then the oldest. Of 10.00 paid, with notes of 8.00 that paid another
    invoice, 3.00 and 2.00, that of 3.00 is voided.

    Raises:
        CreditExceedsInvoice: more was used than was paid.
    """
    listed = list(notes)
    left_minor = paid_minor - sum(note.total_minor for note in listed if note.used)
    if left_minor < 0:
        raise CreditExceedsInvoice(
            f"{paid_minor} is paid, and credit notes of {paid_minor - left_minor} are used already"
        )
    voided: list[UUID] = []
    for note in listed:
        if note.used:
            continue
        if note.total_minor > left_minor:
            voided.append(note.credit_note_id)
        else:
            left_minor -= note.total_minor
    return voided
