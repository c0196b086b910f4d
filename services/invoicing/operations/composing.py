"""Composing invoices: what coupons take off of them, their taxes, and what credit notes pay."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.tenant import Tenant
from services.invoicing.domain.applied_coupon import AppliedCoupon, CouponStatus
from services.invoicing.domain.coupon import in_order, use_coupons
from services.invoicing.domain.invoice import Content, Invoice, with_coupons, with_notes, with_taxes
from services.invoicing.domain.note_use import apply_notes, left_of
from services.invoicing.domain.tax import TaxTerms
from services.invoicing.store import coupon_uses, entities, note_applications, parties, taxes


async def take_coupons(
    conn: AsyncConnection,
    tenant: Tenant,
    drafts: Mapping[UUID, Invoice],
    composed: Mapping[UUID, Content],
    *,
    consume: bool = False,
) -> dict[UUID, Content]:
    """Take the coupons of the drafts' customers off of them, in the order of `composed`.

    With `consume` what is taken is used for good, and locked to the end of the transaction; without
    it shows what would be.
    """
    customers = {drafts[invoice_id].customer_id for invoice_id in composed}
    active = await coupon_uses.find_active(conn, tenant, customers, lock=consume)
    sellers = await entities.load_entities(conn, tenant)
    taken: dict[UUID, Content] = {}
    used: dict[UUID, AppliedCoupon] = {}
    for invoice_id, content in composed.items():
        draft = drafts[invoice_id]
        of_customer = [] if draft.kind.bare else active.get(draft.customer_id, [])
        standing = (used.get(one.applied_coupon_id, one) for one in of_customer)
        coupons = {
            one.applied_coupon_id: one for one in standing if one.status is CouponStatus.ACTIVE
        }
        order = sellers.named(draft.entity_code).coupon_order
        ordered = in_order((one.opened() for one in coupons.values()), order)
        uses = use_coupons(content.lines, draft.currency, ordered)
        taken[invoice_id] = with_coupons(content, uses)
        for use in uses:
            coupon_id = use.coupon.applied_coupon_id
            used[coupon_id] = coupons[coupon_id].used(use.amount_minor)
    if consume:
        await coupon_uses.save_used(conn, tenant, list(used.values()))
    return taken


async def take_taxes(
    conn: AsyncConnection,
    tenant: Tenant,
    drafts: Mapping[UUID, Invoice],
    composed: Mapping[UUID, Content],
) -> dict[UUID, Content]:
    """Tax drafts by what their fees name, or else by what their customers or the entity name.

    Raises:
        TaxNotFound: a fee names a tax that does not exist (yet).
    """
    named = {drafts[invoice_id].customer_id for invoice_id in composed}
    customers = await parties.find_customers(conn, tenant, named)
    sellers = await entities.load_entities(conn, tenant)
    default = {
        invoice_id: customers[draft.customer_id].tax_codes(sellers.named(draft.entity_code))
        for invoice_id, draft in drafts.items()
        if invoice_id in composed
    }
    codes = {code for of_invoice in default.values() for code in of_invoice or ()}
    for content in composed.values():
        codes.update(code for line in content.lines for code in line.fee.tax_codes)
    known = await taxes.load_taxes(conn, tenant, codes)
    taxed: dict[UUID, Content] = {}
    for invoice_id, content in composed.items():
        draft = drafts[invoice_id]
        default_codes = None if draft.kind.bare else default[invoice_id]
        taxed[invoice_id] = with_taxes(content, TaxTerms(default_codes, known))
    return taxed


async def take_notes(
    conn: AsyncConnection,
    tenant: Tenant,
    drafts: Mapping[UUID, Invoice],
    composed: Mapping[UUID, Content],
) -> dict[UUID, Content]:
    """Pay drafts with what their customers' credit notes have left, in the order of the drafts."""
    customers = {drafts[invoice_id].customer_id for invoice_id in composed}
    open_notes = await note_applications.lock_open_notes(conn, tenant, customers)
    noted = {note.credit_note_id: note.invoice_id for each in open_notes.values() for note in each}
    paid: dict[UUID, Content] = {}
    for invoice_id, content in composed.items():
        draft = drafts[invoice_id]
        notes = open_notes.get(draft.customer_id, [])
        usable = [] if draft.kind.bare else notes
        applied = apply_notes(
            invoice_id,
            draft.currency,
            content.gross_minor,
            usable,
            entity_code=draft.entity_code,
        )
        open_notes[draft.customer_id] = left_of(notes, applied)
        paid[invoice_id] = with_notes(content, applied)
    applications = {invoice_id: content.notes for invoice_id, content in paid.items()}
    await note_applications.save_applications(conn, tenant, applications, noted)
    return paid
