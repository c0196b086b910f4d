"""Holds: part of a wallet reserved from certain grants, until it is resolved, once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import assert_never
from uuid import UUID

from libs.errors import NotFound, Refused
from libs.money import Money
from services.wallet.domain.burn_down import draw_all
from services.wallet.domain.ledger import Account, Book, Movement, Reason, Use
from services.wallet.domain.wallet import check_currency

TTL_DEFAULT = timedelta(minutes=15)
TTL_MIN, TTL_MAX = timedelta(seconds=1), timedelta(days=30)
STANDALONE, SUBSCRIPTION = "std_", "sub_"  # What a hold's id begins with.


class HoldNotFound(NotFound):
    """The tenant has no such hold."""

    reason = "HOLD_NOT_FOUND"


class CaptureAboveHold(Refused):
    """More than is left of the hold."""

    reason = "CAPTURE_ABOVE_HOLD"


class AlreadyCaptured(Refused):
    """The hold was captured for good."""

    reason = "ALREADY_CAPTURED"


class AlreadyReleased(Refused):
    """The hold was released."""

    reason = "ALREADY_RELEASED"


class HoldExpired(Refused):
    """The hold's deadline has passed."""

    reason = "HOLD_EXPIRED"


class HoldStatus(StrEnum):
    """Where a hold stands. Only an open one has money."""

    OPEN = "open"
    CAPTURED = "captured"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Hold:
    """`amount` of a wallet reserved until `expires_at`; `parts` are what its grants still hold."""

    hold_id: str
    wallet_id: UUID
    subscription_id: str | None  # None: a sale of its own.
    amount: Money
    captured_minor: int
    status: HoldStatus
    expires_at: datetime
    created_at: datetime
    parts: tuple[Use, ...]  # In burn order; grants that gave everything are left out.

    @property
    def left_minor(self) -> int:
        return sum(part.amount_minor for part in self.parts)


@dataclass(frozen=True, slots=True)
class Lot:
    """Captured money of one grant that waits for an invoice of the subscription."""

    wallet_id: UUID
    subscription_id: str
    hold_id: str
    grant_id: UUID
    captured_at: datetime
    left_minor: int


def place(book: Book, hold: Hold) -> Hold:
    """Reserve `hold.amount` from the grants in force when it is created; return it with parts.

    Raises:
        CurrencyMismatch: in another currency than the wallet's.
        InsufficientBalance: more than is available.
    """
    check_currency(book.wallet, hold.amount)
    now, asked = hold.created_at, hold.amount.amount_minor
    return replace(hold, parts=_held(book, hold.hold_id, asked, now))


def extend(
    book: Book, hold: Hold, now: datetime, *, more: Money | None, until: datetime | None
) -> Hold:
    """Reserve `more` for an open hold, and let it stand at least `until`.

    Raises:
        CurrencyMismatch: in another currency than the wallet's.
        AlreadyCaptured, AlreadyReleased, HoldExpired: the hold is resolved.
        InsufficientBalance: more than can be held; its deadline does not move either.
    """
    check_open(hold)
    if more is not None:
        check_currency(book.wallet, more)
        uses = _held(book, hold.hold_id, more.amount_minor, now)
        amount = Money(more.currency, hold.amount.amount_minor + more.amount_minor)
        hold = replace(hold, amount=amount, parts=(*hold.parts, *uses))
    if until is not None and until > hold.expires_at:
        hold = replace(hold, expires_at=until)
        book.rescheduled = True
    return hold


