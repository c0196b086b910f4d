"""Listing events that several subscriptions could have taken, as counts."""

from __future__ import annotations

from datetime import date

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from libs.wire import Page, civil_date, page_token, parse_page_token
from services.rating.domain.folding import Ambiguous
from services.rating.store import ambiguous as store
from tally.rating.v1 import usage_service_pb2 as pb


async def list_ambiguous(
    engine: AsyncEngine, tenant: Tenant, customer_id: str, page: Page
) -> pb.ListAmbiguousResponse:
    """Return a page of counts, of one customer if one is named, in the order of their keys."""
    keys = parse_page_token(page.token, str, str, date, str)
    after: store.AfterKey | None = keys or None  # type: ignore[assignment]
    async with begin(engine, tenant) as conn:
        found = await store.list_ambiguous(
            conn, tenant, customer_id=customer_id, after=after, limit=page.size + 1
        )
    shown = found[: page.size]
    return pb.ListAmbiguousResponse(
        counts=[
            pb.AmbiguousCount(
                customer_id=which.customer_id,
                event_type=which.event_type,
                day=civil_date(which.day),
                subscription_id=which.subscription_id,
                event_count=count,
            )
            for which, count in shown
        ],
        next_page_token=_token(shown[-1][0]) if len(found) > page.size else "",
    )


def _token(last: Ambiguous) -> str:
    return page_token(last.customer_id, last.event_type, last.day, last.subscription_id)
