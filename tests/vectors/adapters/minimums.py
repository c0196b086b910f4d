"""Minimums of charges, and the tax on what their fees lack."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from libs.money import Money, to_decimal
from services.invoicing.domain.tax import Tax, tax_lines
from services.rating.domain.true_up import true_up_minor
from tests.vectors.given import Given

CURRENCY = "EUR"


def true_up(given: Given) -> dict[str, Any]:
    """Return what fees lack of a minimum; each fee is taxed by itself."""
    used = int(given.text("used_amount_cents"))
    minimum = to_decimal(Money(CURRENCY, int(given.text("min_amount_cents"))))
    days, of_days = int(given.text("days")), int(given.text("period_days"))
    lacks = true_up_minor(minimum, used, days=days, of_days=of_days, currency=CURRENCY)
    rate_percent = given.decimal("tax_rate_percent")
    return {
        "true_up_cents": lacks,
        "true_up_tax_cents": _tax(lacks, rate_percent),
        "used_tax_cents": _tax(used, rate_percent),
    }


def _tax(amount_minor: int, rate_percent: Decimal) -> int:
    return tax_lines([amount_minor], [[Tax("t", "t", rate_percent)]]).amount_minor