def capture(
    book: Book, hold: Hold, amount: Money, now: datetime, *, final: bool
) -> tuple[Hold, tuple[Lot, ...]]:
    """Take `amount` of an open hold; return the hold after it and what awaits an invoice.

    A standalone hold's money is revenue at once. A final capture gives the rest back; one that
    takes all that is left is final whatever it says.

    Raises:
        CurrencyMismatch: in another currency than the wallet's.
        AlreadyCaptured, AlreadyReleased, HoldExpired: the hold is resolved.
        CaptureAboveHold: more than is left.
    """
    check_currency(book.wallet, amount)
    check_open(hold)
    asked = amount.amount_minor
    if asked > hold.left_minor:
        raise CaptureAboveHold(
            f"{hold.left_minor} minor units are left of the hold, {asked} were asked",
            metadata={"left_minor": str(hold.left_minor), "asked_minor": str(asked)},
        )
    taken, rest = split(hold.parts, asked)
    target = Account.REVENUE if hold.subscription_id is None else Account.CAPTURED
    book.post(Reason.CAPTURE, hold.hold_id, now, Movement(Account.HELD, target, taken))
    after = replace(hold, captured_minor=hold.captured_minor + asked, parts=rest)
    lots = lots_of(hold, taken, now)
    if hold.subscription_id is not None:
        book.reserved.early[hold.subscription_id] += asked
    if not final and rest:
        return after, lots
    return _resolved(book, after, HoldStatus.CAPTURED, Reason.RELEASE, now), lots


def release(book: Book, hold: Hold, now: datetime) -> Hold:
    """Give back what is left of an open hold.

    Raises:
        AlreadyCaptured, AlreadyReleased, HoldExpired: the hold is resolved.
    """
    check_open(hold)
    return _resolved(book, hold, HoldStatus.RELEASED, Reason.RELEASE, now)


def expire(book: Book, hold: Hold) -> Hold:
    """Give back what is left of an open hold at its deadline."""
    assert hold.status is HoldStatus.OPEN
    return _resolved(book, hold, HoldStatus.EXPIRED, Reason.HOLD_EXPIRY, hold.expires_at)


def check_open(hold: Hold) -> None:
    """Refuse to resolve a hold a second time, with the reason of the first."""
    match hold.status:
        case HoldStatus.OPEN:
            return
        case HoldStatus.CAPTURED:
            raise AlreadyCaptured(f"hold {hold.hold_id} was captured for good")
        case HoldStatus.RELEASED:
            raise AlreadyReleased(f"hold {hold.hold_id} was released")
        case HoldStatus.EXPIRED:
            raise HoldExpired(f"hold {hold.hold_id} expired at {hold.expires_at.isoformat()}")
    assert_never(hold.status)


def split(parts: tuple[Use, ...], amount_minor: int) -> tuple[tuple[Use, ...], tuple[Use, ...]]:
    """Divide `parts` into the first `amount_minor` of them and the rest."""
    taken: list[Use] = []
    rest: list[Use] = []
    wanted = amount_minor
    for part in parts:
        first = min(wanted, part.amount_minor)
        wanted -= first
        if first:
            taken.append(Use(part.grant_id, first))
        if part.amount_minor > first:
            rest.append(Use(part.grant_id, part.amount_minor - first))
    return tuple(taken), tuple(rest)


def lots_of(hold: Hold, taken: tuple[Use, ...], now: datetime) -> tuple[Lot, ...]:
    """Return what a capture leaves to be settled by an invoice: nothing of a standalone hold."""
    if hold.subscription_id is None:
        return ()
    return tuple(
        Lot(
            wallet_id=hold.wallet_id,
            subscription_id=hold.subscription_id,
            hold_id=hold.hold_id,
            grant_id=use.grant_id,
            captured_at=now,
            left_minor=use.amount_minor,
        )
        for use in taken
    )


def _held(book: Book, hold_id: str, asked: int, now: datetime) -> tuple[Use, ...]:
    """Move what is asked from grants in force to what is held, unless unbilled usage needs it."""
    at_most = book.balance(now).spendable_minor + book.wallet.soft_minor
    uses = draw_all(book, book.in_force(now), asked, at_most=at_most)
    book.post(Reason.HOLD, hold_id, now, Movement(Account.AVAILABLE, Account.HELD, uses))
    return uses


def _resolved(book: Book, hold: Hold, status: HoldStatus, reason: Reason, at: datetime) -> Hold:
    back = Movement(Account.HELD, Account.AVAILABLE, hold.parts)
    book.post(reason, hold.hold_id, at, back)
    return replace(hold, status=status, parts=())
