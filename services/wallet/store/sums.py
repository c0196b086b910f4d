"""Sums over the ledger's rows, and how stored amounts differ from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, func, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.difference import Difference, compared
from services.wallet.domain.ledger import Reason
from services.wallet.store.schema import grant_uses, transactions

ROWS_MAX = 1_000


async def broken_rows(conn: AsyncConnection, query: Select[Any]) -> Sequence[Row[Any]]:
    """Return the rows of `query`, at most 1,000: it selects nothing from books that agree."""
    return (await conn.execute(query.limit(ROWS_MAX))).all()


def moves_of_grants() -> Any:
    """Select what transactions did to grants: an amount for each account, with its sign."""
    uses = grant_uses.c
    key = (uses.tenant, uses.transaction_id, uses.grant_id)
    gains = select(*key, uses.target.label("account"), uses.amount_minor.label("amount_minor"))
    losses = select(*key, uses.source.label("account"), (-uses.amount_minor).label("amount_minor"))
    return union_all(gains, losses).subquery("moves")


def captures_of_holds() -> Any:
    """Select what the ledger captured of each hold."""
    of_transaction = (grant_uses.c.tenant == transactions.c.tenant) & (
        grant_uses.c.transaction_id == transactions.c.transaction_id
    )
    return (
        select(
            transactions.c.tenant,
            transactions.c.reference.label("hold_id"),
            func.sum(grant_uses.c.amount_minor).label("captured"),
        )
        .select_from(transactions.join(grant_uses, of_transaction))
        .where(transactions.c.reason == Reason.CAPTURE.value)
        .group_by(transactions.c.tenant, transactions.c.reference)
        .subquery("captures")
    )


def parts_of_invoices(reason: Reason) -> Any:
    """Select what transactions of a reason moved for lines of invoices, by line and grant."""
    of_transaction = (grant_uses.c.tenant == transactions.c.tenant) & (
        grant_uses.c.transaction_id == transactions.c.transaction_id
    )
    key = (
        transactions.c.tenant,
        transactions.c.reference,
        grant_uses.c.grant_id,
        grant_uses.c.line_id,
    )
    return (
        select(*key, func.sum(grant_uses.c.amount_minor).label("amount_minor"))
        .select_from(transactions.join(grant_uses, of_transaction))
        .where(transactions.c.reason == reason.value, grant_uses.c.line_id.is_not(None))
        .group_by(*key)
        .subquery(reason.value.lower())
    )


def sums_of(rows: Any, key: str, sums: Mapping[str, ColumnElement[Any]]) -> Any:
    """Add up `rows` by tenant and `key`."""
    group = (rows.c.tenant, rows.c[key])
    labelled = [total.label(name) for name, total in sums.items()]
    return select(*group, *labelled).group_by(*group).subquery("sums")


async def compare_sums(
    conn: AsyncConnection, table: Table, key: str, sums: Any, source: str = ""
) -> list[Difference]:
    """Compare columns NAME_minor of `table` with `sums` by tenant and `key`.

    `source` tells in the field's name what was added up, if it is not the ledger.
    """
    names = [name for name in sums.c.keys() if name not in ("tenant", key)]
    pairs = {name: (table.c[f"{name}_minor"], func.coalesce(sums.c[name], 0)) for name in names}
    same = (sums.c.tenant == table.c.tenant) & (sums.c[key] == table.c[key])
    query = (
        select(
            table.c.tenant,
            table.c[key].label("key"),
            *(stored.label(f"{name}_stored") for name, (stored, _) in pairs.items()),
            *(again.label(f"{name}_again") for name, (_, again) in pairs.items()),
        )
        .select_from(table.outerjoin(sums, same))
        .where(or_(*(stored != again for stored, again in pairs.values())))
    )
    suffix = f"_of_{source}" if source else ""
    found: list[Difference] = []
    for row in await broken_rows(conn, query):
        values = row._mapping
        fields = {
            f"{name}_minor{suffix}": (values[f"{name}_stored"], values[f"{name}_again"])
            for name in names
        }
        named = {key: str(row.key)}
        found += compared(row.tenant, key.removesuffix("_id"), named, **fields)
    return found
