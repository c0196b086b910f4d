"""What becomes of a credit note: money back, or credit, and which invoices the credit pays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from fractions import Fraction
from math import floor
from typing import assert_never
from uuid import UUID

from libs.money import share


class NoteKind(StrEnum):
    """What a note is to become, as far as that can be."""

    CREDIT = "credit"  # Pays invoices to come.
    REFUND = "refund"  # What was paid for it goes back, the rest is credit.
    OFFSET = "offset"  # What was paid for it goes back, the rest is taken off what is still due.


@dataclass(frozen=True, slots=True)
class Settlement:
    """The parts of a note's total."""

    credit_minor: int
    refund_minor: int
    offset_minor: int


@dataclass(frozen=True, slots=True)
class OpenNote:
    """A note that has something left; `invoice_id` is the invoice that it is on."""

    credit_note_id: UUID
    invoice_id: UUID
    currency: str
    balance_minor: int
    entity_code: str


@dataclass(frozen=True, slots=True)
class NoteApplication:
    """How much of a note paid an invoice."""

    credit_note_id: UUID
    amount_minor: int


def settle(kind: NoteKind, total_minor: int, *, refundable_minor: int) -> Settlement:
    """Return what a note of `total_minor` becomes, of which so much may be refunded."""
    refund = max(0, min(total_minor, refundable_minor))
    match kind:
        case NoteKind.CREDIT:
            return Settlement(total_minor, 0, 0)
        case NoteKind.REFUND:
            return Settlement(total_minor - refund, refund, 0)
        case NoteKind.OFFSET:
            return Settlement(0, refund, total_minor - refund)
        case _:
            assert_never(kind)


def refundable_minor(
    paid_minor: int, lines_minor: Mapping[UUID, int], line_id: UUID, *, kept: Fraction
) -> int:
    """Return what may be refunded of a line: what was paid for it, less what is kept of it.

    A payment pays all lines alike: 55.80 of two lines of 31.00 are 27.90 each; with 18.00 kept,
    tax included, 9.90 may go back.
    """
    paid = Fraction(paid_minor * lines_minor[line_id], sum(lines_minor.values()))
    return max(0, floor(paid - kept))


def apply_notes(
    invoice_id: UUID,
    currency: str,
    gross_minor: int,
    notes: Iterable[OpenNote],
    *,
    entity_code: str,
) -> list[NoteApplication]:
    """Return what `notes`, oldest first, pay of an invoice of `gross_minor`.

    Only those of its currency and billing entity, and none that is on the invoice itself.
    """
    applied: list[NoteApplication] = []
    for note in notes:
        if (note.currency, note.entity_code) != (currency, entity_code):
            continue
        if note.invoice_id == invoice_id:
            continue
        amount = min(note.balance_minor, gross_minor)
        if amount > 0:
            applied.append(NoteApplication(note.credit_note_id, amount))
            gross_minor -= amount
    return applied


def left_of(notes: Iterable[OpenNote], applied: Iterable[NoteApplication]) -> list[OpenNote]:
    """Return `notes` less what was `applied` of them; those with nothing left are left out."""
    taken = {one.credit_note_id: one.amount_minor for one in applied}
    after = (
        replace(note, balance_minor=note.balance_minor - taken.get(note.credit_note_id, 0))
        for note in notes
    )
    return [note for note in after if note.balance_minor]


def spread_notes(applied_minor: int, lines_minor: Sequence[int]) -> list[int]:
    """Return how much of what notes pay falls on each line, in proportion to those above zero.

    So what wallets are asked for is less by as much, line by line.
    """
    return share(applied_minor, [max(amount, 0) for amount in lines_minor])
