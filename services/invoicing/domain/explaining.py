"""Whether events are behind a line of an invoice, and which line is meant."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from services.invoicing.domain.folded_lines import LineNotFound, shown_lines
from services.invoicing.domain.invoice import Invoice, Kind
from services.invoicing.domain.line import FeeKind, Line

NO_EVENTS = {
    FeeKind.BASE: "A base fee is due whatever the usage.",
    FeeKind.FIXED: "A fixed charge is due whatever the usage.",
    FeeKind.MINIMUM: "It is what the usage of its charge lacks of the minimum.",
    FeeKind.COMMITMENT: "It is what all fees of the period lack of the minimum commitment.",
    FeeKind.CORRECTION: "It is what usage costs, less the instant fees that were billed before.",
    FeeKind.ADD_ON: "An add-on was billed by hand, or bought.",
}
FOLDED = "It stands for {} groups: explain each line that ListFoldedLines lists."
EARLY = "A progressive invoice bills what usage cost when a threshold was crossed."


def find_line(invoice: Invoice, line_id: UUID) -> Line:
    """Return a line of an invoice: one that stands for itself, or for others.

    Raises:
        LineNotFound: it has none.
    """
    lines: Sequence[Line] = invoice.lines
    for line in (*lines, *shown_lines(invoice.invoice_id, lines)):
        if line.line_id == line_id:
            return line
    raise LineNotFound(f"no line {line_id} on the invoice {invoice.invoice_id}")


def without_events(invoice: Invoice, line: Line) -> str:
    """Return why no events can be told of a line, "" if they can."""
    if line.folded_lines:
        return FOLDED.format(line.folded_lines)
    if line.fee.kind is not FeeKind.USAGE:
        return NO_EVENTS[line.fee.kind]
    return EARLY if invoice.kind is Kind.PROGRESSIVE else ""
