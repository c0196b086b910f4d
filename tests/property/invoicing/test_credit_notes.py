"""Notes on any invoice: never more than it, and the last one empties it to the cent."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.invoicing.domain.credit_note import Creditable, CreditableLine, NoteItem, price_note
from services.invoicing.domain.note_use import OpenNote, apply_notes, spread_notes
from services.invoicing.domain.tax import Tax, tax_lines

amounts = st.lists(st.integers(-500, 5_000), min_size=1, max_size=6).filter(
    lambda each: sum(each) >= 0
)
rates = st.lists(st.decimals(0, 100, places=2), max_size=3)


def whole_note(invoice: Creditable) -> list[NoteItem]:
    """Items of all that is left."""
    items, left = [], invoice.left_minor
    for line_id, of_line in invoice.lines_left().items():
        items.append(NoteItem(line_id, min(of_line, left)))
        left -= items[-1].amount_minor
    return [item for item in items if item.amount_minor]


@given(amounts, rates, st.lists(st.tuples(st.integers(0, 5), st.integers(1, 3_000)), max_size=12))
def test_notes_never_exceed_the_invoice_and_the_last_one_empties_it(
    billed: list[int], rates: list[Decimal], wanted: list[tuple[int, int]]
) -> None:
    taxes = [Tax(str(place), "", rate) for place, rate in enumerate(rates)]
    tax_minor = tax_lines(billed, [taxes] * len(billed)).amount_minor
    rate = sum((Fraction(tax.rate_percent) for tax in taxes), Fraction(0)) / 100
    lines = tuple(CreditableLine(UUID(int=n), one, rate) for n, one in enumerate(billed))
    invoice = Creditable(lines, tax_minor)
    for place, amount in wanted:
        line_id = UUID(int=place % len(billed))
        most = min(amount, invoice.lines_left()[line_id], invoice.left_minor)
        if most > 0:
            note = price_note(invoice, [NoteItem(line_id, most)])
            assert note.subtotal_minor == most
            assert 0 <= note.tax_minor <= invoice.tax_left_minor
            invoice = Creditable(lines, tax_minor, (*invoice.notes, note))
    if invoice.left_minor:
        last = price_note(invoice, whole_note(invoice))
        invoice = Creditable(lines, tax_minor, (*invoice.notes, last))
    if sum(billed):
        assert sum(note.subtotal_minor for note in invoice.notes) == sum(billed)
        assert sum(note.tax_minor for note in invoice.notes) == tax_minor
        assert all(not left or billed[n.int] > 0 for n, left in invoice.lines_left().items())


@given(st.lists(st.integers(0, 100), max_size=6), st.lists(st.integers(-50, 200), min_size=1))
def test_notes_pay_what_is_there_and_no_line_more_than_it_costs(
    balances: list[int], lines: list[int]
) -> None:
    gross = max(sum(lines), 0)
    notes = [
        OpenNote(UUID(int=n), UUID(int=99), "USD", one, "default") for n, one in enumerate(balances)
    ]
    applied = apply_notes(UUID(int=1), "USD", gross, notes, entity_code="default")
    paid = sum(one.amount_minor for one in applied)
    assert paid == min(gross, sum(balances))
    shares = spread_notes(paid, lines)
    assert sum(shares) == paid
    assert all(0 <= share <= max(line, 0) for share, line in zip(shares, lines, strict=True))
