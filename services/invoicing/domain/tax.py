"""Taxes: each is summed exactly over the lines and rounded once, then shared out to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


def tax_lines(amounts_minor: Sequence[int], taxes: Sequence[Tax]) -> Taxation:
    """Return the taxes on lines of `amounts_minor`, whose sum is not negative.

    Each tax is the exact sum over its lines, rounded once, half away from zero: two lines of 1
    cent at 40 % bear 1 cent together, and the first line shows it.
    """
    shares = [0] * len(amounts_minor)
    amounts: list[TaxAmount] = []
    for tax in taxes:
        exact = [amount * Fraction(tax.rate_percent) / 100 for amount in amounts_minor]
        parts = share_out(exact)
        shares = [share + part for share, part in zip(shares, parts, strict=True)]
        amounts.append(TaxAmount(tax, sum(amounts_minor), sum(parts)))
    return Taxation(tuple(amounts), tuple(shares))


def share_out(exact: Sequence[Fraction]) -> list[int]:
    """Round `exact` so that the parts sum to the rounded sum: largest remainder, ties by order.

    Every part is cut to the whole number below it, negative ones too, and what is missing goes
    by one to those that lost most. So no part is a whole unit or more away from its exact value,
    which shares in proportion to the sum cannot promise when lines have both signs.
    """
    parts = [floor(part) for part in exact]
    missing = floor(sum(exact) + HALF) - sum(parts)
    assert 0 <= missing <= len(parts)
    by_loss = sorted(range(len(parts)), key=lambda place: (parts[place] - exact[place], place))
    for place in by_loss[:missing]:
        parts[place] += 1
    return parts
