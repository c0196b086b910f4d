"""Telling why a line costs what it does, down to the events that rating counted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.tenant import Tenant
from services.invoicing.domain.explaining import find_line, without_events
from services.invoicing.operations.messages import line_message
from services.invoicing.operations.peers import Rating
from services.invoicing.operations.reading import get_invoice
from tally.invoicing.v1 import billing_service_pb2 as pb


async def explain_line(
    engine: AsyncEngine, rating: Rating, tenant: Tenant, invoice_id: UUID, line_id: UUID
) -> AsyncGenerator[pb.ExplainLineResponse, None]:
    """Give the line, and then what rating says of its events, as it comes.

    Raises:
        InvoiceNotFound: the tenant has no such invoice.
        LineNotFound: it has no such line.
        Refused: some of its events were dropped; the reason is LOG_TRIMMED.
        Unavailable: rating, or the log, is away.
    """
    invoice = await get_invoice(engine, tenant, invoice_id=invoice_id)
    line = find_line(invoice, line_id)
    told = pb.ExplainedLine(
        line=line_message(line),
        currency_code=invoice.currency,
        note=without_events(invoice, line),
    )
    if told.note:
        yield pb.ExplainLineResponse(line=told)
        return
    async with aclosing(rating.explain(tenant, line)) as parts:
        async for part in parts:
            if part.HasField("basis"):
                told.basis.CopyFrom(part.basis)
                told.note = part.basis.note
                yield pb.ExplainLineResponse(line=told)
            else:
                yield pb.ExplainLineResponse(events=part.events)
