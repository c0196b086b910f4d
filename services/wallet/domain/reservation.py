"""Reservations: unbilled usage that wallets will pay, told in absolute amounts by invoicing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from services.wallet.domain.allocation import Demand, Taker, allocate
from services.wallet.domain.wallet import Wallet


@dataclass(frozen=True, slots=True)
class UnbilledLine:
    """What usage of one meter comes to, its tax included, above zero."""

    fee_kind: str
    meter_code: str
    gross_minor: int


@dataclass(frozen=True, slots=True)
class Unbilled:
    """All usage of a period that is not invoiced yet; a greater `revision` replaces a smaller."""

    customer_id: str
    currency: str
    period_id: UUID
    subscription_id: str
    revision: int
    lines: Sequence[UnbilledLine]


@dataclass(slots=True)
class Reserved:
    """What a wallet is to pay of unbilled usage, and what was paid of it early, by subscription.

    What is captured for a subscription, and what its open sessions used of their holds, pays the
    same usage: it is not reserved once more.
    """

    unbilled: Counter[str] = field(default_factory=Counter)
    early: Counter[str] = field(default_factory=Counter)

    @property
    def amount_minor(self) -> int:
        return sum(max(0, gross - self.early[of]) for of, gross in self.unbilled.items())

    def early_left(self, subscription_id: str) -> int:
        """Return what was paid early for a subscription beyond its usage so far."""
        return max(0, self.early[subscription_id] - self.unbilled[subscription_id])


@dataclass(frozen=True, slots=True)
class Purse:
    """A wallet that usage of a subscription may be reserved in."""

    wallet: Wallet
    early_minor: int  # Paid early for the subscription.
    spendable_minor: int  # May be below zero: then nothing.
    tops_up: bool  # An active rule fills it when it runs low.


def reserve(purses: Sequence[Purse], lines: Sequence[UnbilledLine]) -> Mapping[UUID, int]:
    """Return what each wallet is to pay of a period's unbilled usage.

    As an invoice would take it: what was paid early first, largest line first, wallets by priority,
    then age; then what can be spent, as `allocate` puts it on wallets.

    150 of wallets with 100 and 20: 100 and 50.
    """
    early = {purse.wallet.wallet_id: purse.early_minor for purse in purses}
    reserved: Counter[UUID] = Counter()
    rest: list[Demand] = []
    for line in sorted(lines, key=lambda line: (-line.gross_minor, line.fee_kind, line.meter_code)):
        pool, left = (line.fee_kind, line.meter_code, ""), line.gross_minor
        for purse in sorted(purses, key=lambda purse: purse.wallet.draw_key):
            if purse.wallet.accepts(*pool):
                taken = min(left, early[purse.wallet.wallet_id])
                early[purse.wallet.wallet_id] -= taken
                reserved[purse.wallet.wallet_id] += taken
                left -= taken
        rest.append(Demand(pool, left))
    takers = [Taker(purse.wallet, purse.spendable_minor, purse.tops_up) for purse in purses]
    reserved.update(allocate(takers, rest))
    return {wallet_id: amount for wallet_id, amount in reserved.items() if amount}
