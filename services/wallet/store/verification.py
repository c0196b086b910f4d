"""The books added up again in SQL: each check returns what contradicts it, at most 1,000 rows.

The connection is a snapshot (`libs.db.Snapshots`), and decides of whose rows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sqlalchemy import Text, and_, case, cast, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.difference import Difference, compared
from services.wallet.domain.hold import HoldStatus
from services.wallet.domain.ledger import WALLET_ACCOUNTS, Account, Reason
from services.wallet.store.books import next_due
from services.wallet.store.schema import (
    applications,
    entries,
    grants,
    hold_parts,
    holds,
    lots,
    transactions,
    wallets,
)
from services.wallet.store.sums import (
    broken_rows,
    captures_of_holds,
    compare_sums,
    moves_of_grants,
    parts_of_invoices,
    sums_of,
)
from services.wallet.store.top_up_verification import (
    top_ups_are_in_the_books,
    wallets_watch_for_their_rules,
)

COUNTED = {
    "wallets": wallets,
    "grants": grants,
    "holds": holds,
    "ledger transactions": transactions,
    "ledger entries": entries,
}

Check = Callable[[AsyncConnection], Awaitable[list[Difference]]]


async def count_rows(conn: AsyncConnection) -> dict[str, int]:
    """Return how much there is to check."""
    counts = [
        select(func.count()).select_from(table).scalar_subquery().label(name)
        for name, table in COUNTED.items()
    ]
    return dict((await conn.execute(select(*counts))).one()._mapping)


async def transactions_sum_to_zero(conn: AsyncConnection) -> list[Difference]:
    """Add up the entries of each transaction and currency."""
    key = (entries.c.tenant, entries.c.transaction_id, entries.c.currency)
    total = func.sum(entries.c.amount_minor)
    query = select(*key, total.label("total")).group_by(*key).having(total != 0)
    return [
        one
        for row in await broken_rows(conn, query)
        for one in compared(
            row.tenant,
            "transaction",
            {"transaction_id": str(row.transaction_id), "currency_code": row.currency},
            sum_of_entries=(row.total, 0),
        )
    ]


async def entries_are_in_the_wallets_currency(conn: AsyncConnection) -> list[Difference]:
    """Compare the currency of each entry with that of the transaction's wallet."""
    of_transaction = (transactions.c.tenant == entries.c.tenant) & (
        transactions.c.transaction_id == entries.c.transaction_id
    )
    of_wallet = (wallets.c.tenant == transactions.c.tenant) & (
        wallets.c.wallet_id == transactions.c.wallet_id
    )
    query = (
        select(entries, wallets.c.currency.label("wallets"))
        .select_from(entries.join(transactions, of_transaction).join(wallets, of_wallet))
        .where(entries.c.currency != wallets.c.currency)
    )
    return [
        one
        for row in await broken_rows(conn, query)
        for one in compared(
            row.tenant,
            "entry",
            {"transaction_id": str(row.transaction_id), "account": row.account},
            currency_code=(row.currency, row.wallets),
        )
    ]


async def entries_are_what_grants_moved(conn: AsyncConnection) -> list[Difference]:
    """Compare each transaction's entries with the grants' parts in it, account by account."""
    moves = moves_of_grants()
    key = (moves.c.tenant, moves.c.transaction_id, moves.c.account)
    moved = select(*key, func.sum(moves.c.amount_minor).label("moved")).group_by(*key).subquery()
    same = (
        (entries.c.tenant == moved.c.tenant)
        & (entries.c.transaction_id == moved.c.transaction_id)
        & (entries.c.account == moved.c.account)
    )
    query = (
        select(
            func.coalesce(entries.c.tenant, moved.c.tenant).label("tenant"),
            func.coalesce(entries.c.transaction_id, moved.c.transaction_id).label("id"),
            func.coalesce(entries.c.account, moved.c.account).label("account"),
            func.coalesce(entries.c.amount_minor, 0).label("stored"),
            func.coalesce(moved.c.moved, 0).label("moved"),
        )
        .select_from(entries.join(moved, same, full=True))
        .where(func.coalesce(entries.c.amount_minor, 0) != func.coalesce(moved.c.moved, 0))
    )
    return [
        one
        for row in await broken_rows(conn, query)
        for one in compared(
            row.tenant,
            "entry",
            {"transaction_id": str(row.id), "account": row.account},
            amount_minor=(row.stored, row.moved),
        )
    ]


