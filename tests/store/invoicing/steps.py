"""What tests of the store do again and again: an invoice from its due period to its number."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from services.invoicing.domain.invoice import Credit, Invoice
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.operations import drafting, finalizing, reading
from services.invoicing.operations.drafting import DuePeriods
from services.invoicing.operations.finalizing import Claim, Priced
from tests.unit.invoicing.samples import amount_fee, rated

NOW = datetime(2014, 1, 31, 13, 10, tzinfo=UTC)


async def announce(
    engine: AsyncEngine,
    tenant: Tenant,
    periods: Sequence[RatedPeriod],
    *,
    customer: str = "c1",
    currency: str = "USD",
    due_at: datetime = NOW,
) -> None:
    """Take the fact that these periods became due."""
    due = DuePeriods(
        customer,
        currency,
        due_at,
        "UTC",
        tuple((one.period_id, one.period) for one in periods),
        alone=frozenset(one.period_id for one in periods if not one.settles),
    )
    async with begin(engine, tenant) as conn:
        await drafting.draft_periods(conn, tenant, [due], now=due_at)


async def newest(engine: AsyncEngine, tenant: Tenant, *, customer: str = "c1") -> Invoice:
    """Return the customer's newest invoice, with its lines."""
    [(_, found)] = await reading.list_invoices(
        engine, tenant, customer_id=customer, status=None, before=None, limit=1
    )
    return await reading.get_invoice(engine, tenant, invoice_id=found.invoice_id)


async def frozen(
    engine: AsyncEngine,
    tenant: Tenant,
    periods: Sequence[RatedPeriod],
    *,
    adjusted: Sequence[RatedPeriod] = (),
    customer: str = "c1",
) -> UUID:
    """Bring periods to a frozen invoice and return its id."""
    await announce(engine, tenant, periods, customer=customer)
    draft = await newest(engine, tenant, customer=customer)
    await claim_one(engine, tenant, draft.invoice_id)
    assert await freeze_one(engine, tenant, draft.invoice_id, closed=periods, adjusted=adjusted)
    return draft.invoice_id


async def claim_one(engine: AsyncEngine, tenant: Tenant, invoice_id: UUID) -> Claim:
    """Claim one invoice that is not closed."""
    [claimed] = await finalizing.claim(engine, tenant, [invoice_id])
    return claimed


async def freeze_one(
    engine: AsyncEngine,
    tenant: Tenant,
    invoice_id: UUID,
    *,
    closed: Sequence[RatedPeriod],
    adjusted: Sequence[RatedPeriod] = (),
) -> bool:
    """Freeze one draft; tell whether that was done."""
    priced = Priced(invoice_id, closed, adjusted, trace_id="")
    return bool(await finalizing.freeze(engine, tenant, [priced], now=NOW))


async def complete_one(
    engine: AsyncEngine, tenant: Tenant, invoice_id: UUID, credits: Sequence[Credit] = ()
) -> None:
    """Complete one frozen invoice."""
    await finalizing.complete(engine, tenant, {invoice_id: credits}, now=NOW)


async def finalized(
    engine: AsyncEngine,
    tenant: Tenant,
    amount_minor: int = 100,
    *,
    customer: str = "c1",
    credits: Sequence[Credit] = (),
) -> Invoice:
    """Bring one fee to a numbered invoice."""
    period = rated([amount_fee(amount_minor)], period=uuid4().int)
    invoice_id = await frozen(engine, tenant, [period], customer=customer)
    await complete_one(engine, tenant, invoice_id, credits)
    return await reading.get_invoice(engine, tenant, invoice_id=invoice_id)
