"""Wallets: which of them pay what, which grants they draw, and what they show.

Ids are texts there and UUIDs here; a "charge" is usage, a "subscription" the base fee.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from libs.errors import Refused
from libs.money import Money, share, to_decimal
from libs.period import Period
from services.wallet.api.parsing import parse_priority
from services.wallet.domain import burn_down
from services.wallet.domain.allocation import Demand, Taker, allocate
from services.wallet.domain.apply_credits import BASE, USAGE, CreditLine, Invoice, apply_credits
from services.wallet.domain.grant import Grant, GrantKind
from services.wallet.domain.ledger import Book
from services.wallet.domain.level import Level, level_of
from services.wallet.domain.voiding import GrantNotFound, void
from services.wallet.domain.wallet import (
    PRIORITY_DEFAULT,
    RATE_DEFAULT,
    Balance,
    Credits,
    Pool,
    Scope,
    Wallet,
    credits_of,
    money_of,
)
from tests.vectors.given import Given

CURRENCY = "EUR"
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
FEE_KINDS = {"charge": USAGE, "subscription": BASE}


def allocation(given: Given) -> dict[str, Any]:
    """Say which wallets pay, or what priority top-ups get; a case is known by what it gives."""
    if given.has("action"):
        given.text("action")  # Grants are put in alike, the first ones and later ones.
        wanted = int(given.value("priority")) if given.has("priority") else 0
        credits = [key for key in ("paid_credits", "granted_credits") if given.decimal(key)]
        return {"transaction_priorities": [parse_priority(wanted, "priority") for _ in credits]}
    if given.has("invoice_total_cents"):
        return _of_invoice(given)
    return _of_usage(given)


def consumption(given: Given) -> dict[str, Any]:
    """Draw what is asked, one after the other, and say which grants gave it."""
    rate = given.find_decimal("rate_amount") or RATE_DEFAULT
    book = Book(_wallet("wallet", rate=rate), {})
    names: dict[UUID, str] = {}
    for place, one in enumerate(given.each("inbounds")):
        grant = _grant_of(one, place)
        names[grant.grant_id] = one.text("id")
        if grant.amount_minor:
            burn_down.put_in(book, grant, START)
    voids = given.has("outbound_kind") and given.text("outbound_kind") == "voided"
    outbounds = [
        {**asked, "fundings": _funded(book, asked, names, place=place, voids=voids)}
        for place, asked in enumerate(given.asked("outbounds"))
    ]
    left = {grant.grant_id: grant.remaining_minor for grant in book.grants.values()}
    remaining = {name: left.get(grant_id, 0) for grant_id, name in names.items()}
    return {"outbounds": outbounds, "remaining_cents": remaining}


def standing(given: Given) -> dict[str, Any]:
    """Say what a wallet shows, of which unbilled usage takes a part."""
    wallet = given.inner("wallet")
    balance = Balance(
        currency=CURRENCY,
        available_minor=int(wallet.value("balance_cents")),
        held_minor=0,
        captured_minor=0,
        rate=wallet.decimal("rate_amount"),
        reserved_minor=int(given.value("ongoing_usage_cents")),
    )
    return {
        "ongoing_usage_balance_cents": balance.reserved_minor,
        "credits_ongoing_usage_balance": _credits(balance.reserved_minor, balance.rate),
        "ongoing_balance_cents": balance.spendable_minor,
        "credits_ongoing_balance": _credits(balance.spendable_minor, balance.rate),
        "depleted": level_of(balance.spendable_minor, 0) is Level.DEPLETED,
    }


def _of_usage(given: Given) -> dict[str, Any]:
    takers, names = [], {}
    for place, one in enumerate(given.each("wallets")):
        wallet = _wallet_of(one, place)
        names[wallet.wallet_id] = one.text("id")
        absorbs = one.has("active_threshold_rule") and bool(one.value("active_threshold_rule"))
        if one.has("interval_rule"):
            one.value("interval_rule")  # It does not wait for a low balance.
        taker = Taker(wallet, int(one.value("balance_cents")), absorbs)
        takers += [taker] if wallet.currency == CURRENCY else []
    signs = {"usage": 1, "draft": 1, "progressively_billed": -1, "billed_in_advance": -1}
    demands = [
        Demand(_pool_of(fee), sign * int(fee.value("amount_cents")))
        for key, sign in signs.items()
        if given.has(key)
        for fee in given.each(key)
        if not fee.has("currency") or fee.text("currency") == CURRENCY
    ]
    allocated = allocate(takers, demands)
    return {"allocations_cents": {name: allocated.get(key, 0) for key, name in names.items()}}


def _of_invoice(given: Given) -> dict[str, Any]:
    currency, names, books = given.text("currency"), {}, []
    for place, one in enumerate(given.each("wallets")):
        wallet = _wallet_of(one, place)
        names[wallet.wallet_id] = one.text("id")
        balance = int(one.value("balance_cents"))
        if wallet.currency == currency:
            book = Book(wallet, {})
            burn_down.put_in(book, _grant(one.text("id"), balance, wallet=wallet), START)
            books.append(book)
    fees = given.each("fees")
    amounts = [int(fee.value("amount_cents")) for fee in fees]
    taxes = [fee.find_decimal("tax_cents") or Decimal(0) for fee in fees]
    tax = int(given.value("invoice_total_cents")) - sum(amounts)
    shares = share(tax, taxes) if any(taxes) else [0] * len(fees)
    lines = [
        _line(place, _pool_of(fee), amount + part)
        for place, (fee, amount, part) in enumerate(zip(fees, amounts, shares, strict=True))
    ]
    paid: Counter[str] = Counter()
    for credit in _pay(books, lines, currency):
        paid[names[credit.wallet_id]] += credit.amount_minor
    return {"allocations_cents": dict(paid), "allocated_total_cents": paid.total()}


def _funded(
    book: Book, asked: Mapping[str, Any], names: Mapping[UUID, str], *, place: int, voids: bool
) -> dict[str, int] | None:
    """Return what each grant gave; None: it was refused."""
    if not asked["amount_cents"]:
        return {}
    gave: Counter[str] = Counter()
    if voids or "only" in asked:
        exact = to_decimal(Money(CURRENCY, asked["amount_cents"]))
        amount = money_of(book.wallet, Credits(exact / book.wallet.rate), "credits")
        only = _id(asked["only"]) if "only" in asked else None
        try:
            uses = void(book, amount.amount_minor, END, reference=str(place), grant_id=only)
        except (Refused, GrantNotFound):
            return None
        gave.update({names[use.grant_id]: use.amount_minor for use in uses})
    else:
        for credit in _pay([book], [_line(place, (USAGE, "m", ""), asked["amount_cents"])]):
            gave[names[credit.grant_id]] += credit.amount_minor
    return dict(gave)


def _pay(books: Sequence[Book], lines: Sequence[CreditLine], currency: str = CURRENCY) -> Any:
    invoice = Invoice(_id("invoice"), "c", currency, lines, ())
    return apply_credits(books, (), invoice, END).credits


def _wallet_of(given: Given, place: int) -> Wallet:
    def words(key: str) -> frozenset[str]:
        return frozenset(given.value(key)) if given.has(key) else frozenset()

    kinds = frozenset(FEE_KINDS[kind] for kind in words("fee_types"))
    return _wallet(
        given.text("id"),
        currency=given.text("currency") if given.has("currency") else CURRENCY,
        priority=int(given.value("priority")) if given.has("priority") else PRIORITY_DEFAULT,
        scope=Scope(kinds, words("billable_metrics")),
        number=int(given.value("created")) if given.has("created") else place + 1,
        code=given.text("code") if given.has("code") else "",
    )


def _wallet(
    name: str,
    *,
    currency: str = CURRENCY,
    priority: int = PRIORITY_DEFAULT,
    scope: Scope | None = None,
    number: int = 1,
    code: str = "",
    rate: Decimal = RATE_DEFAULT,
) -> Wallet:
    return Wallet(
        _id(name),
        "c",
        currency,
        name,
        priority,
        scope or Scope(),
        START,
        number=number,
        code=code,
        rate=rate,
    )


def _grant_of(given: Given, place: int) -> Grant:
    return _grant(
        given.text("id"),
        int(given.value("remaining_cents")),
        wallet=_wallet("wallet"),
        kind=GrantKind(given.text("kind")),
        priority=int(given.value("priority")),
        number=1 + 1_000 * int(given.value("created")) + place,
    )


def _grant(
    name: str,
    amount_minor: int,
    *,
    wallet: Wallet,
    kind: GrantKind = GrantKind.GRANTED,
    priority: int = PRIORITY_DEFAULT,
    number: int = 1,
) -> Grant:
    return Grant(
        grant_id=_id(name),
        wallet_id=wallet.wallet_id,
        kind=kind,
        amount_minor=amount_minor,
        priority=priority,
        effective_at=START,
        expires_at=None,
        reference="",
        created_at=START,
        number=number,
    )


def _pool_of(fee: Given) -> Pool:
    meter = fee.text("metric") if fee.has("metric") else ""
    target = fee.text("target_wallet_code") if fee.has("target_wallet_code") else ""
    return (FEE_KINDS[fee.text("type")], meter, target)


def _line(place: int, pool: Pool, amount_minor: int) -> CreditLine:
    kind, meter, target = pool
    return CreditLine(
        UUID(int=place), kind, meter, amount_minor, Period(START, END), "s", target=target
    )


def _credits(amount_minor: int, rate: Decimal) -> Decimal:
    return credits_of(Money(CURRENCY, amount_minor), rate)


def _id(name: str) -> UUID:
    return uuid5(NAMESPACE_OID, name)
