"""Fees set by hand: they stay, whatever rating answers, and change nothing else."""

from __future__ import annotations

from decimal import Decimal

from services.invoicing.domain.adjusted_fee import AdjustedFee, adjust, moved
from services.invoicing.domain.invoice import compose
from tests.unit.invoicing.samples import INVOICE_ID, base_fee, electricity, rated, row, usage_fee

OTHER = INVOICE_ID.__class__(int=77)


def test_a_fee_is_units_at_a_price_instead_and_its_line_keeps_its_id() -> None:
    before = compose(INVOICE_ID, electricity()).lines
    peak = before[3]
    fee = AdjustedFee(peak.line_id, "Peak, as agreed", Decimal("8.5"), Decimal("1000.001"))
    after = compose(INVOICE_ID, adjust(INVOICE_ID, "AUD", electricity(), [fee])).lines
    assert [line.line_id for line in after] == [line.line_id for line in before]
    shown = after[3].fee
    assert (shown.description, shown.units) == ("Peak, as agreed", Decimal("8.5"))
    assert (shown.exact_amount, shown.amount_minor) == (Decimal("8500.0085"), 850_001)
    assert [row.label for row in shown.breakdown] == ["adjusted"]
    assert shown.event_count == peak.fee.event_count
    assert [line for line in after if line != after[3]] == [line for line in before if line != peak]


def test_a_name_alone_leaves_the_price() -> None:
    [line] = compose(INVOICE_ID, [rated([base_fee("9.99")])]).lines
    named = AdjustedFee(line.line_id, "Access")
    [period] = adjust(INVOICE_ID, "AUD", [rated([base_fee("9.99")])], [named])
    [fee] = period.fees
    assert (fee.description, fee.amount_minor) == ("Access", 999)


def test_what_is_rated_no_more_is_passed_over() -> None:
    gone = AdjustedFee(OTHER, "Gone", Decimal(1), Decimal(1))
    assert adjust(INVOICE_ID, "AUD", electricity(), [gone]) == electricity()


def test_the_line_that_bills_the_same_again_is_found_by_what_it_shows() -> None:
    usage = usage_fee("kwh", [row("100", "0.25")], description="Energy")
    billed = [rated([base_fee("9.99"), usage])]
    old = compose(INVOICE_ID, billed).lines
    new = compose(OTHER, billed).lines
    assert [moved(line, INVOICE_ID, OTHER) for line in old] == [line.line_id for line in new]
