"""What invoices credit of progressive ones, and the notes on what they have no room for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.invoicing.domain.credit_note import Creditable, price_note
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.line import RatedPeriod, lines_of
from services.invoicing.domain.progressive import Early, credit_early, early_invoice, joined
from services.invoicing.operations.crediting import NewNote
from services.invoicing.store import credit_notes, gathering, invoices, parts
from services.invoicing.store.progressive import find_early


@dataclass(frozen=True, slots=True)
class Billing:
    """What a draft bills: its periods as rating froze them, and the adjustments it was told."""

    invoice_id: UUID
    closed: Sequence[RatedPeriod]
    adjusted: Sequence[RatedPeriod] = ()


async def lock_early(
    conn: AsyncConnection, tenant: Tenant, billing: Sequence[Billing]
) -> tuple[dict[UUID, Early], list[NewNote]]:
    """Return what locked drafts credit of progressive invoices, and the notes on what is left.

    These are to be issued when nothing is locked any more after it: others wait for their numbers.
    Late periods that the drafts adjust are locked before, as everyone locks them, and all finalized
    invoices that the drafts may give something back of in one order.
    """
    await gathering.lock_late(
        conn, tenant, {each.period_id for one in billing for each in one.adjusted}
    )
    early_ids = await find_early(
        conn, tenant, {each.period_id for one in billing for each in one.closed}
    )
    if not early_ids:
        return {one.invoice_id: Early() for one in billing}, []
    negative = {each.period_id for one in billing for each in one.adjusted if each.amount_minor < 0}
    beside = await credit_notes.find_billing(conn, tenant, negative) if negative else {}
    every = {*_ids_of(early_ids), *_ids_of(beside)} - {one.invoice_id for one in billing}
    locked = await invoices.lock_invoices(conn, tenant, every)
    early = [locked[one] for one in _ids_of(early_ids)]
    whole = {one.invoice_id: one for one in await parts.with_parts(conn, tenant, early)}
    left = await credit_notes.load_creditable(conn, tenant, whole.values())
    credited = {
        one.invoice_id: credit_periods(one.invoice_id, one.closed, early_ids, whole, left)
        for one in billing
    }
    notes = [
        NewNote(
            whole[noted],
            price_note(left[noted], items),
            f"Billed before of {whole[noted].lines[0].subscription_id}",
            crediting_invoice_id=invoice_id,
        )
        for invoice_id, one in credited.items()
        for noted, items in one.given_back.items()
    ]
    return credited, notes


async def show_early(
    conn: AsyncConnection, tenant: Tenant, invoice_id: UUID, rated: Sequence[RatedPeriod]
) -> Early:
    """Return what a draft would credit now."""
    early_ids = await find_early(conn, tenant, {one.period_id for one in rated})
    if not early_ids:
        return Early()
    found = await invoices.load_invoices(conn, tenant, _ids_of(early_ids))
    whole = {one.invoice_id: one for one in await parts.with_parts(conn, tenant, found.values())}
    left = await credit_notes.load_creditable(conn, tenant, whole.values())
    return credit_periods(invoice_id, rated, early_ids, whole, left)


def credit_periods(
    invoice_id: UUID,
    rated: Sequence[RatedPeriod],
    early_ids: Mapping[UUID, Sequence[UUID]],
    whole: Mapping[UUID, Invoice],
    left: Mapping[UUID, Creditable],
) -> Early:
    """Return what the invoice of `rated` credits, over all its periods."""
    found = []
    for period in rated:
        early = [
            early_invoice(one, whole[one].lines, left[one].lines_left())
            for one in early_ids.get(period.period_id, ())
        ]
        if early:
            lines = lines_of(invoice_id, [period])
            found.append((early[-1].invoice_id, credit_early(lines, early)))
    return joined(found)


def _ids_of(by_period: Mapping[UUID, Collection[UUID]]) -> list[UUID]:
    return sorted({invoice_id for each in by_period.values() for invoice_id in each})
