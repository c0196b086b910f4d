"""Top-ups: credit that is bought through an invoice, given, or both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from libs.errors import NotFound
from libs.money import Money
from services.wallet.domain.grant import GrantKind, GrantOrder
from services.wallet.domain.wallet import PRIORITY_DEFAULT


class TopUpStatus(StrEnum):
    """Where a top-up stands: pending, until its invoice is paid or will not be."""

    PENDING = "pending"
    SETTLED = "settled"
    FAILED = "failed"
    CANCELLED = "cancelled"


class TopUpNotFound(NotFound):
    """The tenant has no such top-up."""

    reason = "TOP_UP_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a top-up puts in, in minor units: one part is bought, the other given. Not both 0."""

    paid_minor: int
    granted_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TopUp:
    """A top-up of a wallet; the invoice of what is bought has the same id.

    One that a rule made names it, and the occasion: there is one top-up of each.
    """

    top_up_id: UUID
    wallet_id: UUID
    currency: str
    amounts: Amounts
    requires_payment: bool  # Otherwise the invoice is sent, and its credit is there at once.
    created_at: datetime
    rule_id: UUID | None = None
    occasion: str = ""
    status: TopUpStatus = TopUpStatus.PENDING
    closed_at: datetime | None = None  # When it got its status; None: it is pending.
    number: int = 0  # Grows with age; 0 until stored.

    def given(self) -> GrantOrder | None:
        """Return the credit that is there at once; None: nothing is given."""
        return self._order(GrantKind.GRANTED, self.amounts.granted_minor)

    def bought(self) -> GrantOrder | None:
        """Return the credit that is there when the invoice is paid; None: nothing is bought."""
        return self._order(GrantKind.PURCHASED, self.amounts.paid_minor)

    def _order(self, kind: GrantKind, amount_minor: int) -> GrantOrder | None:
        if not amount_minor:
            return None
        return GrantOrder(
            wallet_id=self.wallet_id,
            kind=kind,
            amount=Money(self.currency, amount_minor),
            priority=PRIORITY_DEFAULT,
            effective_at=None,
            expires_at=None,
            reference=str(self.top_up_id),
        )


def opened(top_up: TopUp) -> TopUp:
    """Return a new top-up as it begins: one that buys nothing is settled at once."""
    if top_up.amounts.paid_minor:
        return top_up
    return replace(top_up, status=TopUpStatus.SETTLED, closed_at=top_up.created_at)


def settle(top_up: TopUp, now: datetime) -> TopUp | None:
    """Return the top-up once its invoice is paid; None: its credit was put in before.

    Whoever paid gets the credit, though the top-up was given up: so the outcome does not depend
    on what is heard of first.
    """
    if top_up.status is TopUpStatus.SETTLED:
        return None
    return replace(top_up, status=TopUpStatus.SETTLED, closed_at=now)


def give_up(top_up: TopUp, status: TopUpStatus, now: datetime) -> TopUp | None:
    """Return the top-up once its invoice will not be paid; None: it is pending no more."""
    if top_up.status is not TopUpStatus.PENDING:
        return None
    return replace(top_up, status=status, closed_at=now)
