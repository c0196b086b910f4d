"""What credit notes give back, and what they are used for."""

from __future__ import annotations

from fractions import Fraction
from uuid import UUID

import pytest

from services.invoicing.domain.credit_note import (
    Creditable,
    CreditableLine,
    CreditExceedsInvoice,
    CreditExceedsLine,
    NoteItem,
    price_note,
)
from services.invoicing.domain.giving_back import BilledInvoice, give_back
from services.invoicing.domain.line import Fee
from services.invoicing.domain.note_use import (
    NoteApplication,
    NoteKind,
    OpenNote,
    Settlement,
    apply_notes,
    settle,
    spread_notes,
)
from services.invoicing.domain.voiding import void_notes
from tests.unit.invoicing.samples import amount_fee, composed, rated

FIRST, SECOND, OWN = UUID(int=1), UUID(int=2), UUID(int=3)
TENTH = Fraction(1, 10)


def creditable(*amounts: int, tax_minor: int) -> Creditable:
    """An invoice of lines 1, 2, … at 10 %."""
    lines = (CreditableLine(UUID(int=place), one, TENTH) for place, one in enumerate(amounts, 1))
    return Creditable(tuple(lines), tax_minor)


def items(**amounts: int) -> list[NoteItem]:
    """Items named by their lines: one=5 gives back 5 of line 1."""
    places = {"one": FIRST, "two": SECOND}
    return [NoteItem(places[name], amount) for name, amount in amounts.items()]


def noted(invoice: Creditable, *notes: list[NoteItem]) -> Creditable:
    """The invoice after notes of these items."""
    for each in notes:
        priced = price_note(invoice, each)
        invoice = Creditable(invoice.lines, invoice.tax_minor, (*invoice.notes, priced))
    return invoice


def test_a_note_gives_back_items_and_their_tax_each_rounded_once() -> None:
    note = price_note(creditable(104, 50, tax_minor=15), items(one=4, two=2))
    assert (note.subtotal_minor, note.tax_minor, note.total_minor) == (6, 1, 7)
    assert note.exact_tax == Fraction(6, 10)


def test_a_coupon_is_given_back_in_no_part() -> None:
    line = CreditableLine(FIRST, 100, TENTH, coupon=Fraction(40))
    note = price_note(Creditable((line,), 6), items(one=50))
    assert (note.discount_minor, note.subtotal_minor, note.tax_minor) == (20, 30, 3)


def test_more_than_a_line_has_left_is_refused_with_what_it_has() -> None:
    invoice = noted(creditable(100, 50, tax_minor=15), items(one=70))
    with pytest.raises(CreditExceedsLine, match=f"the line {FIRST} has 30 of 100 left, 31 cannot"):
        price_note(invoice, items(one=31))
    with pytest.raises(CreditExceedsLine, match="has 30 of 100 left, 31 cannot"):
        price_note(invoice, items(one=15) + items(one=16))


def test_lines_below_zero_leave_less_of_the_invoice() -> None:
    invoice = creditable(100, -20, tax_minor=8)
    with pytest.raises(CreditExceedsInvoice, match="has 80 left before tax, 81 cannot"):
        price_note(invoice, items(one=81))
    assert price_note(invoice, items(one=80)).total_minor == 88


def test_roundings_never_give_back_more_tax_than_there_was() -> None:
    invoice = noted(creditable(20, tax_minor=2), items(one=5), items(one=5), items(one=5))
    assert [note.tax_minor for note in invoice.notes] == [1, 1, 0]
    assert price_note(invoice, items(one=5)).tax_minor == 0


def test_notes_pay_oldest_first_in_their_currency_and_never_their_own_invoice() -> None:
    notes = [
        OpenNote(FIRST, OWN, "EUR", 500, "default"),
        OpenNote(SECOND, FIRST, "USD", 500, "default"),
        OpenNote(UUID(int=7), FIRST, "EUR", 500, "another"),
        OpenNote(OWN, FIRST, "EUR", 30, "default"),
        OpenNote(UUID(int=4), FIRST, "EUR", 100, "default"),
        OpenNote(UUID(int=5), FIRST, "EUR", 100, "default"),
    ]
    applied = apply_notes(OWN, "EUR", 70, notes, entity_code="default")
    assert applied == [NoteApplication(OWN, 30), NoteApplication(UUID(int=4), 40)]


