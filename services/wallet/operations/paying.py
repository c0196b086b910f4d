"""Paying invoices from wallets, each once."""

from __future__ import annotations

from datetime import datetime

from libs.money import Money
from libs.wire import money_message
from services.wallet.domain import apply_credits as applying
from services.wallet.domain.apply_credits import AppliedCredit, Invoice
from services.wallet.operations.desk import Desk
from services.wallet.operations.lapsing import lapse, save
from services.wallet.store import applications
from services.wallet.store import books as book_store
from services.wallet.store import holds as hold_store
from tally.wallet.v1 import wallet_service_pb2
from tally.wallet.v1.wallet_service_pb2 import ApplyCreditsResponse


async def apply_credits(
    desk: Desk, invoice: Invoice, content_hash: bytes, *, as_of: datetime | None = None
) -> ApplyCreditsResponse:
    """Pay what can be paid of `invoice`; a repeat gets the first answer again, for good.

    Whoever finalizes at `as_of` may have learnt of that instant before we do: what is paid must
    not depend on it, so our own time counts only if it is later.

    An invoice that nothing can be drawn for gets, and keeps, an empty answer.

    Raises:
        InvoiceContentChanged: it came before with another hash.
    """
    async with desk.begin() as conn:
        earlier = await applications.claim(
            conn, desk.tenant, invoice.invoice_id, content_hash, desk.now()
        )
        if earlier is not None:
            return ApplyCreditsResponse.FromString(earlier)
        books = await book_store.lock_books_of_customer(
            conn, desk.tenant, invoice.customer_id, invoice.currency
        )
        now = max(desk.now(), as_of or desk.now())
        await lapse(conn, desk.tenant, books, now)
        lots = await hold_store.find_lots(
            conn,
            desk.tenant,
            [book.wallet.wallet_id for book in books],
            sorted(invoice.subscription_ids),
        )
        application = applying.apply_credits(books, lots, invoice, now)
        await hold_store.save_lots(conn, desk.tenant, application.lots)
        await save(conn, desk.tenant, books)
        answer = answer_of(invoice, application.credits)
        await applications.save_answer(
            conn, desk.tenant, invoice.invoice_id, answer.SerializeToString()
        )
    return answer


def answer_of(invoice: Invoice, credits: tuple[AppliedCredit, ...]) -> ApplyCreditsResponse:
    """Write what was paid."""
    return ApplyCreditsResponse(
        credits=[credit_message(credit) for credit in credits],
        total=money_message(
            Money(invoice.currency, sum(credit.amount_minor for credit in credits))
        ),
    )


def credit_message(credit: AppliedCredit) -> wallet_service_pb2.AppliedCredit:
    """Write a part of a line that was paid."""
    return wallet_service_pb2.AppliedCredit(
        line_id=str(credit.line_id),
        wallet_id=str(credit.wallet_id),
        grant_id=str(credit.grant_id),
        amount_minor=credit.amount_minor,
        captured=credit.captured,
    )
