"""Taxes: each is summed exactly over the lines and rounded once, then shared out to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import floor

from libs.errors import AlreadyExists, NotFound

HALF = Fraction(1, 2)


class TaxNotFound(NotFound):
    """The tenant has no such tax."""

    reason = "TAX_NOT_FOUND"


class TaxCodeTaken(AlreadyExists):
    """Another tax has the code."""

    reason = "TAX_CODE_TAKEN"


@dataclass(frozen=True, slots=True)
class Tax:
    """A tax of `rate_percent` per cent: Decimal(10) takes a tenth."""

    code: str
    name: str
    rate_percent: Decimal


@dataclass(frozen=True, slots=True)
class KnownTax:
    """A stored tax."""

    tax: Tax
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TaxAmount:
    """One tax of an invoice, in minor units of its currency."""

    tax: Tax
    base_minor: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Taxation:
    """The taxes of an invoice, and how much of their sum falls on each line."""

    taxes: tuple[TaxAmount, ...]
    shares_minor: tuple[int, ...]

    @property
    def amount_minor(self) -> int:
        return sum(tax.amount_minor for tax in self.taxes)


@dataclass(frozen=True, slots=True)
class TaxTerms:
    """Which taxes an invoice bears.

    `default_codes` are those of lines that name none, of the customer or else of the billing
    entity; None: no line bears any, whatever it names. `taxes` are all that are named, by code.
    """

    default_codes: tuple[str, ...] | None = ()
    taxes: Mapping[str, Tax] = field(default_factory=dict)

    def borne(self, named_codes: Sequence[str]) -> tuple[Tax, ...]:
        """Return the taxes of a line that names `named_codes`: one level wins whole."""
        if self.default_codes is None:
            return ()
        return tuple(self.taxes[code] for code in named_codes or self.default_codes)


def tax_lines(net: Sequence[int | Fraction], borne: Sequence[Sequence[Tax]]) -> Taxation:
    """Return the taxes on lines of `net` minor units, of which each bears its own taxes.

    Each tax is the exact sum over its lines, rounded once, half away from zero: two lines of 1
    cent at 40 % bear 1 cent together, and the first line shows it. A tax is below zero where its
    lines are, as far as the other taxes of the invoice make up for it.
    """
    taxes = dict.fromkeys(tax for of_line in borne for tax in of_line)
    bases = {
        tax: [
            Fraction(amount if tax in of_line else 0)
            for amount, of_line in zip(net, borne, strict=True)
        ]
        for tax in taxes
    }
    exact = {
        tax: [amount * Fraction(tax.rate_percent) / 100 for amount in of_tax]
        for tax, of_tax in bases.items()
    }
    owed = together_not_below_zero({tax: rounded(sum(of_tax)) for tax, of_tax in exact.items()})
    shares = [0] * len(net)
    for tax, of_tax in exact.items():
        if owed[tax] != rounded(sum(of_tax)):
            of_tax = [part * owed[tax] / sum(of_tax) for part in of_tax]
        shares = [share + part for share, part in zip(shares, share_out(of_tax), strict=True)]
    amounts = (TaxAmount(tax, rounded(sum(bases[tax])), owed[tax]) for tax in taxes)
    return Taxation(tuple(amounts), tuple(shares))


def together_not_below_zero(owed_minor: Mapping[Tax, int]) -> dict[Tax, int]:
    """Return taxes of which those below zero give back no more than the others take."""
    left = dict(owed_minor)
    for tax, minor in owed_minor.items():
        total = sum(left.values())
        if total < 0 and minor < 0:
            left[tax] = min(0, minor - total)
    return left


def rounded(exact: Fraction | int) -> int:
    """Round to a whole minor unit, half away from zero."""
    return floor(exact + HALF) if exact >= 0 else -floor(HALF - exact)


def share_out(exact: Sequence[Fraction]) -> list[int]:
    """Round `exact` so that the parts sum to the rounded sum: largest remainder, ties by order.

    Every part is cut to the whole number below it, negative ones too, and what is missing goes
    by one to those that lost most. So no part is a whole unit or more away from its exact value,
    which shares in proportion to the sum cannot promise when lines have both signs.
    """
    parts = [floor(part) for part in exact]
    missing = rounded(sum(exact)) - sum(parts)
    assert 0 <= missing <= len(parts)
    by_loss = sorted(range(len(parts)), key=lambda place: (parts[place] - exact[place], place))
    for place in by_loss[:missing]:
        parts[place] += 1
    return parts