def test_what_notes_pay_is_spread_over_lines_above_zero() -> None:
    assert spread_notes(10, [60, -30, 30]) == [7, 0, 3]
    assert spread_notes(60, [60, -30, 30]) == [40, 0, 20]


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (NoteKind.CREDIT, Settlement(100, 0, 0)),
        (NoteKind.REFUND, Settlement(70, 30, 0)),
        (NoteKind.OFFSET, Settlement(0, 30, 70)),
    ],
)
def test_no_more_is_refunded_than_was_paid(kind: NoteKind, parts: Settlement) -> None:
    assert settle(kind, 100, refundable_minor=30) == parts


def billed(
    number: int, *fees: Fee, sequence: int = 0, notes: list[NoteItem] | None = None
) -> BilledInvoice:
    """The invoice of that number, which bills period 1."""
    invoice_id = UUID(int=number)
    content = composed(invoice_id, [rated(fees, sequence=sequence)], [])
    lines = (
        CreditableLine(one.line_id, one.fee.amount_minor, Fraction(0)) for one in content.lines
    )
    invoice = Creditable(tuple(lines), 0)
    return BilledInvoice(invoice_id, content.lines, noted(invoice, *([notes] if notes else [])))


def given(
    adjustment: tuple[Fee, ...], *of: BilledInvoice, by_hand: int = 0
) -> list[list[int]] | None:
    """What each line of each invoice gives back."""
    found = give_back(rated(adjustment, sequence=9), of, by_hand_minor=by_hand)
    if found is None:
        return None
    amounts = {
        (invoice_id, item.line_id): item.amount_minor
        for invoice_id, each in found.items.items()
        for item in each
    }
    return [[amounts.get((one.invoice_id, line.line_id), 0) for line in one.lines] for one in of]


def test_a_fee_is_given_back_on_the_line_of_its_charge() -> None:
    close = billed(1, amount_fee(100, code="a"), amount_fee(50, code="b"))
    assert given((amount_fee(-30, code="b"),), close) == [[0, 30]]


def test_the_newest_invoice_gives_back_first_and_each_line_what_it_has() -> None:
    later = billed(2, amount_fee(20), sequence=1)
    close = billed(1, amount_fee(100))
    assert given((amount_fee(-50),), later, close) == [[20], [30]]


def test_of_mixed_fees_the_net_is_given_back() -> None:
    close = billed(1, amount_fee(100, code="a"), amount_fee(50, code="b"))
    assert given((amount_fee(-80, code="a"), amount_fee(30, code="b")), close) == [[50, 0]]


def test_what_its_own_line_does_not_hold_falls_on_others_of_the_period() -> None:
    close = billed(1, amount_fee(10, code="a"), amount_fee(50, code="b"))
    assert given((amount_fee(-30, code="a"),), close) == [[10, 20]]


def test_what_no_line_holds_waits_unless_it_was_given_back_by_hand() -> None:
    close = billed(1, amount_fee(100))
    assert given((amount_fee(-101),), close) is None
    line_id = close.lines[0].line_id
    disputed = billed(1, amount_fee(100), notes=[NoteItem(line_id, 60)])
    assert given((amount_fee(-100),), disputed, by_hand=60) == [[40]]
    assert given((amount_fee(-101),), disputed, by_hand=60) is None


def test_lines_below_zero_leave_less_room_for_what_is_given_back() -> None:
    close = billed(1, amount_fee(100, code="a"), amount_fee(-30, code="b"))
    assert given((amount_fee(-70, code="a"),), close) == [[70, 0]]
    assert given((amount_fee(-71, code="a"),), close) is None


def test_of_a_voided_invoice_no_more_is_given_back_than_was_paid() -> None:
    assert void_notes(1_200, 900, credit_minor=500, refund_minor=400) == (
        Settlement(500, 400, 0),
        300,
    )
    with pytest.raises(CreditExceedsInvoice, match="900 of 1200 is paid, 901 cannot"):
        void_notes(1_200, 900, credit_minor=501, refund_minor=400)
