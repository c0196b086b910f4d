"""What an invoice takes off for progressive invoices of its period."""

from __future__ import annotations

from uuid import UUID

import pytest

from services.invoicing.domain.credit_note import CreditExceedsInvoice
from services.invoicing.domain.line import Fee, lines_of
from services.invoicing.domain.progressive import (
    EarlyCredit,
    EarlyInvoice,
    credit_early,
    early_invoice,
    items_of,
)
from tests.unit.invoicing.samples import GST, amount_fee, composed, rated

CLOSE, FIRST, SECOND = (UUID(int=n) for n in (9, 1, 2))


def early(invoice_id: UUID, fees: list[Fee]) -> EarlyInvoice:
    """A progressive invoice of `fees` on which there are no notes."""
    lines = lines_of(invoice_id, [rated(fees)])
    return early_invoice(invoice_id, lines, {line.line_id: line.net_minor for line in lines})


def credited(fees: list[Fee], billed: list[EarlyInvoice]) -> EarlyCredit:
    """What the invoice of `fees` credits of `billed`."""
    return credit_early(lines_of(CLOSE, [rated(fees)]), billed)


def test_usage_billed_early_is_credited_and_the_rest_is_taxed() -> None:
    fees = [amount_fee(43_100)]
    credit = credited(fees, [early(FIRST, [amount_fee(20_000)])])
    content = composed(CLOSE, [rated(fees)], [GST], credit.shares_minor)
    assert (content.progressive_credit_minor, content.subtotal_minor) == (20_000, 23_100)
    assert (content.tax_minor, content.gross_minor) == (2_310, 25_410)


def test_no_charge_is_credited_more_than_it_costs_and_the_rest_is_given_back() -> None:
    fees = [amount_fee(19, code="calls"), amount_fee(500, code="storage")]
    first = early(FIRST, [amount_fee(20, code="calls"), amount_fee(7, code="storage")])
    credit = credited(fees, [first])
    assert sorted(credit.shares_minor.values()) == [7, 19]
    [item] = credit.given_back[FIRST]
    assert (item.line_id, item.amount_minor) == (first.lines[0].line_id, 1)


def test_what_is_given_back_comes_from_the_newest_invoice_first() -> None:
    billed = [early(FIRST, [amount_fee(20)]), early(SECOND, [amount_fee(30)])]
    credit = credited([amount_fee(5)], billed)
    assert credit.amount_minor == 5
    given = {one: [item.amount_minor for item in items] for one, items in credit.given_back.items()}
    assert given == {SECOND: [30], FIRST: [15]}


def test_items_are_taken_from_the_largest_line_first() -> None:
    lines = early(FIRST, [amount_fee(40, code="calls"), amount_fee(80, code="storage")]).lines
    assert [item.amount_minor for item in items_of(lines, 100)] == [80, 20]
    with pytest.raises(CreditExceedsInvoice):
        items_of(lines, 130)
