"""Orders that change what a wallet is, and those that take its credit away or move it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid4

from google.protobuf.message import Message

from libs.money import Money
from libs.wire import money_message
from services.wallet.domain import voiding
from services.wallet.domain.ledger import Book, Use
from services.wallet.domain.transfer import transfer
from services.wallet.domain.wallet import Changes, Credits, money_of
from services.wallet.operations.messages import balance_message, grant_message, wallet_message
from services.wallet.operations.orders import Opened
from tally.common.v1.money_pb2 import Money as MoneyMessage
from tally.wallet.v1 import events_pb2
from tally.wallet.v1.wallet_changes_pb2 import GrantPart
from tally.wallet.v1.wallet_service_pb2 import (
    TerminateWalletResponse,
    TransferCreditsResponse,
    UpdateWalletResponse,
    VoidCreditsResponse,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateWallet:
    """Make a wallet's changing properties what they shall be."""

    wallet_id: UUID
    changes: Changes
    hold_id: None = None

    @property
    def wallet_ids(self) -> tuple[UUID, ...]:
        return (self.wallet_id,)

    def carry_out(self, opened: Opened) -> tuple[UpdateWalletResponse, Message]:
        """Change it.

        Raises:
            WalletNotFound, WalletTerminated, CurrencyMismatch.
        """
        book = opened.book(self.wallet_id)
        book.wallet = self.changes.of(book.wallet)
        opened.rewritten.add(self.wallet_id)
        answer = UpdateWalletResponse(wallet=wallet_message(book.wallet))
        return answer, events_pb2.WalletUpdated(wallet=answer.wallet)

    def repeated(self, stored: bytes) -> UpdateWalletResponse:
        return UpdateWalletResponse.FromString(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class TerminateWallet:
    """End a wallet; `voids` says what becomes of what is available: it is void, or refuses."""

    wallet_id: UUID
    voids: bool
    hold_id: None = None

    @property
    def wallet_ids(self) -> tuple[UUID, ...]:
        return (self.wallet_id,)

    def carry_out(self, opened: Opened) -> tuple[TerminateWalletResponse, Message]:
        """End it.

        Raises:
            WalletNotFound, WalletTerminated.
            WalletNotEmpty: something is held or captured, or available and shall not be void.
        """
        book = opened.book(self.wallet_id)
        uses = voiding.terminate(book, opened.now, voids=self.voids)
        opened.rewritten.add(self.wallet_id)
        answer = TerminateWalletResponse(
            wallet=wallet_message(book.wallet), voided=total_message(book, uses)
        )
        fact = events_pb2.WalletTerminated(wallet=answer.wallet, voided=answer.voided)
        return answer, fact

    def repeated(self, stored: bytes) -> TerminateWalletResponse:
        return TerminateWalletResponse.FromString(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidCredits:
    """Take credit out of a wallet for nothing in return, of one grant or in burn order."""

    wallet_id: UUID
    amount: Money | Credits
    grant_id: UUID | None
    hold_id: None = None

    @property
    def wallet_ids(self) -> tuple[UUID, ...]:
        return (self.wallet_id,)

    def carry_out(self, opened: Opened) -> tuple[VoidCreditsResponse, Message]:
        """Take it out.

        Raises:
            WalletNotFound, WalletTerminated, GrantNotFound, CurrencyMismatch, InsufficientBalance.
            FieldInvalid: credits that are worth nothing.
        """
        book, void_id = opened.book(self.wallet_id), str(uuid4())
        asked = money_of(book.wallet, self.amount, "credits")
        uses = voiding.void(
            book, asked.amount_minor, opened.now, reference=void_id, grant_id=self.grant_id
        )
        answer = VoidCreditsResponse(
            void_id=void_id,
            parts=part_messages(uses),
            total=total_message(book, uses),
            balance=balance_message(book.balance(opened.now)),
        )
        fact = events_pb2.CreditsVoided(
            customer_id=book.wallet.customer_id,
            wallet_id=str(self.wallet_id),
            void_id=void_id,
            parts=answer.parts,
            amount=answer.total,
        )
        return answer, fact

    def repeated(self, stored: bytes) -> VoidCreditsResponse:
        return VoidCreditsResponse.FromString(stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCredits:
    """Move credit from one wallet of a customer to another one."""

    source_wallet_id: UUID
    target_wallet_id: UUID
    amount: Money | Credits  # Credits are those of the source.
    hold_id: None = None

    @property
    def wallet_ids(self) -> tuple[UUID, ...]:
        return (self.source_wallet_id, self.target_wallet_id)

    def carry_out(self, opened: Opened) -> tuple[TransferCreditsResponse, Message]:
        """Move it.

        Raises:
            WalletNotFound, WalletTerminated, CurrencyMismatch, InsufficientBalance.
            FieldInvalid: the wallets do not go together, or credits that are worth nothing.
        """
        source = opened.book(self.source_wallet_id)
        target = opened.book(self.target_wallet_id)
        asked, transfer_id = money_of(source.wallet, self.amount, "credits"), str(uuid4())
        arrived = transfer(
            source,
            target,
            asked.amount_minor,
            opened.now,
            reference=transfer_id,
            new_id=uuid4,
        )
        answer = TransferCreditsResponse(
            transfer_id=transfer_id,
            grants=[grant_message(grant, target.wallet) for grant in arrived],
            source_balance=balance_message(source.balance(opened.now)),
            target_balance=balance_message(target.balance(opened.now)),
        )
        fact = events_pb2.CreditsTransferred(
            customer_id=source.wallet.customer_id,
            transfer_id=transfer_id,
            source_wallet_id=str(self.source_wallet_id),
            target_wallet_id=str(self.target_wallet_id),
            amount=money_message(asked),
        )
        return answer, fact

    def repeated(self, stored: bytes) -> TransferCreditsResponse:
        return TransferCreditsResponse.FromString(stored)


def part_messages(uses: tuple[Use, ...]) -> list[GrantPart]:
    """Write the parts of grants."""
    return [GrantPart(grant_id=str(use.grant_id), amount_minor=use.amount_minor) for use in uses]


def total_message(book: Book, uses: tuple[Use, ...]) -> MoneyMessage:
    """Write what parts of grants come to."""
    return money_message(Money(book.wallet.currency, sum(use.amount_minor for use in uses)))
