"""Counters without gaps. A taken number stays locked until the transaction ends: take it last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from sqlalchemy import ARRAY, BigInteger, Integer, Text, func, literal, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.invoicing.domain.numbering import Place, Sequence
from services.invoicing.store.party_schema import number_series

CUSTOMERS = "customers"
INVOICES = "invoices"
CUSTOMER_INVOICES = "customer_invoices"
CREDIT_NOTES = "credit_notes"
CUSTOMER_CREDIT_NOTES = "customer_credit_notes"
OF_CUSTOMERS = {INVOICES: CUSTOMER_INVOICES, CREDIT_NOTES: CUSTOMER_CREDIT_NOTES}


async def take_sequences(
    conn: AsyncConnection, tenant: Tenant, places: Iterable[Place], *, kind: str = INVOICES
) -> list[Sequence]:
    """Return where invoices of these places stand, in that order, in both of their series.

    Credit notes for the kind CREDIT_NOTES. The entities' counters, on which every finalization of
    the tenant waits, are taken last.
    """
    wanted = list(places)
    of_customers = [f"{one.entity_code}/{one.customer_id}" for one in wanted]
    of_entities = [None if one.self_billed else one.entity_code for one in wanted]
    customers = await _take(conn, tenant, OF_CUSTOMERS[kind], of_customers)
    entities = await _take(conn, tenant, kind, [one for one in of_entities if one is not None])
    return [
        Sequence(None if entity is None else next(entities[entity]), next(customers[customer]))
        for entity, customer in zip(of_entities, of_customers, strict=True)
    ]


async def take(conn: AsyncConnection, tenant: Tenant, kind: str, *, count: int) -> int:
    """Return the first of the next `count` numbers of a series without keys, from 1.

    A rollback gives them back.
    """
    return next((await _take(conn, tenant, kind, [""] * count))[""])


async def _take(
    conn: AsyncConnection, tenant: Tenant, kind: str, keys: Collection[str]
) -> dict[str, Iterator[int]]:
    """Raise the counters of series, in the order of their keys, by one for each time it is named.

    Returns the numbers that this gives, by key.
    """
    if not keys:
        return {}
    counts = Counter(keys)
    asked = (
        func.unnest(
            literal(sorted(counts), ARRAY(Text)),
            literal([counts[key] for key in sorted(counts)], ARRAY(BigInteger)),
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
    return {row.key: iter(range(row.last - counts[row.key] + 1, row.last + 1)) for row in found}
