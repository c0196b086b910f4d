"""Metering sessions: usage that draws on a hold while it happens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from libs.errors import FieldInvalid, Refused
from libs.money import Money, exact_sum, round_minor
from services.wallet.domain import hold as holding
from services.wallet.domain.hold import TTL_MAX, Hold, HoldStatus, Lot
from services.wallet.domain.ledger import Book

GRACE_DEFAULT, GRACE_MIN, GRACE_MAX = timedelta(minutes=1), timedelta(seconds=1), timedelta(hours=1)
HOLD_TTL = TTL_MAX  # Longer than any grace: a session ends its hold, not the hold the session.


class SessionClosed(Refused):
    """The session has ended."""

    reason = "SESSION_CLOSED"


@dataclass(frozen=True, slots=True)
class Session:
    """Usage of a subscription, in totals since it was opened, and what it costs so far.

    `added` is what the last message, of `sequence`, added at `reported_at`: that is its event.
    """

    session_id: UUID
    hold_id: str
    wallet_id: UUID
    subscription_id: str
    customer_id: str
    event_type: str
    properties: Mapping[str, str]
    currency: str
    estimate_minor: int
    low_minor: int
    grace: timedelta
    digest: bytes
    reported_at: datetime
    deadline_at: datetime
    sequence: int = 0
    quantities: Mapping[str, Decimal] = field(default_factory=dict)
    added: Mapping[str, Decimal] = field(default_factory=dict)
    cost: Decimal = Decimal(0)
    covered_minor: int = 0  # Of the cost, by what the hold has.
    closed: bool = False

    @property
    def used_minor(self) -> int:
        """The cost, rounded once."""
        return max(0, round_minor(self.cost, self.currency))


@dataclass(frozen=True, slots=True)
class Report:
    """A message of usage: `quantities` are totals, `added` is new, and `cost` what that costs."""

    sequence: int
    quantities: Mapping[str, Decimal]
    added: Mapping[str, Decimal]
    cost: Decimal
    at: datetime


def added_by(session: Session, quantities: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return what totals add to those of the session before; what did not grow is left out.

    Raises:
        FieldInvalid: one of them fell.
    """
    added: dict[str, Decimal] = {}
    for name, total in quantities.items():
        before = session.quantities.get(name, Decimal(0))
        if total < before:
            problem = f"is {total}, and was {before} before: it is a total"
            raise FieldInvalid(f"usage.quantities[{name}]", problem)
        if total > before:
            added[name] = exact_sum([total, -before])
    return added


def report(
    book: Book, session: Session, hold: Hold, told: Report, now: datetime
) -> tuple[Session, Hold]:
    """Take usage; the hold is extended to the cost and one estimate, or as far as the wallet goes.

    Raises:
        SessionClosed: it has ended.
    """
    check_session_open(session)
    session = replace(
        session,
        sequence=told.sequence,
        quantities={**session.quantities, **told.quantities},
        added=told.added,
        cost=exact_sum([session.cost, told.cost]),
        reported_at=told.at,
        deadline_at=now + session.grace,
    )
    if hold.status is HoldStatus.OPEN:
        wanted = session.used_minor + session.estimate_minor - hold.left_minor
        more = min(wanted, max(0, _left_in(book, now)))
        if more > 0:
            money = Money(session.currency, more)
            hold = holding.extend(book, hold, now, more=money, until=now + HOLD_TTL)
    return _covered(book, session, min(session.used_minor, hold.left_minor)), hold


def remaining_minor(book: Book, session: Session, hold: Hold, now: datetime) -> int:
    """Return what is left for a session, in its hold and in its wallet."""
    return hold.left_minor - session.used_minor + max(0, _left_in(book, now))


def close(
    book: Book, session: Session, hold: Hold, now: datetime
) -> tuple[Session, Hold, tuple[Lot, ...]]:
    """End a session: what was used is captured, as far as the hold goes, and the rest released.

    A hold that was resolved by itself stays as it is.

    Raises:
        SessionClosed: it has ended before.
    """
    check_session_open(session)
    session = replace(_covered(book, session, 0), closed=True)
    if hold.status is not HoldStatus.OPEN:
        return session, hold, ()
    amount = Money(session.currency, min(session.used_minor, hold.left_minor))
    hold, lots = holding.capture(book, hold, amount, now, final=True)
    return session, hold, lots


def check_session_open(session: Session) -> None:
    """Refuse what comes after the end of a session."""
    if session.closed:
        raise SessionClosed(f"session {session.session_id} has ended")


def _left_in(book: Book, now: datetime) -> int:
    balance = book.balance(now)
    return min(balance.available_minor, balance.spendable_minor + book.wallet.soft_minor)


def _covered(book: Book, session: Session, covered_minor: int) -> Session:
    """Note what of the cost the hold covers: it is not to be reserved once more."""
    book.reserved.early[session.subscription_id] += covered_minor - session.covered_minor
    return replace(session, covered_minor=covered_minor)
