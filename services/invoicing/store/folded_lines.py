"""Reading the lines of an invoice that are not shown for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.expression import literal

from libs.tenant import Tenant
from services.invoicing.domain.folded_lines import GROUPS_SHOWN, GroupedCharge
from services.invoicing.domain.line import FeeKind, Line
from services.invoicing.store.parts import line_of
from services.invoicing.store.schema import invoice_lines

columns = invoice_lines.c


class Place(NamedTuple):
    """Where a line stands: by its amount without the sign, the largest first, then by position."""

    size_minor: int
    position: int


async def find_folded(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID
) -> list[GroupedCharge]:
    """Return the charges of an invoice that have more groups than are shown."""
    charge = [getattr(columns, name) for name in GroupedCharge._fields]
    query = (
        select(*charge)
        .filter_by(tenant=tenant, invoice_id=invoice_id)
        .where(_is_group())
        .group_by(*charge)
        .having(func.count() > GROUPS_SHOWN)
    )
    return [
        GroupedCharge(
            row.period_id, row.adjustment_sequence, FeeKind(row.fee_kind), row.charge_code
        )
        for row in await conn.execute(query)
    ]


async def has_line(conn: AsyncConnection, tenant: Tenant, invoice_id: UUID, line_id: UUID) -> bool:
    """Tell whether an invoice has a line, shown or not, that stands for itself."""
    query = select(columns.line_id).filter_by(tenant=tenant, invoice_id=invoice_id, line_id=line_id)
    return (await conn.execute(query)).one_or_none() is not None


async def list_folded(
    conn: AsyncConnection,
    tenant: Tenant,
    invoice_id: UUID,
    charge: GroupedCharge,
    *,
    after: Place | None,
    limit: int,
) -> Sequence[tuple[Place, Line]]:
    """Return lines of a charge that are not shown, after `after`, None: from the first."""
    size = func.abs(columns.amount_minor)
    query = (
        select(invoice_lines)
        .filter_by(tenant=tenant, invoice_id=invoice_id, **charge._asdict())
        .where(_is_group())
        .order_by(size.desc(), columns.position)
        .limit(limit)
    )
    if after is None:
        query = query.offset(GROUPS_SHOWN)
    else:
        same_size = and_(size == after.size_minor, columns.position > after.position)
        query = query.where(or_(size < after.size_minor, same_size))
    return [
        (Place(abs(row.amount_minor), row.position), line_of(row))
        for row in await conn.execute(query)
    ]


def _is_group() -> ColumnElement[bool]:
    return columns.group_values != literal([], JSONB)
