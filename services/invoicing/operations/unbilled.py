"""Telling wallets what usage and drafts come to that no invoice bills yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox
from libs.db import begin
from libs.tenant import Tenant
from libs.wire import period_message
from services.invoicing.domain.invoice import Content, Invoice, Kind, Status, compose, with_taxes
from services.invoicing.domain.line import Line, RatedPeriod
from services.invoicing.domain.tax import TaxTerms
from services.invoicing.domain.unbilled import Unbilled, UnbilledLine, of_usage, unbilled_lines
from services.invoicing.operations.early import show_early
from services.invoicing.store import entities, parties, taxes
from services.invoicing.store import unbilled as store
from services.invoicing.store.unbilled import ToldPeriod
from tally.invoicing.v1 import events_pb2

UNFINISHED = (Status.DRAFT, Status.FINALIZING)


@dataclass(frozen=True, slots=True)
class UsageOf:
    """Usage periods of a subscription that changed."""

    customer_id: str
    currency: str
    subscription_id: str
    period_ids: tuple[UUID, ...]


async def note_usage(conn: AsyncConnection, tenant: Tenant, changed: Iterable[UsageOf]) -> None:
    """Note that what periods cost is to be told."""
    await store.note_changes(
        conn,
        tenant,
        [
            (period_id, one.customer_id, one.currency, one.subscription_id)
            for one in changed
            for period_id in one.period_ids
        ],
    )


async def load_told(engine: AsyncEngine, tenant: Tenant, period_id: UUID) -> ToldPeriod | None:
    """Return what was told of a period; None if that is what is to be told."""
    async with begin(engine, tenant) as conn:
        found = await store.lock_told(conn, tenant, period_id)
    return found if found.told_changes < found.changes else None


async def is_on_invoice(engine: AsyncEngine, tenant: Tenant, period_id: UUID) -> bool:
    """Tell whether an invoice bills all of a period, be it a draft."""
    async with begin(engine, tenant) as conn:
        return await store.find_status(conn, tenant, period_id) is not None


async def tell(
    engine: AsyncEngine, tenant: Tenant, before: ToldPeriod, rated: RatedPeriod | None
) -> None:
    """Announce what is unbilled of a period that costs `rated`, if that has changed; None: nothing.

    Of a period on a draft that stays what it is: whatever changes the draft tells it.
    `before` was read before the period was rated: what changed since then is told later.
    """
    period_id = before.told.period_id
    async with begin(engine, tenant) as conn:
        locked = await store.lock_told(conn, tenant, period_id)
        if locked.told_changes >= before.changes:
            return
        lines: tuple[UnbilledLine, ...] = ()
        status = await store.find_status(conn, tenant, period_id)
        if status in UNFINISHED:
            lines = locked.told.lines
        elif status is None and rated is not None:
            content = await _priced(conn, tenant, locked.told.customer_id, of_usage(rated))
            lines = unbilled_lines(content.lines)
        await _announce(conn, tenant, locked.told, lines, told_changes=before.changes)


async def tell_draft(
    conn: AsyncConnection,
    tenant: Tenant,
    draft: Invoice,
    rated: Sequence[RatedPeriod],
    lines: Sequence[Line],
) -> None:
    """Announce what `lines` of a locked draft bill of its `rated` periods, if that has changed.

    That is all that finalizing it will take: base and fixed fees, too, less what coupons take off.
    """
    if draft.kind is not Kind.SUBSCRIPTION:  # Others are final at once, or bill a part.
        return
    if not await store.has_wallet(conn, tenant, draft.customer_id):
        return
    for one in sorted(rated, key=lambda one: one.period_id):
        nothing = Unbilled(
            draft.customer_id, draft.currency, one.period_id, one.subscription_id, 0, ()
        )
        before = await store.open_told(conn, tenant, nothing)
        mine = unbilled_lines(line for line in lines if line.period_id == one.period_id)
        await _announce(conn, tenant, before.told, mine, told_changes=before.told_changes)


async def _announce(
    conn: AsyncConnection,
    tenant: Tenant,
    told: Unbilled,
    lines: tuple[UnbilledLine, ...],
    *,
    told_changes: int,
) -> None:
    """Tell `lines` of a locked period in place of what was told, if they differ."""
    if lines != told.lines:
        told = replace(told, revision=told.revision + 1, lines=lines)
        await outbox.append(conn, tenant, unbilled_message(told))
    await store.save_told(conn, tenant, told, told_changes=told_changes)


async def _priced(
    conn: AsyncConnection, tenant: Tenant, customer_id: str, rated: RatedPeriod
) -> Content:
    """Return what a period would bill now, with its taxes, less what was billed before."""
    early = await show_early(conn, tenant, rated.period_id, [rated])
    content = compose(rated.period_id, [rated], early.shares_minor)
    sellers = await entities.load_entities(conn, tenant)
    known = await parties.find_customers(conn, tenant, [customer_id])
    codes: Sequence[str] | None = sellers.default.default_tax_codes
    if customer_id in known:
        buyer = known[customer_id]
        codes = buyer.tax_codes(sellers.selling_to(buyer.profile, ""))
    named = {code for line in content.lines for code in line.fee.tax_codes}
    rates = await taxes.load_taxes(conn, tenant, named | set(codes or ()))
    default = None if codes is None else tuple(codes)
    return with_taxes(content, TaxTerms(default, rates))


def unbilled_message(told: Unbilled) -> events_pb2.UnbilledAmountChanged:
    """Write the fact that what is unbilled changed."""
    return events_pb2.UnbilledAmountChanged(
        customer_id=told.customer_id,
        currency_code=told.currency,
        period_id=str(told.period_id),
        subscription_id=told.subscription_id,
        revision=told.revision,
        lines=[
            events_pb2.UnbilledLine(
                fee_kind=line.fee_kind,
                meter_code=line.meter_code,
                gross_minor=line.gross_minor,
                period=period_message(line.period.start, line.period.end),
            )
            for line in told.lines
        ],
    )
