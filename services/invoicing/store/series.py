"""Counters without gaps. A taken number stays locked until the transaction ends: take it last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from sqlalchemy import ARRAY, BigInteger, Integer, Text, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.invoicing.domain.numbering import Sequence
from services.invoicing.store.schema import number_series

CUSTOMERS = "customers"
INVOICES = "invoices"
CUSTOMER_INVOICES = "customer_invoices"
CREDIT_NOTES = "credit_notes"
CUSTOMER_CREDIT_NOTES = "customer_credit_notes"
OF_CUSTOMERS = {INVOICES: CUSTOMER_INVOICES, CREDIT_NOTES: CUSTOMER_CREDIT_NOTES}


async def take_sequences(
    conn: AsyncConnection, tenant: Tenant, customer_ids: Iterable[str], *, kind: str = INVOICES
) -> list[Sequence]:
    """Return the places of invoices of these customers, in that order, in both of their series.

    Those of credit notes for the kind CREDIT_NOTES. The entity's counter, on which every
    finalization of the tenant waits, is taken last.
    """
    wanted = list(customer_ids)
    counts = Counter(wanted)
    customers = await _take(conn, tenant, OF_CUSTOMERS[kind], counts)
    next_of = {key: last - counts[key] + 1 for key, last in customers.items()}
    first = await take(conn, tenant, kind, count=len(wanted)) if wanted else 0
    places: list[Sequence] = []
    for of_entity, customer_id in enumerate(wanted, start=first):
        places.append(Sequence(of_entity=of_entity, of_customer=next_of[customer_id]))
        next_of[customer_id] += 1
    return places


async def take(conn: AsyncConnection, tenant: Tenant, kind: str, *, count: int = 1) -> int:
    """Return the first of the next `count` numbers of a series, from 1.

    A rollback gives them back.
    """
    return (await _take(conn, tenant, kind, {"": count}))[""] - count + 1


async def _take(
    conn: AsyncConnection, tenant: Tenant, kind: str, counts: Mapping[str, int]
) -> dict[str, int]:
    """Raise the counters of series by so much, in the order of their keys; return the last ones."""
    if not counts:
        return {}
    asked = (
        func.unnest(
            literal(sorted(counts), ARRAY(Text)), literal(_in_order(counts), ARRAY(BigInteger))
        )
        .table_valued("key", "count", name="asked")
        .render_derived()
    )
    rows = select(literal(tenant, Integer), literal(kind, Text), asked.c.key, asked.c.count)
    first = insert(number_series).from_select(
        ["tenant", "kind", "key", "last"], rows.order_by(asked.c.key)
    )
    taken = first.on_conflict_do_update(
        index_elements=["tenant", "kind", "key"],
        set_={"last": number_series.c.last + first.excluded.last},
    )
    found = await conn.execute(taken.returning(number_series.c.key, number_series.c.last))
    return {row.key: row.last for row in found}


def _in_order(counts: Mapping[str, int]) -> list[int]:
    return [counts[key] for key in sorted(counts)]
