"""An adjustment below zero, given back on the invoices that billed its period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from services.invoicing.domain.credit_note import Creditable, NoteItem
from services.invoicing.domain.line import Fee, Line, RatedPeriod

FeeKey = tuple[str, str, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class BilledInvoice:
    """A finalized invoice that billed a period: its lines of that period, and what is left."""

    invoice_id: UUID
    lines: tuple[Line, ...]
    creditable: Creditable


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Items by invoice, and how much notes made by hand had given back before."""

    items: Mapping[UUID, tuple[NoteItem, ...]]
    covered_minor: int


class Remainder:
    """What invoices and their lines have left while an adjustment is placed on them."""

    def __init__(self, wanted_minor: int, billed: Sequence[BilledInvoice]) -> None:
        self.wanted = wanted_minor
        self._left = {
            (one.invoice_id, line_id): left
            for one in billed
            for line_id, left in one.creditable.lines_left().items()
        }
        self._invoice_left = {one.invoice_id: one.creditable.left_minor for one in billed}
        self.taken: dict[UUID, dict[UUID, int]] = {}

    def take(self, invoice_id: UUID, line: Line, at_most: int) -> int:
        """Give back up to so much of a line, within what is left; return how much."""
        key = (invoice_id, line.line_id)
        amount = min(at_most, self.wanted, self._left[key], self._invoice_left[invoice_id])
        if amount <= 0:
            return 0
        self._left[key] -= amount
        self._invoice_left[invoice_id] -= amount
        self.wanted -= amount
        items = self.taken.setdefault(invoice_id, {})
        items[line.line_id] = items.get(line.line_id, 0) + amount
        return amount


def give_back(
    adjustment: RatedPeriod, billed: Sequence[BilledInvoice], *, by_hand_minor: int
) -> GivenBack | None:
    """Place an adjustment whose net is below zero on `billed`, newest invoices first.

    Each fee is given back on the lines of its charge, as far as the net goes; what those do not
    hold on the other lines of the period. Of what no line holds, `by_hand_minor` counts as given
    back: notes on the period's lines made by hand. None if more is left than that: its money was
    billed for another period, as of instant fees.
    """
    remainder = Remainder(-adjustment.amount_minor, billed)
    for fee in adjustment.fees:
        lacking = -fee.amount_minor
        for one in billed:
            for line in one.lines:
                if fee_key(line.fee) == fee_key(fee):
                    lacking -= remainder.take(one.invoice_id, line, lacking)
    for one in billed:
        for line in one.lines:
            remainder.take(one.invoice_id, line, remainder.wanted)
    if remainder.wanted > by_hand_minor:
        return None
    items = {
        invoice_id: tuple(NoteItem(*one) for one in taken.items())
        for invoice_id, taken in remainder.taken.items()
    }
    return GivenBack(items, remainder.wanted)


def fee_key(fee: Fee) -> FeeKey:
    """Return what a fee and its later differences have in common."""
    return fee.kind, fee.charge_code, fee.filter_code, fee.group_values


def charge_of(key: FeeKey) -> str:
    """Return the charge of a fee."""
    return key[1]
