"""The double-entry ledger: money only moves, and every movement names its grants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from libs.money import Money
from services.wallet.domain.grant import Grant, GrantKind
from services.wallet.domain.reservation import Reserved
from services.wallet.domain.wallet import Balance, Wallet


class Account(StrEnum):
    """Where money stands: the first three in a wallet, the others with the tenant."""

    AVAILABLE = "available"
    HELD = "held"
    CAPTURED = "captured"  # Paid early, owed to the customer until an invoice takes it.
    PURCHASED = "purchased"  # Where bought credit comes from: its sum is never above zero.
    GRANTED = "granted"  # Where given credit comes from: its sum is never above zero.
    REVENUE = "revenue"
    EXPIRED = "expired"
    VOIDED = "voided"
    TRANSFERRED = "transferred"  # On its way to another wallet: its sum is always zero.


WALLET_ACCOUNTS = (Account.AVAILABLE, Account.HELD, Account.CAPTURED)


class Reason(StrEnum):
    """Why money moved."""

    GRANT = "GRANT"
    HOLD = "HOLD"
    CAPTURE = "CAPTURE"
    RELEASE = "RELEASE"
    HOLD_EXPIRY = "HOLD_EXPIRY"
    GRANT_EXPIRY = "GRANT_EXPIRY"
    APPLY = "APPLY"
    RETURN = "RETURN"  # Captured money that the closed period did not need.
    REVERSAL = "REVERSAL"  # What an invoice had taken, given back.
    VOID = "VOID"
    TRANSFER = "TRANSFER"


@dataclass(frozen=True, slots=True)
class Use:
    """The part of a movement that is one grant's; `line_id` is the invoice line it pays."""

    grant_id: UUID
    amount_minor: int  # Above zero.
    line_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Movement:
    """Money of some grants that goes from one account to another."""

    source: Account
    target: Account
    uses: tuple[Use, ...]

    @property
    def amount_minor(self) -> int:
        return sum(use.amount_minor for use in self.uses)


@dataclass(frozen=True, slots=True)
class Posting:
    """A ledger transaction on one wallet: `reference` is the grant, hold or invoice behind it."""

    reason: Reason
    reference: str
    at: datetime
    movements: tuple[Movement, ...]

    def entries(self) -> dict[Account, int]:
        """Return what each account gains (negative: loses), in minor units; the sum is zero.

        5 moved from available to revenue: {available: -5, revenue: 5}.
        """
        gains: Counter[Account] = Counter()
        for movement in self.movements:
            gains[movement.source] -= movement.amount_minor
            gains[movement.target] += movement.amount_minor
        assert sum(gains.values()) == 0
        return {account: gain for account, gain in gains.items() if gain}


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored side of a transaction, on an account of a wallet; `number` grows with age."""

    number: int
    transaction_id: UUID
    account: Account
    amount: Money
    reason: str
    reference: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class GrantUse:
    """A stored part that a grant has in a transaction.

    The transaction's `number` grows with age within a wallet; `place` counts in the transaction.
    """

    number: int
    transaction_id: UUID
    place: int
    grant_id: UUID
    wallet_id: UUID
    kind: GrantKind
    reason: str
    reference: str
    line_id: UUID | None
    source: Account
    target: Account
    amount: Money
    created_at: datetime

    @property
    def key(self) -> tuple[int, int]:
        """Sorts the oldest first."""
        return (self.number, self.place)


@dataclass(slots=True)
class Book:
    """A locked wallet with every grant that has something left, and what was posted since.

    Only `post` changes it, so the grants' states and the postings cannot disagree.
    """

    wallet: Wallet
    grants: dict[UUID, Grant]
    postings: list[Posting] = field(default_factory=list)
    due_at: datetime | None = None  # When its next hold or grant lapses; None: none will.
    reserved: Reserved = field(default_factory=Reserved)
    reserved_before_minor: int = 0  # When the book was opened.
    rescheduled: bool = False  # The deadline of one of its holds was moved.
    watched_minor: int | None = None  # At which ongoing balance rules top it up; None: at none.

    def post(self, reason: Reason, reference: str, at: datetime, *movements: Movement) -> None:
        """Move money at `at`; movements of nothing are left out, and with them the posting."""
        moving = tuple(movement for movement in movements if movement.amount_minor)
        for movement in moving:
            for use in movement.uses:
                self._move(use, movement)
        if moving:
            self.postings.append(Posting(reason, reference, at, moving))

    def in_burn_order(self) -> list[Grant]:
        """Return the grants in the order in which they burn."""
        return sorted(self.grants.values(), key=lambda grant: grant.burn_key)

    def in_force(self, now: datetime) -> list[Grant]:
        """Return the grants that can be held or spent at `now`, in the order in which they burn."""
        return [grant for grant in self.in_burn_order() if grant.in_force(now)]

    def balance(self, now: datetime) -> Balance:
        """Return where the money stands at `now`; grants not in force yet do not count."""
        grants = self.grants.values()
        return Balance(
            currency=self.wallet.currency,
            available_minor=sum(g.available_minor for g in grants if g.effective_at <= now),
            held_minor=sum(grant.held_minor for grant in grants),
            captured_minor=sum(grant.captured_minor for grant in grants),
            reserved_minor=self.reserved.amount_minor,
            rate=self.wallet.rate,
        )

    def ongoing_minor(self, now: datetime) -> int:
        """Return what is neither spent nor reserved at `now`; what is held may come back."""
        balance = self.balance(now)
        return balance.spendable_minor + balance.held_minor

    def is_low(self, now: datetime) -> bool:
        """Tell whether no more than is watched for is left."""
        return self.watched_minor is not None and self.ongoing_minor(now) <= self.watched_minor

    def changes(self) -> dict[Account, int]:
        """Return what the postings add to each account."""
        gains: Counter[Account] = Counter()
        for posting in self.postings:
            gains.update(posting.entries())
        return dict(gains)

    def moved_grants(self) -> set[UUID]:
        """Return the grants that the postings touch."""
        return {use.grant_id for use in uses_of(self.postings)}

    def _move(self, use: Use, movement: Movement) -> None:
        assert use.amount_minor > 0
        grant = self.grants[use.grant_id]
        if movement.source in WALLET_ACCOUNTS:
            grant = _added(grant, movement.source, -use.amount_minor)
        if movement.target in WALLET_ACCOUNTS:
            grant = _added(grant, movement.target, use.amount_minor)
        self.grants[use.grant_id] = grant


def uses_of(postings: Iterable[Posting]) -> list[Use]:
    """Return every grant's part in `postings`, in order."""
    return [use for posting in postings for move in posting.movements for use in move.uses]


def _added(grant: Grant, account: Account, amount_minor: int) -> Grant:
    match account:
        case Account.AVAILABLE:
            grant = replace(grant, available_minor=grant.available_minor + amount_minor)
        case Account.HELD:
            grant = replace(grant, held_minor=grant.held_minor + amount_minor)
        case Account.CAPTURED:
            grant = replace(grant, captured_minor=grant.captured_minor + amount_minor)
    assert min(grant.available_minor, grant.held_minor, grant.captured_minor) >= 0
    assert grant.remaining_minor <= grant.amount_minor
    return grant
