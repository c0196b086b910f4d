"""Adding to the usage of periods what recurring meters carry over from before them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.rating.domain.carrying import carried
from services.rating.domain.cell import Cell
from services.rating.domain.event import micros
from services.rating.domain.high_cardinality import has_days_in_log
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod
from services.rating.store.carried import load_earlier

Found = Mapping[UUID, Mapping[UUID, Sequence[Cell]]]


async def with_carried(
    conn: AsyncConnection,
    periods: Sequence[tuple[Tenant, BillingPeriod]],
    meters: Iterable[Meter],
    found: Found,
) -> Found:
    """Return the cells `found` of usage `periods`, by period and meter, with what they carry."""
    recurring = {meter.meter_id: meter for meter in meters if meter.recurring}
    earlier = await load_earlier(conn, periods, recurring)
    if not earlier:
        return found
    starts = {period.period_id: micros(period.usage.start) for _, period in periods}
    whole = {period_id: dict(of_period) for period_id, of_period in found.items()}
    for period_id, by_meter in earlier.items():
        of_period = whole.setdefault(period_id, {})
        for meter_id, cells in by_meter.items():
            own = of_period.get(meter_id, ())
            if has_days_in_log(cells):  # All of it, and the period's own, is read there.
                left = [Cell(event_count=sum(cell.event_count for cell in cells), in_log=True)]
            else:
                left = carried(cells, recurring[meter_id], starts[period_id])
            if left:
                of_period[meter_id] = [*own, *left]
    return whole
