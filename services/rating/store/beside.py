"""Reading what counts for a minimum commitment besides the usage period that bills what lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.schema import among
from libs.tenant import Tenant
from services.rating.domain.period import BillingPeriod, PeriodKind
from services.rating.domain.plan import PlanVersion
from services.rating.store.periods import read_period, select_periods
from services.rating.store.schema import billing_periods


async def load_beside(
    conn: AsyncConnection,
    owned: Sequence[tuple[Tenant, BillingPeriod]],
    versions: Mapping[UUID, PlanVersion],
) -> dict[UUID, list[BillingPeriod]]:
    """Return the base fee's period and that of fixed charges in advance, by usage period.

    Of those that have a minimum commitment by their plan `versions`.
    """
    committed = [
        (tenant, period)
        for tenant, period in owned
        if period.kind is PeriodKind.USAGE
        and versions[period.plan_version_id].minimum_commitment is not None
    ]
    if not committed:
        return {}
    columns = billing_periods.c
    query = select_periods().where(
        among(columns.tenant, {tenant for tenant, _ in committed}),
        among(columns.term_id, {period.term_id for _, period in committed}),
        among(columns.whole_first_day, {period.whole.first_day for _, period in committed}),
        columns.kind.in_([PeriodKind.BASE, PeriodKind.FIXED]),
    )
    found: dict[tuple[UUID, object], list[BillingPeriod]] = {}
    for row in await conn.execute(query.order_by(columns.kind)):
        found.setdefault((row.term_id, row.whole_first_day), []).append(read_period(row))
    return {
        period.period_id: found.get((period.term_id, period.whole.first_day), [])
        for _, period in committed
    }
