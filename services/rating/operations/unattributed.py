"""Listing events that nobody took, as counts."""

from __future__ import annotations

from datetime import date

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from libs.wire import Page, civil_date, page_token, parse_page_token
from services.rating.store.usage import list_unattributed as list_stored
from tally.rating.v1 import usage_service_pb2 as pb


async def list_unattributed(
    engine: AsyncEngine, tenant: Tenant, customer_id: str, page: Page
) -> pb.ListUnattributedResponse:
    """Return a page of counts, of one customer if one is named, by customer, type and day."""
    keys = parse_page_token(page.token, str, str, date)
    after: tuple[str, str, date] | None = keys or None  # type: ignore[assignment]
    async with begin(engine, tenant) as conn:
        found = await list_stored(
            conn, tenant, customer_id=customer_id, after=after, limit=page.size + 1
        )
    shown = found[: page.size]
    last = shown[-1] if len(found) > page.size else None
    return pb.ListUnattributedResponse(
        counts=[
            pb.UnattributedCount(
                customer_id=which.customer_id,
                event_type=which.event_type,
                day=civil_date(which.day),
                event_count=count,
            )
            for which, count in shown
        ],
        next_page_token=page_token(last[0].customer_id, last[0].event_type, last[0].day)
        if last
        else "",
    )
