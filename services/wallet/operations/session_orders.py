"""What may be asked of a metering session. It is decided with the orders on its wallet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from google.protobuf.message import Message

from libs.errors import Unavailable
from libs.money import Money
from libs.wire import money_message
from services.wallet.domain import session as metering
from services.wallet.domain.hold import Hold, HoldNotFound
from services.wallet.domain.ledger import Book
from services.wallet.domain.session import HOLD_TTL, Report, Session
from services.wallet.operations.messages import hold_message
from services.wallet.operations.orders import Authorize, Opened
from tally.wallet.v1 import events_pb2
from tally.wallet.v1.hold_service_pb2 import MeterSessionResponse


class SessionMoved(Unavailable):
    """Usage came on another stream of the session meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """Hold one estimate, and begin to meter a subscription against it."""

    session_id: UUID
    wallet_id: UUID
    subscription_id: str
    event_type: str
    properties: dict[str, str]
    estimate: Money
    low_minor: int
    grace: timedelta
    digest: bytes
    hold_id: None = None

    @property
    def wallet_ids(self) -> tuple[UUID, ...]:
        return (self.wallet_id,)

    def carry_out(self, opened: Opened) -> tuple[MeterSessionResponse, Message | None]:
        """Open it.

        Raises:
            WalletNotFound, WalletTerminated, CurrencyMismatch, InsufficientBalance.
        """
        authorize = Authorize(
            wallet_id=self.wallet_id,
            amount=self.estimate,
            ttl=HOLD_TTL,
            subscription_id=self.subscription_id,
        )
        _, fact = authorize.carry_out(opened)
        hold, book = opened.placed[-1], opened.book(self.wallet_id)
        session = Session(
            session_id=self.session_id,
            hold_id=hold.hold_id,
            wallet_id=self.wallet_id,
            subscription_id=self.subscription_id,
            customer_id=book.wallet.customer_id,
            event_type=self.event_type,
            properties=self.properties,
            currency=self.estimate.currency,
            estimate_minor=self.estimate.amount_minor,
            low_minor=self.low_minor,
            grace=self.grace,
            digest=self.digest,
            reported_at=opened.now,
            deadline_at=opened.now + self.grace,
        )
        opened.opened.append(session)
        return standing(book, session, hold, opened.now), fact

    def repeated(self, stored: bytes) -> MeterSessionResponse:
        return MeterSessionResponse.FromString(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOrder:
    """A step of a session, which its hold names."""

    hold_id: str
    wallet_ids: tuple[UUID, ...] = ()

    def repeated(self, stored: bytes) -> MeterSessionResponse:
        return MeterSessionResponse.FromString(stored)

    def found(self, opened: Opened) -> tuple[Session, Hold, Book]:
        """Return the session as it is by now, its hold and its wallet."""
        hold, book = opened.hold(self.hold_id)
        session = opened.sessions.get(self.hold_id)
        if session is None:
            raise HoldNotFound(f"there is no session of hold {self.hold_id}")
        return session, hold, book

    def store(self, opened: Opened, session: Session, hold: Hold) -> None:
        """Take note of what became of it."""
        opened.sessions[self.hold_id] = opened.metered[self.hold_id] = session
        opened.change(hold)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportUsage(SessionOrder):
    """Take usage that came after that of the sequence `after`."""

    report: Report
    after: int

    def carry_out(self, opened: Opened) -> tuple[MeterSessionResponse, Message | None]:
        """Take it.

        Raises:
            SessionClosed: it has ended.
            SessionMoved: `after` is not the last one: what was added must be reckoned anew.
        """
        session, hold, book = self.found(opened)
        if session.sequence != self.after and not session.closed:
            raise SessionMoved
        before = hold.amount
        session, hold = metering.report(book, session, hold, self.report, opened.now)
        self.store(opened, session, hold)
        told = hold_message(hold)
        fact = events_pb2.HoldExtended(hold=told) if hold.amount != before else None
        return standing(book, session, hold, opened.now), fact


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseSession(SessionOrder):
    """End a session; if `lapsed`, only if nobody has been heard of since its deadline."""

    lapsed: bool = False

    def carry_out(self, opened: Opened) -> tuple[MeterSessionResponse, Message | None]:
        """End it; once it has ended, tell where it stands."""
        session, hold, book = self.found(opened)
        heard = self.lapsed and session.deadline_at > opened.now
        if session.closed or heard:
            return standing(book, session, hold, opened.now), None
        session, hold, lots = metering.close(book, session, hold, opened.now)
        self.store(opened, session, hold)
        opened.lots.extend(lots)
        amount = money_message(Money(session.currency, sum(lot.left_minor for lot in lots)))
        fact = events_pb2.HoldCaptured(hold=hold_message(hold), amount=amount)
        return standing(book, session, hold, opened.now), fact


def standing(book: Book, session: Session, hold: Hold, now: datetime) -> MeterSessionResponse:
    """Write where a session stands."""
    remaining = 0 if session.closed else metering.remaining_minor(book, session, hold, now)
    return MeterSessionResponse(
        session_id=str(session.session_id),
        hold=hold_message(hold),
        sequence=session.sequence,
        used=money_message(Money(session.currency, session.used_minor)),
        remaining=money_message(Money(session.currency, remaining)),
        low=remaining < session.low_minor,
        stop=remaining <= 0,
        closed=session.closed,
    )
