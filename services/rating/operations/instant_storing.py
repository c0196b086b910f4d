"""Storing what was rated of instant charges: fees, states, what is billed now, and the fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from libs import outbox
from libs.period import local_day, local_midnight
from libs.telemetry import headers
from libs.tenant import Tenant
from services.rating.domain.instant_bill import Bill, settle
from services.rating.domain.instant_charge import Settle
from services.rating.domain.instant_fee import InstantFee
from services.rating.domain.instant_rating import RatedSlice
from services.rating.domain.instant_state import State
from services.rating.domain.meter import Meter
from services.rating.domain.period import BillingPeriod
from services.rating.domain.plan import Charge
from services.rating.operations.instant_messages import Segment, rated_message
from services.rating.store import instant_states
from services.rating.store.instant_fees import insert_fees

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose fees they are, and of which segment; None: periods renew what they carry."""

    tenant: Tenant
    meters: Mapping[str, Meter]  # By code.
    segment: Segment | None
    due_at: datetime  # When bills are due but for those of a day.


async def store_rated(
    conn: AsyncConnection,
    origin: Origin,
    period: BillingPeriod,
    rated: Sequence[tuple[Charge, RatedSlice]],
    *,
    now: datetime,
) -> None:
    """Store what was rated of a locked period, bill what is to be billed, and tell of it."""
    tenant = origin.tenant
    fees: list[InstantFee] = []
    states: dict[instant_states.Place, State] = {}
    bills: dict[str, list[Bill]] = {}
    for charge, one in rated:
        fees += one.fees
        unbilled = {key: state.unbilled for key, state in one.states.items()}
        assert charge.instant is not None
        if charge.instant.bills_early:
            name = origin.meters[charge.meter_code].name
            named, unbilled = settle(charge, name, one.fees, unbilled, currency=period.currency)
            for bill_name, of_name in named:
                bills.setdefault(bill_name, []).extend(of_name)
        for key, state in one.states.items():
            states[period.period_id, key] = State(state.standing, unbilled[key])
    await insert_fees(conn, tenant, fees, rated_at=now)
    await instant_states.save_states(conn, tenant, states)
    await _bill(conn, origin, period, bills, now=now)
    facts = [
        rated_message(period, charge, one.fees, origin.segment) for charge, one in rated if one.fees
    ]
    await outbox.append_all(conn, [(tenant, fact, headers()) for fact in facts])


async def _bill(
    conn: AsyncConnection,
    origin: Origin,
    usage: BillingPeriod,
    bills: Mapping[str, Sequence[Bill]],
    *,
    now: datetime,
) -> None:
    """Put `bills`, by name, on periods of their own; "" on that of the local day."""
    tenant = origin.tenant
    placed: list[tuple[UUID, Bill]] = []
    fresh: dict[str, UUID] = {}
    for name, of_name in bills.items():
        period_id = await _day_period(conn, tenant, usage, now) if not name else uuid4()
        if name:
            fresh[name] = period_id
        placed += [(period_id, bill) for bill in of_name]
    await instant_states.insert_bill_periods(conn, tenant, usage, fresh, due_at=origin.due_at)
    await instant_states.add_bills(conn, tenant, usage.period_id, placed)


async def _day_period(
    conn: AsyncConnection, tenant: Tenant, usage: BillingPeriod, now: datetime
) -> UUID:
    """Return the open period that bills a local day's fees of a usage period at its end."""
    zone = ZoneInfo(usage.time_zone)
    day = local_day(now, zone)
    bills = f"{Settle.DAILY}/{day.isoformat()}"
    standing = await instant_states.find_open_bill(conn, tenant, usage, bills)
    if standing is not None:
        return standing
    period_id = uuid4()
    due_at = local_midnight(day + DAY, zone)
    await instant_states.insert_bill_periods(conn, tenant, usage, {bills: period_id}, due_at=due_at)
    return period_id