async def wallets_are_sums_of_entries(conn: AsyncConnection) -> list[Difference]:
    """Compare the running balances of wallets with their entries."""
    sums = {
        name.value: func.sum(entries.c.amount_minor).filter(entries.c.account == name.value)
        for name in WALLET_ACCOUNTS
    }
    return await compare_sums(conn, wallets, "wallet_id", sums_of(entries, "wallet_id", sums))


async def wallets_are_sums_of_grants(conn: AsyncConnection) -> list[Difference]:
    """Compare the running balances of wallets with what their grants have."""
    sums = {name.value: func.sum(grants.c[f"{name}_minor"]) for name in WALLET_ACCOUNTS}
    return await compare_sums(
        conn, wallets, "wallet_id", sums_of(grants, "wallet_id", sums), "grants"
    )


async def grants_are_sums_of_moves(conn: AsyncConnection) -> list[Difference]:
    """Compare what grants have with what the ledger moved of them."""
    moves = moves_of_grants()
    sums = {
        name.value: func.sum(moves.c.amount_minor).filter(moves.c.account == name.value)
        for name in WALLET_ACCOUNTS
    }
    return await compare_sums(conn, grants, "grant_id", sums_of(moves, "grant_id", sums))


async def grants_hold_what_holds_reserve(conn: AsyncConnection) -> list[Difference]:
    """Compare what is held of grants with the parts of holds."""
    sums = {"held": func.sum(hold_parts.c.held_minor)}
    return await compare_sums(
        conn, grants, "grant_id", sums_of(hold_parts, "grant_id", sums), "holds"
    )


async def grants_keep_what_was_captured(conn: AsyncConnection) -> list[Difference]:
    """Compare what is captured of grants with the lots that wait for an invoice."""
    sums = {"captured": func.sum(lots.c.left_minor)}
    return await compare_sums(conn, grants, "grant_id", sums_of(lots, "grant_id", sums), "lots")


async def holds_are_what_is_left_and_captured(conn: AsyncConnection) -> list[Difference]:
    """Compare holds with their parts, which only open ones have, and with their captures."""
    parts = sums_of(hold_parts, "hold_id", {"parts": func.sum(hold_parts.c.held_minor)})
    captures = captures_of_holds()
    is_open = holds.c.status == HoldStatus.OPEN.value
    left = func.coalesce(parts.c.parts, 0)
    captured = func.coalesce(captures.c.captured, 0)
    query = (
        select(holds, left.label("left"), captured.label("captures"))
        .select_from(
            holds.outerjoin(
                parts,
                (parts.c.tenant == holds.c.tenant) & (parts.c.hold_id == holds.c.hold_id),
            ).outerjoin(
                captures,
                (captures.c.tenant == holds.c.tenant) & (captures.c.hold_id == holds.c.hold_id),
            )
        )
        .where(
            or_(
                is_open & (left != holds.c.amount_minor - holds.c.captured_minor),
                ~is_open & (left != 0),
                captured != holds.c.captured_minor,
            )
        )
    )
    return [
        one
        for row in await broken_rows(conn, query)
        for one in compared(
            row.tenant,
            "hold",
            {"hold_id": row.hold_id, "status": row.status},
            left_minor=(
                row.left,
                row.amount_minor - row.captured_minor if row.status == "open" else 0,
            ),
            captured_minor=(row.captured_minor, row.captures),
        )
    ]


async def wallets_know_what_lapses_next(conn: AsyncConnection) -> list[Difference]:
    """Compare when wallets are due with the deadlines of their holds and grants."""
    query = select(wallets, next_due().label("next_due")).where(
        wallets.c.due_at.is_distinct_from(next_due())
    )
    return [
        one
        for row in await broken_rows(conn, query)
        for one in compared(
            row.tenant,
            "wallet",
            {"wallet_id": str(row.wallet_id)},
            due_at=(row.due_at, row.next_due),
        )
    ]


async def payments_have_an_application(conn: AsyncConnection) -> list[Difference]:
    """Find invoices that were paid and never asked."""
    asked = select(literal(1)).where(
        applications.c.tenant == transactions.c.tenant,
        cast(applications.c.invoice_id, Text) == transactions.c.reference,
    )
    query = select(transactions).where(transactions.c.reason == Reason.APPLY.value, ~asked.exists())
    return [
        Difference(
            row.tenant,
            "transaction",
            {"transaction_id": str(row.transaction_id), "invoice_id": row.reference},
            "invoice_id",
            row.reference,
            "",
        )
        for row in await broken_rows(conn, query)
    ]


