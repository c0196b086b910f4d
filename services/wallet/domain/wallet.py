"""Wallets: whose money it is, and what it may pay for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

from libs.errors import AlreadyExists, FieldInvalid, InvalidInput, NotFound, Refused
from libs.money import Money, exponent, round_minor
from services.wallet.domain.top_up_limits import Limits

PRIORITY_DEFAULT = 50
PRIORITY_MAX = 100
RATE_DEFAULT = Decimal(1)
CREDIT_PLACES = 5  # Of credits as they are shown.

Pool = tuple[str, str, str]  # Lines that go together: kind of fee, meter, code of a named wallet.


class WalletNotFound(NotFound):
    """The tenant has no such wallet."""

    reason = "WALLET_NOT_FOUND"


class WalletCodeTaken(AlreadyExists):
    """The customer has another wallet of this code."""

    reason = "WALLET_CODE_TAKEN"


class WalletTerminated(Refused):
    """The wallet was ended."""

    reason = "WALLET_TERMINATED"


class CurrencyMismatch(InvalidInput):
    """Money in another currency than the wallet's."""

    reason = "CURRENCY_MISMATCH"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a wallet may pay for; an empty set stands for everything."""

    fee_kinds: frozenset[str] = frozenset()
    meter_codes: frozenset[str] = frozenset()

    def covers(self, fee_kind: str, meter_code: str) -> bool:
        """Tell whether a line of this fee kind and meter ("": none) may be paid."""
        return (not self.fee_kinds or fee_kind in self.fee_kinds) and (
            not self.meter_codes or meter_code in self.meter_codes
        )


@dataclass(frozen=True, slots=True)
class Wallet:
    """A customer's prepaid balance; `number` grows with age.

    It counts money. A credit is worth `rate` of its currency: in a wallet of USD with a rate of
    0.5, 100 minor units are 2 credits.
    """

    wallet_id: UUID
    customer_id: str
    currency: str
    name: str
    priority: int  # 1 is drawn first.
    scope: Scope
    created_at: datetime
    number: int = 0  # 0 until stored.
    code: str = ""  # By which lines name it; "": by none.
    rate: Decimal = RATE_DEFAULT  # Above zero, in currency units.
    low_minor: int = 0  # It is low below this; 0: never.
    soft_minor: int = 0  # How far below zero unbilled usage may take what holds are placed on.
    expires_at: datetime | None = None  # All its grants lapse by then.
    terminated_at: datetime | None = None
    limits: Limits = Limits()  # Of what is bought for it at once.

    def accepts(self, fee_kind: str, meter_code: str, target: str) -> bool:
        """Tell whether it may pay a line; one that names a wallet (`target`) is only that one's."""
        return self.code == target if target else self.scope.covers(fee_kind, meter_code)

    @property
    def draw_key(self) -> tuple[int, int]:
        """Sorts a customer's wallets into the order in which they pay."""
        return (self.priority, self.number)


@dataclass(frozen=True, slots=True)
class Balance:
    """Where a wallet's money stands at an instant; what is not in force yet does not count."""

    currency: str
    available_minor: int
    held_minor: int
    captured_minor: int
    rate: Decimal = RATE_DEFAULT  # That of the wallet.
    reserved_minor: int = 0  # Unbilled usage: no movement of money, but not to be spent.

    @property
    def posted_minor(self) -> int:
        return self.available_minor + self.held_minor + self.captured_minor

    @property
    def spendable_minor(self) -> int:
        """What can be held now; below zero when usage ran ahead of it."""
        return self.available_minor - self.reserved_minor


@dataclass(frozen=True, slots=True)
class Changes:
    """What may change of a wallet, as it shall be."""

    name: str
    priority: int
    scope: Scope
    low: Money | None  # Below this the wallet is low; None: never.
    soft: Money | None = None  # How far below zero holds are still placed; None: not at all.
    top_up_minimum: Money | None = None  # The least that is bought for it at once; None: any.
    top_up_maximum: Money | None = None  # The most; None: any.

    def of(self, wallet: Wallet) -> Wallet:
        """Return `wallet` with the changes made.

        Raises:
            CurrencyMismatch: one of the amounts is in another currency than the wallet's.
        """
        amounts = (self.low, self.soft, self.top_up_minimum, self.top_up_maximum)
        for amount in filter(None, amounts):
            check_currency(wallet, amount)
        low, soft, least, most = (amount.amount_minor if amount else None for amount in amounts)
        return replace(
            wallet,
            name=self.name,
            priority=self.priority,
            scope=self.scope,
            low_minor=low or 0,
            soft_minor=soft or 0,
            limits=Limits(least, most),
        )


@dataclass(frozen=True, slots=True)
class Credits:
    """An amount that is named in credits: what it is in money, the wallet's rate tells."""

    quantity: Decimal  # Above zero.


def check_currency(wallet: Wallet, money: Money) -> None:
    """Refuse money in another currency than the wallet's.

    Raises:
        CurrencyMismatch: it is.
    """
    if money.currency != wallet.currency:
        raise CurrencyMismatch(f"the wallet is in {wallet.currency}, not in {money.currency}")


def check_live(wallet: Wallet) -> None:
    """Refuse what only a wallet that was not ended can do.

    Raises:
        WalletTerminated: it was.
    """
    if wallet.terminated_at is not None:
        ended = wallet.terminated_at.isoformat()
        raise WalletTerminated(f"wallet {wallet.wallet_id} was ended at {ended}")


def has_ended(wallet: Wallet, now: datetime) -> bool:
    """Tell whether nothing can be put in any more: it was ended, or all its credit has lapsed."""
    lapsed = wallet.expires_at is not None and wallet.expires_at <= now
    return lapsed or wallet.terminated_at is not None


def money_of(wallet: Wallet, asked: Money | Credits, field: str) -> Money:
    """Return what was asked as money, rounded half away from zero to a minor unit.

    17.9699999 credits at a rate of 1 are 1797 minor units of USD.

    Raises:
        CurrencyMismatch: it is money in another currency than the wallet's.
        FieldInvalid: these credits are worth less than half a minor unit.
    """
    if isinstance(asked, Money):
        check_currency(wallet, asked)
        return asked
    worth = Fraction(asked.quantity) * Fraction(wallet.rate)
    amount_minor = round_minor(worth, wallet.currency)
    if not amount_minor:
        raise FieldInvalid(field, f"{asked.quantity} at {wallet.rate} {wallet.currency} is nothing")
    return Money(wallet.currency, amount_minor)


def credits_of(amount: Money, rate: Decimal) -> Decimal:
    """Return how many credits an amount is, cut to five places, without trailing zeros.

    1000 minor units of USD at a rate of 3: 3.33333.
    """
    # In whole numbers: fractions take longer than all else that an order computes.
    worth, per = rate.as_integer_ratio()
    cut = abs(amount.amount_minor) * per * 10**CREDIT_PLACES
    cut //= worth * 10 ** exponent(amount.currency)  # Towards zero.
    whole, rest = divmod(cut, 10**CREDIT_PLACES)
    text = f"{whole}.{rest:0{CREDIT_PLACES}}".rstrip("0").rstrip(".")
    return Decimal(f"-{text}" if amount.amount_minor < 0 and cut else text)
