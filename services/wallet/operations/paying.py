"""Paying invoices from wallets, each once, and giving back what was paid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.money import Money
from libs.tenant import Tenant
from libs.wire import money_message
from services.wallet.domain import apply_credits as applying
from services.wallet.domain import return_credits as returning
from services.wallet.domain.apply_credits import AppliedCredit, Invoice
from services.wallet.domain.expiry import lapsed_uses
from services.wallet.domain.ledger import Book
from services.wallet.operations.desk import Desk
from services.wallet.operations.lapsing import lapse, save
from services.wallet.store import applications, grant_uses, reservations
from services.wallet.store import books as book_store
from services.wallet.store import holds as hold_store
from tally.wallet.v1 import wallet_service_pb2
from tally.wallet.v1.wallet_service_pb2 import ApplyCreditsResponse, ReturnCreditsResponse


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
        expired = await _expired_since(conn, desk.tenant, books, invoice)
        application = applying.apply_credits(books, lots, invoice, now, expired=expired)
        await hold_store.save_lots(conn, desk.tenant, application.lots)
        if books:
            await reservations.settle(conn, desk.tenant, invoice.settled_ids)
            wallet_ids = [book.wallet.wallet_id for book in books]
            left = await reservations.load_reserved(conn, desk.tenant, wallet_ids)
            for book in books:
                book.reserved = left[book.wallet.wallet_id]
        await save(conn, desk.tenant, books, now)
        answer = answer_of(invoice, application.credits)
        await applications.save_answer(
            conn, desk.tenant, invoice.invoice_id, answer.SerializeToString()
        )
    return answer


async def _expired_since(
    conn: AsyncConnection, tenant: Tenant, books: Sequence[Book], invoice: Invoice
) -> dict[UUID, int]:
    """Return what lapsed of grants since the time of the lines began, and read those grants."""
    live = [book for book in books if book.wallet.terminated_at is None]
    if not live or not invoice.lines:
        return {}
    since = min(line.period.start for line in invoice.lines)
    wallet_ids = [book.wallet.wallet_id for book in live]
    expired = await grant_uses.load_expired(conn, tenant, wallet_ids, since)
    # What lapsed in this transaction is not written yet.
    for book in live:
        for use in lapsed_uses(book):
            expired[use.grant_id] = expired.get(use.grant_id, 0) + use.amount_minor
    await book_store.add_grants(conn, tenant, live, expired)
    return expired


async def return_credits(
    desk: Desk, invoice_id: UUID, *, as_of: datetime | None = None
) -> ReturnCreditsResponse:
    """Give back all that an invoice was paid, once; every repeat gets the same answer.

    `as_of` is the instant at which it was voided, as in `apply_credits`. An invoice that was
    never paid cannot be paid any more.
    """
    async with desk.begin() as conn:
        mine = await applications.claim_return(conn, desk.tenant, invoice_id, desk.now())
        key = (desk.tenant, invoice_id)
        paid = (await applications.load_paid(conn, [key]))[key]
        if mine and paid:
            books = await book_store.lock_books(
                conn, desk.tenant, wallet_ids=sorted({credit.wallet_id for credit in paid})
            )
            await book_store.add_grants(
                conn, desk.tenant, books, {credit.grant_id for credit in paid}
            )
            now = max(desk.now(), as_of or desk.now())
            await lapse(conn, desk.tenant, books, now)
            for book in books:
                returning.return_credits(book, paid, str(invoice_id), now)
            await save(conn, desk.tenant, books, now)
    return ReturnCreditsResponse(credits=[credit_message(credit) for credit in paid])


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
