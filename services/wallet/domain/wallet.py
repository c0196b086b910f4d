"""Wallets: whose money it is, and what it may pay for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from libs.errors import InvalidInput, NotFound
from libs.money import Money

PRIORITY_DEFAULT = 50
PRIORITY_MAX = 100


class WalletNotFound(NotFound):
    """The tenant has no such wallet."""

    reason = "WALLET_NOT_FOUND"


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
    """A customer's prepaid balance; `number` grows with age."""

    wallet_id: UUID
    customer_id: str
    currency: str
    name: str
    priority: int  # 1 is drawn first.
    scope: Scope
    created_at: datetime
    number: int = 0  # 0 until stored.

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
    reserved_minor: int = 0  # Unbilled usage: no movement of money, but not to be spent.

    @property
    def posted_minor(self) -> int:
        return self.available_minor + self.held_minor + self.captured_minor

    @property
    def spendable_minor(self) -> int:
        """What can be held now; below zero when usage ran ahead of it."""
        return self.available_minor - self.reserved_minor


def check_currency(wallet: Wallet, money: Money) -> None:
    """Refuse money in another currency than the wallet's.

    Raises:
        CurrencyMismatch: it is.
    """
    if money.currency != wallet.currency:
        raise CurrencyMismatch(f"the wallet is in {wallet.currency}, not in {money.currency}")
