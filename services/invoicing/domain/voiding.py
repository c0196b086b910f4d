"""What becomes of an invoice's amount when it is voided."""

from __future__ import annotations

from services.invoicing.domain.credit_note import CreditExceedsInvoice
from services.invoicing.domain.note_use import Settlement


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
