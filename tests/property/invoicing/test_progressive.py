"""However usage grows and falls, and whenever it is billed early: in sum it is billed once."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.invoicing.domain.credit_note import Creditable, NoteAmounts, NoteItem, price_note
from services.invoicing.domain.creditable import creditable_of
from services.invoicing.domain.invoice import Content
from services.invoicing.domain.line import Fee, FeeKind, lines_of
from services.invoicing.domain.progressive import EarlyInvoice, credit_early, early_invoice
from tests.unit.invoicing.samples import GST, amount_fee, composed, rated

CHARGES = ("calls", "calls", "storage", "tokens")  # Two groups of the first one.

looks = st.lists(
    st.tuples(
        st.lists(st.integers(0, 300), min_size=len(CHARGES), max_size=len(CHARGES)),
        st.none() | st.tuples(st.integers(0, 3), st.integers(1, 200)),  # A note by hand after it.
    ),
    min_size=1,
    max_size=5,
)


class Bills:
    """The invoices of one period, and the notes on each."""

    def __init__(self) -> None:
        self.contents: dict[UUID, Content] = {}
        self.notes: dict[UUID, list[NoteAmounts]] = {}

    def early(self) -> list[EarlyInvoice]:
        """What the invoices have left, as the next one sees it."""
        return [
            early_invoice(invoice_id, content.lines, self.left(invoice_id).lines_left())
            for invoice_id, content in self.contents.items()
        ]

    def left(self, invoice_id: UUID) -> Creditable:
        """What an invoice has left for notes."""
        content, notes = self.contents[invoice_id], self.notes[invoice_id]
        return creditable_of(content.lines, content.taxes, content.coupons, notes)

    def bill(self, fees: list[Fee]) -> None:
        """Make the next invoice, and the notes on what it does not credit."""
        invoice_id = UUID(int=len(self.contents) + 1)
        period = rated(fees)
        credit = credit_early(lines_of(invoice_id, [period]), self.early())
        for noted, items in credit.given_back.items():
            self.note(noted, items)
        content = composed(invoice_id, [period], [GST], credit.shares_minor)
        assert all(0 <= line.progressive_credit_minor for line in content.lines)
        assert content.subtotal_minor >= 0
        assert content.progressive_credit_minor == credit.amount_minor
        self.contents[invoice_id], self.notes[invoice_id] = content, []

    def note(self, invoice_id: UUID, items: tuple[NoteItem, ...]) -> None:
        """Give back lines of an invoice, which refuses more than is left."""
        self.notes[invoice_id].append(price_note(self.left(invoice_id), items))

    def note_by_hand(self, place: int, at_most: int) -> None:
        """Give back some of a line of the newest invoice."""
        newest = self.early()[-1]
        line = newest.lines[place]
        if line.left_minor:
            item = NoteItem(line.line_id, min(at_most, line.left_minor))
            self.note(newest.invoice_id, (item,))

    @property
    def billed_minor(self) -> int:
        """All invoices less all notes, before tax."""
        noted = sum(note.subtotal_minor for each in self.notes.values() for note in each)
        return sum(content.subtotal_minor for content in self.contents.values()) - noted

    @property
    def tax_minor(self) -> int:
        """All their taxes less those of the notes."""
        noted = sum(note.tax_minor for each in self.notes.values() for note in each)
        return sum(content.tax_minor for content in self.contents.values()) - noted


def fees_of(amounts: list[int]) -> list[Fee]:
    """Fees of the charges, those of one charge as groups."""
    return [
        replace(amount_fee(amount, code=code), group_values=(("place", str(place)),))
        for place, (code, amount) in enumerate(zip(CHARGES, amounts, strict=True))
    ]


@given(looks, st.integers(0, 200), st.integers(0, 200))
def test_all_invoices_and_notes_of_a_period_bill_it_once(
    looks: list[tuple[list[int], tuple[int, int] | None]], base: int, cheaper: int
) -> None:
    bills = Bills()
    for amounts, by_hand in looks[:-1]:
        bills.bill(fees_of(amounts))
        assert bills.billed_minor == sum(amounts)
        if by_hand is not None:
            bills.note_by_hand(*by_hand)
    amounts, _ = looks[-1]
    close = fees_of(amounts)
    correction = -min(cheaper, sum(amounts))
    close.append(replace(amount_fee(correction, code="seats"), kind=FeeKind.CORRECTION))
    close.append(replace(amount_fee(base, code=""), kind=FeeKind.BASE))
    bills.bill(close)
    assert bills.billed_minor == sum(amounts) + correction + base
    documents = len(bills.contents) + sum(len(each) for each in bills.notes.values())
    assert abs(10 * bills.tax_minor - bills.billed_minor) <= 5 * documents
