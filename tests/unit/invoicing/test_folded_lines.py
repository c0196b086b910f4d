"""An invoice shows 200 groups of a charge, and one line for the rest; sums stay to the cent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pypdfium2

from services.invoicing.document.render import render_invoice
from services.invoicing.domain.folded_lines import by_size, shown_lines
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.line import Fee, Line
from services.invoicing.operations.messages import invoice_message
from tests.unit.invoicing.samples import (
    INVOICE_ID,
    amount_fee,
    base_fee,
    billed,
    finalized,
    rated,
    row,
    usage_fee,
)


def group_fees(cents: Sequence[int], *, code: str = "calls") -> list[Fee]:
    """Return a fee of so many cents for each group g0000, g0001, …, 0.4 cents of it unrounded."""
    return [
        replace(
            amount_fee(amount, code=code),
            exact_amount=Decimal(amount).scaleb(-2) + Decimal("0.004"),
            group_values=(("region", f"g{place:04}"),),
        )
        for place, amount in enumerate(cents)
    ]


def shown(invoice: Invoice) -> list[Line]:
    return shown_lines(INVOICE_ID, invoice.lines)


def test_200_groups_are_shown_as_they_are() -> None:
    invoice = billed([rated([base_fee("9"), *group_fees(range(1, 201))])])
    assert shown(invoice) == list(invoice.lines)


def test_of_more_the_largest_are_shown_and_one_line_for_the_others() -> None:
    invoice = billed([rated([base_fee("9"), *group_fees(range(1, 204)), amount_fee(7, code="x")])])
    base, *groups, rest, last = shown(invoice)
    assert (base.fee.kind, last.fee.charge_code) == ("base", "x")
    assert [line.fee.amount_minor for line in groups] == list(range(203, 3, -1))
    assert rest.folded_lines == 3
    assert (rest.fee.amount_minor, rest.fee.units) == (1 + 2 + 3, Decimal(3))
    assert rest.fee.exact_amount == Decimal("0.06") + 3 * Decimal("0.004")
    assert rest.fee.event_count == 3 * 1_486
    assert not rest.fee.breakdown and not rest.fee.group_values


def test_what_is_shown_has_the_sums_of_all_lines() -> None:
    """Each group is rounded, taxed and paid for itself: a sum of rounded amounts, not a new one."""
    made = billed([rated(group_fees([10, 50] * 130)), rated(group_fees([30] * 201), period=2)])
    paid = tuple(replace(line, credits_minor=place % 2) for place, line in enumerate(made.lines))
    invoice = replace(made, lines=paid)
    found = shown(invoice)
    assert [line.folded_lines for line in found if line.folded_lines] == [60, 1]
    for part in ("gross_minor", "tax_share_minor", "credits_minor"):
        sums = [sum(getattr(line, part) for line in each) for each in (invoice.lines, found)]
        assert sums[0] == sums[1] > 0
    assert sum(line.fee.amount_minor for line in found) == invoice.subtotal_minor


def test_equal_amounts_stay_in_the_order_of_their_groups() -> None:
    invoice = billed([rated(group_fees([5] * 202))])
    names = [line.fee.group_values[0][1] for line in shown(invoice)[:-1]]
    assert names == [f"g{place:04}" for place in range(200)]


def test_what_is_given_back_counts_by_its_size() -> None:
    adjusted = rated(group_fees([-900, *([1] * 200)]), sequence=1)
    found = shown_lines(INVOICE_ID, billed([rated([base_fee("99")]), adjusted]).lines)
    assert found[1].fee.amount_minor == -900
    assert found[-1].folded_lines == 1


def test_charges_periods_and_adjustments_are_folded_for_themselves() -> None:
    fees = [*group_fees([1] * 150), *group_fees([1] * 150, code="other")]
    late = rated(group_fees([1] * 150), sequence=1)
    invoice = billed([rated(fees), rated(fees, period=2), late])
    assert shown(invoice) == list(invoice.lines)


def test_a_folded_line_keeps_its_id_while_a_draft_is_refreshed() -> None:
    first, again = (shown(billed([rated(group_fees([n] * 202))]))[-1] for n in (1, 2))
    assert first.line_id == again.line_id
    ids: set[UUID] = {line.line_id for line in shown(billed([rated(group_fees([1] * 202))]))}
    assert len(ids) == 201


def test_messages_and_documents_show_the_folded_line() -> None:
    fees = group_fees([900 - place for place in range(1_203 - 400)])
    priced = [replace(fee, breakdown=(row("1", "0"),)) for fee in fees]
    invoice = finalized(billed([rated(priced)]))
    lines = invoice_message(invoice).lines
    assert (len(lines), lines[200].folded_lines, lines[199].folded_lines) == (201, 603, 0)
    assert lines[200].amount_minor == sum(fee.amount_minor for fee in fees[200:])
    pages = pypdfium2.PdfDocument(render_invoice(invoice).content)
    text = " ".join(" ".join(page.get_textpage().get_text_range().split()) for page in pages)
    assert "Calls region g0199" in text and "g0200" not in text
    assert "Calls 603 more groups 603" in text


def test_by_size_is_a_stable_order() -> None:
    fees = [amount_fee(amount, code=str(place)) for place, amount in enumerate([1, -2, 2, 0])]
    lines = billed([rated([base_fee("9"), *fees])]).lines[1:]
    assert [line.fee.charge_code for line in by_size(lines)] == ["1", "2", "0", "3"]


def test_lines_without_groups_are_never_folded() -> None:
    plain = [
        usage_fee("calls", [row("1", "1")], description="Calls", filter_code=f"b{n}")
        for n in range(201)
    ]
    invoice = billed([rated(plain)])
    assert shown(invoice) == list(invoice.lines)
