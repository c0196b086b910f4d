"""Grants: credit put into a wallet, in force from an instant until it lapses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from uuid import UUID

from libs.errors import FieldInvalid
from libs.money import Money
from libs.period import Period
from services.wallet.domain.wallet import Credits, Wallet, money_of

NEVER = datetime.max.replace(tzinfo=UTC)  # Sorts grants without an expiry behind all others.
UNNUMBERED = 2**63  # Sorts grants that are not stored yet behind those that are.
MINOR_MAX = 10**15  # Of a grant: far beyond any use, and far from what 64 bits hold.


class GrantKind(StrEnum):
    """How credit came about. Their alphabetical order is that in which they burn."""

    GRANTED = "granted"
    PURCHASED = "purchased"


@dataclass(frozen=True, slots=True)
class Grant:
    """Credit of `amount_minor`, and where what is left of it stands; `number` grows with age."""

    grant_id: UUID
    wallet_id: UUID
    kind: GrantKind
    amount_minor: int
    priority: int  # 1 burns first.
    effective_at: datetime
    expires_at: datetime | None
    reference: str
    created_at: datetime
    available_minor: int = 0
    held_minor: int = 0
    captured_minor: int = 0
    number: int = 0  # 0 until stored.

    @property
    def remaining_minor(self) -> int:
        return self.available_minor + self.held_minor + self.captured_minor

    @property
    def burn_key(self) -> tuple[int, datetime, GrantKind, int]:
        """Sorts grants: priority, earlier expiry, granted before purchased, age."""
        age = self.number or UNNUMBERED
        return (self.priority, self.expires_at or NEVER, self.kind, age)

    def in_force(self, instant: datetime) -> bool:
        """Tell whether it can be held or spent at `instant`."""
        return self.effective_at <= instant and not self.lapsed(instant)

    def lapsed(self, instant: datetime) -> bool:
        """Tell whether its expiry has come: the instant itself is the first without it."""
        return self.expires_at is not None and self.expires_at <= instant

    def in_force_during(self, period: Period) -> bool:
        """Tell whether it was in force at any instant of `period`; an empty one is its start."""
        starts_in_time = self.effective_at < period.end or self.effective_at <= period.start
        return starts_in_time and not self.lapsed(period.start)


@dataclass(frozen=True, slots=True)
class GrantOrder:
    """A grant as it is asked for; without `effective_at` it is in force at once."""

    wallet_id: UUID
    kind: GrantKind
    amount: Money | Credits
    priority: int
    effective_at: datetime | None
    expires_at: datetime | None
    reference: str

    def opened(self, grant_id: UUID, wallet: Wallet, now: datetime) -> Grant:
        """Return the grant, still empty: posting it fills it. It lapses no later than its wallet.

        Raises:
            CurrencyMismatch: in another currency than the wallet's.
            FieldInvalid: it would lapse before it is in force, or has lapsed by now; credits that
                are worth nothing, or too much.
        """
        asked = money_of(wallet, self.amount, "grant.credits")
        if asked.amount_minor > MINOR_MAX:
            raise FieldInvalid("grant.credits", f"are worth more than {MINOR_MAX} minor units")
        effective_at = self.effective_at or now
        expires_at = earlier(self.expires_at, wallet.expires_at)
        if expires_at is not None and expires_at <= max(effective_at, now):
            latest = max(effective_at, now).isoformat()
            raise FieldInvalid(
                "grant.expires_at", f"{expires_at.isoformat()} is not after {latest}"
            )
        return Grant(
            grant_id=grant_id,
            wallet_id=self.wallet_id,
            kind=self.kind,
            amount_minor=asked.amount_minor,
            priority=self.priority,
            effective_at=effective_at,
            expires_at=expires_at,
            reference=self.reference,
            created_at=now,
        )


def earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    """Return the earlier of two expiries; None is never."""
    return min((at for at in (one, other) if at is not None), default=None)
