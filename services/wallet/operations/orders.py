"""What may be asked of a wallet. An order is decided in memory, on wallets that are locked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar
from uuid import UUID, uuid4

from google.protobuf.message import Message

from libs.money import Money
from libs.wire import money_message
from services.wallet.domain import burn_down, expiry
from services.wallet.domain import hold as holding
from services.wallet.domain.grant import GrantOrder
from services.wallet.domain.hold import (
    STANDALONE,
    SUBSCRIPTION,
    Hold,
    HoldNotFound,
    HoldStatus,
    Lot,
)
from services.wallet.domain.ledger import Book
from services.wallet.domain.session import Session
from services.wallet.domain.wallet import WalletNotFound, check_live
from services.wallet.operations.messages import balance_message, grant_message, hold_message
from tally.wallet.v1 import events_pb2
from tally.wallet.v1.hold_service_pb2 import (
    AuthorizeResponse,
    CaptureResponse,
    ExtendHoldResponse,
    ReleaseResponse,
)
from tally.wallet.v1.wallet_service_pb2 import GrantCreditsResponse

Answer = TypeVar("Answer", bound=Message, covariant=True)
AnyMessage = Message


@dataclass(slots=True)
class Opened:
    """Locked wallets, some of their holds, and what was done to them since; nothing is written."""

    now: datetime
    books: Mapping[UUID, Book]
    holds: dict[str, Hold]
    placed: list[Hold] = field(default_factory=list)
    changed: dict[str, Hold] = field(default_factory=dict)  # The holds among `holds` that did.
    lots: list[Lot] = field(default_factory=list)
    sessions: dict[str, Session] = field(default_factory=dict)  # Of those of the holds, by them.
    opened: list[Session] = field(default_factory=list)
    metered: dict[str, Session] = field(default_factory=dict)  # Those among `sessions` that did.
    rewritten: set[UUID] = field(default_factory=set)  # Wallets of which more than balances did.

    def book(self, wallet_id: UUID) -> Book:
        """Return a wallet that was not ended.

        Raises:
            WalletNotFound: the tenant has no such wallet.
            WalletTerminated: it was ended.
        """
        found = self.books.get(wallet_id)
        if found is None:
            raise WalletNotFound(f"there is no wallet {wallet_id}")
        check_live(found.wallet)
        return found

    def hold(self, hold_id: str) -> tuple[Hold, Book]:
        """Return a hold as it is by now, and its wallet.

        Raises:
            HoldNotFound: the tenant has no such hold.
        """
        found = self.holds.get(hold_id)
        if found is None:
            raise HoldNotFound(f"there is no hold {hold_id}")
        return found, self.books[found.wallet_id]

    def change(self, hold: Hold) -> None:
        """Take note of what became of a hold; what is freed of grants that lapsed lapses too."""
        self.holds[hold.hold_id] = self.changed[hold.hold_id] = hold
        expiry.lapse_freed(self.books[hold.wallet_id], self.now)


class Order(Protocol[Answer]):
    """A command on a wallet or two, which are named by their own ids or by a hold's."""

    @property
    def wallet_ids(self) -> tuple[UUID, ...]: ...

    @property
    def hold_id(self) -> str | None: ...

    def carry_out(self, opened: Opened) -> tuple[Answer, AnyMessage | None]:
        """Do it, and return the answer and what to announce, if any; a refusal changes nothing."""

    def repeated(self, stored: bytes) -> Answer:
        """Read the answer that it got before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantCredits:
    """Put credit into a wallet."""

    order: GrantOrder
    hold_id: None = None

    @property
    def wallet_ids(self) -> tuple[UUID, ...]:
        return (self.order.wallet_id,)

    def carry_out(self, opened: Opened) -> tuple[GrantCreditsResponse, Message]:
        """Put it in.

        Raises:
            WalletNotFound, WalletTerminated, CurrencyMismatch.
            FieldInvalid: it has lapsed already, or is more than a wallet can count.
        """
        book = opened.book(self.order.wallet_id)
        grant = self.order.opened(uuid4(), book.wallet, opened.now)
        burn_down.put_in(book, grant, opened.now)
        answer = GrantCreditsResponse(
            grant=grant_message(book.grants[grant.grant_id], book.wallet),
            balance=balance_message(book.balance(opened.now)),
        )
        customer_id = book.wallet.customer_id
        return answer, events_pb2.CreditsGranted(customer_id=customer_id, grant=answer.grant)

    def repeated(self, stored: bytes) -> GrantCreditsResponse:
        return GrantCreditsResponse.FromString(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorize:
    """Reserve `amount` of a wallet, for a subscription or for a sale of its own."""

    wallet_id: UUID
    amount: Money
    ttl: timedelta
    subscription_id: str | None
    hold_id: None = None

    @property
    def wallet_ids(self) -> tuple[UUID, ...]:
        return (self.wallet_id,)

    def carry_out(self, opened: Opened) -> tuple[AuthorizeResponse, Message]:
        """Place the hold.

        Raises:
            WalletNotFound, WalletTerminated, CurrencyMismatch, InsufficientBalance.
        """
        book = opened.book(self.wallet_id)
        prefix = STANDALONE if self.subscription_id is None else SUBSCRIPTION
        asked = Hold(
            hold_id=f"{prefix}{uuid4()}",
            wallet_id=self.wallet_id,
            subscription_id=self.subscription_id,
            amount=self.amount,
            captured_minor=0,
            status=HoldStatus.OPEN,
            expires_at=opened.now + self.ttl,
            created_at=opened.now,
            parts=(),
        )
        hold = holding.place(book, asked)
        opened.placed.append(hold)
        balance = balance_message(book.balance(opened.now))
        answer = AuthorizeResponse(hold=hold_message(hold), balance=balance)
        return answer, events_pb2.HoldPlaced(hold=answer.hold)

    def repeated(self, stored: bytes) -> AuthorizeResponse:
        return AuthorizeResponse.FromString(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendHold:
    """Reserve more for a hold, or for longer."""

    hold_id: str
    more: Money | None
    ttl: timedelta | None
    wallet_ids: tuple[UUID, ...] = ()

    def carry_out(self, opened: Opened) -> tuple[ExtendHoldResponse, Message]:
        """Extend it.

        Raises:
            HoldNotFound, CurrencyMismatch, InsufficientBalance.
            AlreadyCaptured, AlreadyReleased, HoldExpired: the hold is resolved.
        """
        hold, book = opened.hold(self.hold_id)
        until = None if self.ttl is None else opened.now + self.ttl
        hold = holding.extend(book, hold, opened.now, more=self.more, until=until)
        opened.change(hold)
        balance = balance_message(book.balance(opened.now))
        answer = ExtendHoldResponse(hold=hold_message(hold), balance=balance)
        return answer, events_pb2.HoldExtended(hold=answer.hold)

    def repeated(self, stored: bytes) -> ExtendHoldResponse:
        return ExtendHoldResponse.FromString(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Take `amount` of a hold."""

    hold_id: str
    amount: Money
    final: bool
    wallet_ids: tuple[UUID, ...] = ()

    def carry_out(self, opened: Opened) -> tuple[CaptureResponse, Message]:
        """Capture it.

        Raises:
            HoldNotFound, CurrencyMismatch, CaptureAboveHold.
            AlreadyCaptured, AlreadyReleased, HoldExpired: the hold is resolved.
        """
        hold, book = opened.hold(self.hold_id)
        hold, lots = holding.capture(book, hold, self.amount, opened.now, final=self.final)
        opened.change(hold)
        opened.lots.extend(lots)
        balance = balance_message(book.balance(opened.now))
        answer = CaptureResponse(hold=hold_message(hold), balance=balance)
        amount = money_message(self.amount)
        return answer, events_pb2.HoldCaptured(hold=answer.hold, amount=amount)

    def repeated(self, stored: bytes) -> CaptureResponse:
        return CaptureResponse.FromString(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Give back what is left of a hold."""

    hold_id: str
    wallet_ids: tuple[UUID, ...] = ()

    def carry_out(self, opened: Opened) -> tuple[ReleaseResponse, Message]:
        """Release it.

        Raises:
            HoldNotFound.
            AlreadyCaptured, AlreadyReleased, HoldExpired: the hold is resolved.
        """
        hold, book = opened.hold(self.hold_id)
        hold = holding.release(book, hold, opened.now)
        opened.change(hold)
        balance = balance_message(book.balance(opened.now))
        answer = ReleaseResponse(hold=hold_message(hold), balance=balance)
        return answer, events_pb2.HoldReleased(hold=answer.hold)

    def repeated(self, stored: bytes) -> ReleaseResponse:
        return ReleaseResponse.FromString(stored)
