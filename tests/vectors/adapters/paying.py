"""Paying lines out of a wallet, for topics in which credits pay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

from libs.money import Money, round_minor, to_decimal
from libs.period import Period
from services.wallet.domain import burn_down
from services.wallet.domain.apply_credits import USAGE, CreditLine, Invoice, apply_credits
from services.wallet.domain.grant import Grant, GrantKind
from services.wallet.domain.ledger import Book
from services.wallet.domain.wallet import PRIORITY_DEFAULT, Scope, Wallet

START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
WALLET = Wallet(UUID(int=1), "c", "", "", PRIORITY_DEFAULT, Scope(), START)


def pay(amounts: Sequence[Decimal], credits: Sequence[Decimal], currency: str) -> list[Decimal]:
    """Pay lines of `amounts` with `credits` in the order of their age; return the parts paid."""
    book = Book(replace(WALLET, currency=currency), {})
    for number, credit in enumerate(credits):
        burn_down.put_in(book, _grant(number, round_minor(credit, currency)), START)
    lines = [_line(number, round_minor(each, currency)) for number, each in enumerate(amounts)]
    invoice = Invoice(UUID(int=1), WALLET.customer_id, currency, lines, ())
    paid = [0] * len(lines)
    for part in apply_credits([book], (), invoice, END).credits:
        paid[part.line_id.int] += part.amount_minor
    return [to_decimal(Money(currency, part)) for part in paid]


def _grant(number: int, amount_minor: int) -> Grant:
    return Grant(
        grant_id=UUID(int=number),
        wallet_id=WALLET.wallet_id,
        kind=GrantKind.GRANTED,
        amount_minor=amount_minor,
        priority=PRIORITY_DEFAULT,
        effective_at=START,
        expires_at=None,
        reference="",
        created_at=START,
        number=number,
    )


def _line(number: int, amount_minor: int) -> CreditLine:
    return CreditLine(UUID(int=number), USAGE, "m", amount_minor, Period(START, END), "s")
