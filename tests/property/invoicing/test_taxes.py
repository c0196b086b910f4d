"""Whatever the lines and rates, taxes are rounded once and their shares sum to them."""

from decimal import Decimal
from fractions import Fraction
from itertools import accumulate

from hypothesis import assume, given
from hypothesis import strategies as st

from libs.money import round_minor
from services.invoicing.domain.tax import Tax, share_out, tax_lines

rates = st.decimals(min_value=0, max_value=100, places=4)
amounts = st.lists(st.integers(-10_000, 10**9), max_size=30)


def taxes_of(percents: list[Decimal]) -> list[Tax]:
    return [Tax(f"t{place}", "Tax", rate) for place, rate in enumerate(percents)]


@given(amounts, st.lists(rates, max_size=4))
def test_each_tax_is_the_exact_sum_rounded_once(lines: list[int], percents: list[Decimal]) -> None:
    assume(sum(lines) >= 0)
    taxation = tax_lines(lines, [taxes_of(percents)] * len(lines))
    for tax in taxation.taxes:
        exact = sum(lines) * Fraction(tax.tax.rate_percent) / 100
        assert tax.amount_minor == round_minor(exact, "JPY")


@given(amounts, st.lists(rates, max_size=4))
def test_shares_sum_to_the_taxes_and_stay_close(lines: list[int], percents: list[Decimal]) -> None:
    assume(sum(lines) >= 0)
    taxation = tax_lines(lines, [taxes_of(percents)] * len(lines))
    assert sum(taxation.shares_minor) == taxation.amount_minor
    for amount, share in zip(lines, taxation.shares_minor, strict=True):
        exact = sum((amount * Fraction(rate) / 100 for rate in percents), Fraction(0))
        assert abs(share - exact) <= len(percents)


@given(st.lists(st.fractions(0, 100), min_size=1, max_size=12))
def test_what_is_left_goes_to_those_that_lost_most(exact: list[Fraction]) -> None:
    parts = share_out(exact)
    losses = [each - int(each) for each in exact]
    raised = [loss for loss, part, each in zip(losses, parts, exact, strict=True) if part > each]
    cut = [loss for loss, part, each in zip(losses, parts, exact, strict=True) if part < each]
    assert not raised or not cut or min(raised) >= max(cut)


@given(st.lists(st.integers(0, 500), max_size=8))
def test_equal_losses_are_settled_in_line_order(lines: list[int]) -> None:
    shares = share_out([Fraction(1, 2)] * len(lines))
    assert all(before >= after for before, after in zip(shares, shares[1:], strict=False))
    assert list(accumulate(shares))[-1:] == ([(len(lines) + 1) // 2] if lines else [])
