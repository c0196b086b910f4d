"""What was frozen of billing periods, for those who bill it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from libs.db import Snapshots
from libs.wire import Page, page_token, parse_page_token
from services.rating.operations.closing import close_message
from services.rating.store import closes as store
from services.rating.store.closes import Key
from services.rating.store.periods import load_periods
from tally.rating.v1 import rating_service_pb2 as pb


async def list_closes(
    snapshots: Snapshots, *, period_ids: Sequence[UUID], page: Page
) -> pb.ListClosesResponse:
    """Return a page of closes, by tenant, period and sequence; of `period_ids`, if there are any.

    Raises:
        PageTokenInvalid: the token is not of this list.
    """
    keys = parse_page_token(page.token, int, UUID, int)
    after: Key | None = keys or None  # type: ignore[assignment]
    async with snapshots.begin() as conn:
        found = await store.list_closes(
            conn, period_ids=period_ids, after=after, limit=page.size + 1
        )
        shown = found[: page.size]
        periods = await load_periods(conn, {period_id for (_, period_id, _), _ in shown})
    return pb.ListClosesResponse(
        closes=[
            pb.Close(
                tenant=tenant,
                sequence=sequence,
                rated=close_message(periods[period_id], close),
            )
            for (tenant, period_id, sequence), close in shown
        ],
        next_page_token=page_token(*shown[-1][0]) if len(found) > page.size else "",
    )
