"""Credit notes: what they give back of a finalized invoice, by line, never more than is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from fractions import Fraction
from math import floor
from uuid import UUID

from libs.errors import NotFound, Refused

HALF = Fraction(1, 2)


class CreditNoteNotFound(NotFound):
    """The tenant has no such credit note."""

    reason = "CREDIT_NOTE_NOT_FOUND"


class CreditExceedsLine(Refused):
    """A line has less left than is to be given back of it."""

    reason = "CREDIT_EXCEEDS_LINE"


class CreditExceedsInvoice(Refused):
    """An invoice, which has lines below zero too, has less left than is to be given back."""

    reason = "CREDIT_EXCEEDS_INVOICE"


class CreditNoteUsed(Refused):
    """Some of a credit note has paid an invoice: it can be voided no more."""

    reason = "CREDIT_NOTE_USED"


class InvoiceNotFinalized(Refused):
    """Only what has a number is credited: a draft is refreshed instead."""

    reason = "INVOICE_NOT_FINALIZED"


class NoteStatus(StrEnum):
    """Whether a credit note has something to pay invoices with."""

    AVAILABLE = "available"
    CONSUMED = "consumed"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class NoteItem:
    """How much of a line is given back, before coupons and tax."""

    line_id: UUID
    amount_minor: int


@dataclass(frozen=True, slots=True)
class NoteAmounts:
    """What a note of these items gives back.

    `exact_tax` is the tax in minor units before it was rounded; in the note that empties an
    invoice, less what earlier notes gained by rounding.
    """

    items: tuple[NoteItem, ...]
    subtotal_minor: int
    tax_minor: int
    exact_tax: Fraction

    @property
    def items_minor(self) -> int:
        return sum(item.amount_minor for item in self.items)

    @property
    def discount_minor(self) -> int:
        """The coupons' part, which was never paid and is not given back."""
        return self.items_minor - self.subtotal_minor

    @property
    def total_minor(self) -> int:
        return self.subtotal_minor + self.tax_minor


@dataclass(frozen=True, slots=True)
class CreditableLine:
    """A line of an invoice as it was billed.

    `tax_rate` is that of all its taxes together, 1/5 for 20 %; `coupon` its exact part of the
    invoice's coupons, in minor units.
    """

    line_id: UUID
    amount_minor: int
    tax_rate: Fraction
    coupon: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Creditable:
    """A finalized invoice, and all notes on it that are not voided."""

    lines: tuple[CreditableLine, ...]
    tax_minor: int
    notes: tuple[NoteAmounts, ...] = ()

    @property
    def subtotal_minor(self) -> int:
        """What was billed before tax, less coupons."""
        return self._billed_minor - floor(sum(line.coupon for line in self.lines) + HALF)

    @property
    def left_minor(self) -> int:
        """How much of the lines together may still be given back, before coupons and tax."""
        return self._billed_minor - sum(note.items_minor for note in self.notes)

    @property
    def subtotal_left_minor(self) -> int:
        return self.subtotal_minor - sum(note.subtotal_minor for note in self.notes)

    @property
    def tax_left_minor(self) -> int:
        return self.tax_minor - sum(note.tax_minor for note in self.notes)

    @property
    def rounding(self) -> Fraction:
        """How much more tax the notes gave back than was exact."""
        return sum((note.tax_minor - note.exact_tax for note in self.notes), Fraction(0))

    def lines_left(self) -> dict[UUID, int]:
        """Return how much each line has left, by id; one below zero has nothing."""
        left = Counter({line.line_id: max(line.amount_minor, 0) for line in self.lines})
        for note in self.notes:
            for item in note.items:
                left[item.line_id] -= item.amount_minor
        return dict(left)

    @property
    def _billed_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditNote:
    """A credit note as stored: numbered when it is made, and only ever consumed or voided.

    `period_id` and `sequence` name the adjustment that it gives back, if it does; and
    `crediting_invoice_id` the invoice that had no room for what it gives back of a progressive one.
    """

    credit_note_id: UUID
    number: str
    status: NoteStatus
    invoice_id: UUID
    invoice_number: str
    customer_id: str
    currency: str
    reason: str
    period_id: UUID | None
    sequence: int
    crediting_invoice_id: UUID | None = None
    items: tuple[NoteItem, ...]
    subtotal_minor: int
    tax_minor: int
    total_minor: int
    balance_minor: int
    issue_date: date
    issued_at: datetime
    voided_at: datetime | None
    trace_id: str


def price_note(invoice: Creditable, items: Iterable[NoteItem]) -> NoteAmounts:
    """Return what a note of `items` gives back: whole units, items less coupons, and their tax.

    Both are summed exactly and rounded once. The note that empties the invoice gives back what is
    left of both: two notes of 68.33 at 20 % are 82.00 and 81.99 of an invoice of 163.99.

    Raises:
        CreditExceedsLine: a line has less left; or CreditExceedsInvoice: all together have.
    """
    wanted = tuple(items)
    check_left(invoice, wanted)
    subtotal, tax = _exact(invoice, wanted)
    if sum(item.amount_minor for item in wanted) == invoice.left_minor:
        return NoteAmounts(
            wanted, invoice.subtotal_left_minor, invoice.tax_left_minor, tax - invoice.rounding
        )
    return NoteAmounts(
        wanted,
        min(floor(subtotal + HALF), invoice.subtotal_left_minor),
        min(floor(tax + HALF), invoice.tax_left_minor),
        tax,
    )


def check_left(invoice: Creditable, items: Sequence[NoteItem]) -> None:
    """Check that the lines and the invoice have as much left as `items` give back.

    Raises:
        CreditExceedsLine, CreditExceedsInvoice: they have less.
    """
    left = invoice.lines_left()
    billed = {line.line_id: line.amount_minor for line in invoice.lines}
    for line_id, wanted in _by_line(items).items():
        if wanted > left[line_id]:
            raise CreditExceedsLine(
                f"the line {line_id} has {left[line_id]} of {billed[line_id]} left,"
                f" {wanted} cannot be given back"
            )
    wanted = sum(item.amount_minor for item in items)
    if wanted > invoice.left_minor:
        raise CreditExceedsInvoice(
            f"the invoice has {invoice.left_minor} left before tax, {wanted} cannot be given back"
        )


def creditable_minor(invoice: Creditable) -> int:
    """Return about what all that is left would give back, tax included.

    As long as there is more than one note to come it is open which one of them absorbs what
    earlier ones gained by rounding, so this does not: it may be off by a unit for each note.
    """
    left = invoice.lines_left().items()
    subtotal, tax = _exact(invoice, [NoteItem(*one) for one in left if one[1]])
    return floor(subtotal + HALF) + floor(tax + HALF)


def _exact(invoice: Creditable, items: Iterable[NoteItem]) -> tuple[Fraction, Fraction]:
    """Return what items give back less their part of the coupons, and the tax on that."""
    lines = {line.line_id: line for line in invoice.lines}
    subtotal, tax = Fraction(0), Fraction(0)
    for item in items:
        line = lines[item.line_id]
        part = item.amount_minor - line.coupon * Fraction(item.amount_minor, line.amount_minor)
        subtotal += part
        tax += part * line.tax_rate
    return subtotal, tax


def _by_line(items: Iterable[NoteItem]) -> Mapping[UUID, int]:
    wanted: Counter[UUID] = Counter()
    for item in items:
        wanted[item.line_id] += item.amount_minor
    return wanted