async def returns_are_what_was_paid(conn: AsyncConnection) -> list[Difference]:
    """Compare what was given back of invoices with what they were paid: all of it, or nothing."""
    paid, given_back = parts_of_invoices(Reason.APPLY), parts_of_invoices(Reason.REVERSAL)
    same = (
        (paid.c.tenant == given_back.c.tenant)
        & (paid.c.reference == given_back.c.reference)
        & (paid.c.grant_id == given_back.c.grant_id)
        & (paid.c.line_id == given_back.c.line_id)
    )
    invoice = func.coalesce(paid.c.reference, given_back.c.reference)
    tenant = func.coalesce(paid.c.tenant, given_back.c.tenant)
    returned = applications.c.returned_at.is_not(None)
    of_invoice = (applications.c.tenant == tenant) & (
        cast(applications.c.invoice_id, Text) == invoice
    )
    expected = case((returned, func.coalesce(paid.c.amount_minor, 0)), else_=0)
    found = func.coalesce(given_back.c.amount_minor, 0)
    query = (
        select(
            tenant.label("tenant"),
            invoice.label("invoice_id"),
            func.coalesce(paid.c.grant_id, given_back.c.grant_id).label("grant_id"),
            func.coalesce(paid.c.line_id, given_back.c.line_id).label("line_id"),
            found.label("found"),
            expected.label("expected"),
        )
        .select_from(
            paid.join(given_back, same, full=True).join(applications, of_invoice, isouter=True)
        )
        .where(found != expected)
    )
    return [
        one
        for row in await broken_rows(conn, query)
        for one in compared(
            row.tenant,
            "application",
            {
                "invoice_id": row.invoice_id,
                "line_id": str(row.line_id),
                "grant_id": str(row.grant_id),
            },
            returned_minor=(row.found, row.expected),
        )
    ]


async def accounts_of_tenants_make_sense(conn: AsyncConnection) -> list[Difference]:
    """Look at the sums of tenants' accounts: sources are never above zero, and others not below."""
    total = func.sum(entries.c.amount_minor)
    key = (entries.c.tenant, entries.c.account, entries.c.currency)
    sources = entries.c.account.in_([Account.PURCHASED.value, Account.GRANTED.value])
    query = (
        select(*key, total.label("total"))
        .where(entries.c.wallet_id.is_(None))
        .group_by(*key)
        .having(or_(and_(sources, total > 0), and_(~sources, total < 0)))
    )
    return [
        one
        for row in await broken_rows(conn, query)
        for one in compared(
            row.tenant,
            "account",
            {"account": row.account, "currency_code": row.currency},
            sum_of_entries=(row.total, 0),
        )
    ]


async def transfers_arrive(conn: AsyncConnection) -> list[Difference]:
    """Add up what left wallets for others and what arrived there, transfer by transfer."""
    total = func.sum(entries.c.amount_minor)
    of_transaction = (transactions.c.tenant == entries.c.tenant) & (
        transactions.c.transaction_id == entries.c.transaction_id
    )
    key = (entries.c.tenant, transactions.c.reference, entries.c.currency)
    query = (
        select(*key, total.label("total"))
        .select_from(entries.join(transactions, of_transaction))
        .where(entries.c.account == Account.TRANSFERRED.value)
        .group_by(*key)
        .having(total != 0)
    )
    return [
        one
        for row in await broken_rows(conn, query)
        for one in compared(
            row.tenant,
            "transfer",
            {"transfer_id": row.reference, "currency_code": row.currency},
            sum_of_entries=(row.total, 0),
        )
    ]


CHECKS: tuple[Check, ...] = (
    transactions_sum_to_zero,
    entries_are_in_the_wallets_currency,
    entries_are_what_grants_moved,
    wallets_are_sums_of_entries,
    wallets_are_sums_of_grants,
    grants_are_sums_of_moves,
    grants_hold_what_holds_reserve,
    grants_keep_what_was_captured,
    holds_are_what_is_left_and_captured,
    wallets_know_what_lapses_next,
    payments_have_an_application,
    returns_are_what_was_paid,
    accounts_of_tenants_make_sense,
    transfers_arrive,
    top_ups_are_in_the_books,
    wallets_watch_for_their_rules,
)
