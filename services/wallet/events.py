"""Facts that invoicing announces: each handler is part of the transaction that takes the fact."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.clock import Clock
from libs.consumer import Handler
from libs.inbox import Fact
from libs.tenant import Tenant
from libs.wire import parse_currency, parse_uuid
from services.wallet.domain.reservation import Unbilled, UnbilledLine
from services.wallet.operations.reserving import reserve_unbilled
from tally.invoicing.v1.events_pb2 import UnbilledAmountChanged


def handlers(clock: Clock) -> dict[str, Handler]:
    """Return the handlers by the facts' full names."""

    async def take_unbilled(conn: AsyncConnection, tenant: Tenant, facts: Sequence[Fact]) -> None:
        told = [parse_unbilled(fact) for fact in facts]
        await reserve_unbilled(conn, tenant, told, clock.now())

    return {UnbilledAmountChanged.DESCRIPTOR.full_name: take_unbilled}


def parse_unbilled(fact: Fact) -> Unbilled:
    """Read an UnbilledAmountChanged."""
    message = UnbilledAmountChanged.FromString(fact.payload)
    return Unbilled(
        customer_id=message.customer_id,
        currency=parse_currency(message.currency_code, "currency_code"),
        period_id=parse_uuid(message.period_id, "period_id"),
        subscription_id=message.subscription_id,
        revision=message.revision,
        lines=[
            UnbilledLine(line.fee_kind, line.meter_code, line.gross_minor)
            for line in message.lines
            if line.gross_minor > 0
        ],
    )
