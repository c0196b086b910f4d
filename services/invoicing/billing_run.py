"""Billing runs, as the stream of what becomes of each invoice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from datetime import datetime
from uuid import UUID

from libs.errors import TallyError
from libs.tenant import Tenant
from services.invoicing.batches import BATCH_MAX, parts_of
from services.invoicing.domain.invoice import Status
from services.invoicing.loops import Finalizer, Parts
from services.invoicing.operations import billing_runs
from services.invoicing.operations.messages import invoice_message
from tally.invoicing.v1 import billing_service_pb2 as pb


async def run_billing(
    parts: Parts,
    finalizer: Finalizer,
    tenant: Tenant,
    *,
    as_of: datetime | None,
    customer_id: str,
    dry_run: bool,
) -> AsyncGenerator[pb.RunBillingResponse, None]:
    """Give how many invoices there are, then each as it is done, and last what came of all."""
    due_by = as_of or parts.clock.now()
    found = await billing_runs.find_billable(
        parts.engine, tenant, as_of=due_by, customer_id=customer_id
    )
    yield pb.RunBillingResponse(found=pb.BillingFound(invoice_count=len(found)))
    done = pb.BillingDone()
    for batch in parts_of(found, BATCH_MAX):
        problems: dict[UUID, str] = {}
        if not dry_run:
            await billing_runs.make_due(parts.engine, tenant, batch, now=parts.clock.now())
            problems = await finalize(finalizer, tenant, batch)
            parts.committed()
        for invoice in await billing_runs.load(parts.engine, tenant, batch):
            problem = problems.get(invoice.invoice_id, "")
            done.finalized_count += invoice.status in (Status.FINALIZED, Status.OPEN)
            done.skipped_count += invoice.status is Status.SKIPPED
            done.waiting_count += invoice.status in (Status.DRAFT, Status.FINALIZING)
            yield pb.RunBillingResponse(
                billed=pb.BilledInvoice(invoice=invoice_message(invoice), problem=problem)
            )
    yield pb.RunBillingResponse(done=done)


async def finalize(
    finalizer: Finalizer, tenant: Tenant, invoice_ids: Sequence[UUID]
) -> dict[UUID, str]:
    """Finalize invoices together, or else one by one; return what keeps some from it."""
    try:
        await finalizer.finalize(tenant, invoice_ids)
    except TallyError as error:
        if len(invoice_ids) == 1:
            return {invoice_ids[0]: str(error)}
        problems: dict[UUID, str] = {}
        for one in invoice_ids:
            problems |= await finalize(finalizer, tenant, [one])
        return problems
    return {}
