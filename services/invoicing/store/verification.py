"""What a verification reads: frozen invoices with all their parts, and the series of numbers.

The connection is a snapshot (`libs.db.Snapshots`), and decides of whose rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Table, func, literal, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.difference import Difference, compared
from services.invoicing.domain.add_on import given
from services.invoicing.domain.coupon import CouponUse
from services.invoicing.domain.credit_note import NoteItem
from services.invoicing.domain.invoice import Credit, Kind, Status
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.domain.note_use import NoteApplication
from services.invoicing.domain.note_verification import UsedNote
from services.invoicing.domain.verification import FrozenInvoice
from services.invoicing.store.add_ons import add_on_of
from services.invoicing.store.adjusted_fees import adjusted_of
from services.invoicing.store.coupon_uses import load_uses
from services.invoicing.store.credit_notes import note_of
from services.invoicing.store.encoding import from_json
from services.invoicing.store.invoices import ADJUSTMENT, CLOSE, adjustment_purpose
from services.invoicing.store.late import Outcome
from services.invoicing.store.note_schema import (
    credit_note_applications,
    credit_note_items,
    credit_notes,
)
from services.invoicing.store.parts import line_of, tax_of
from services.invoicing.store.party_schema import customers, number_series
from services.invoicing.store.schema import (
    add_ons,
    adjusted_fees,
    adjustments,
    invoice_credits,
    invoice_lines,
    invoice_periods,
    invoice_taxes,
    invoices,
)
from services.invoicing.store.series import (
    CREDIT_NOTES,
    CUSTOMER_CREDIT_NOTES,
    CUSTOMER_INVOICES,
    CUSTOMERS,
    INVOICES,
)

BROKEN_MAX = 1_000

Key = tuple[int, UUID]  # Tenant, and invoice or period.


@dataclass(frozen=True, slots=True)
class Billed:
    """On how many live invoices a close is, and what waits for one: an adjustment's answer.

    `given_back_minor` is what credit notes gave back of an adjustment that became some.
    """

    invoice_count: int
    waits: bool
    waiting: RatedPeriod | None
    given_back_minor: int | None = None
    voided: bool = False  # An invoice billed it, and was voided.


async def load_frozen(
    conn: AsyncConnection, *, after: Key | None, limit: int
) -> list[FrozenInvoice]:
    """Return invoices that are no drafts, by tenant and id, after that key."""
    key = tuple_(invoices.c.tenant, invoices.c.invoice_id)
    query = select(invoices).where(invoices.c.status != Status.DRAFT)
    if after is not None:
        query = query.where(key > after)
    found = (await conn.execute(query.order_by(*key.clauses).limit(limit))).all()
    keys = [(row.tenant, row.invoice_id) for row in found]
    coupons = await load_uses(conn, keys)
    lines, taxes, credits, billed, notes, given_by_hand, adjusted = [
        await _load_parts(conn, table, keys, order)
        for table, order in (
            (invoice_lines, invoice_lines.c.position),
            (invoice_taxes, invoice_taxes.c.position),
            (invoice_credits, invoice_credits.c.position),
            (invoice_periods, invoice_periods.c.period_id),
            (credit_note_applications, credit_note_applications.c.position),
            (add_ons, add_ons.c.position),
            (adjusted_fees, adjusted_fees.c.line_id),
        )
    ]
    return [
        _frozen_of(
            row,
            lines=lines.get(of, []),
            coupons=coupons.get(of, []),
            taxes=taxes.get(of, []),
            credits=credits.get(of, []),
            billed=billed.get(of, []),
            notes=notes.get(of, []),
            by_hand=given_by_hand.get(of, []),
            adjusted=adjusted.get(of, []),
        )
        for of, row in zip(keys, found, strict=True)
    ]


async def load_statuses(conn: AsyncConnection, invoice_ids: Collection[UUID]) -> dict[Key, Status]:
    """Return where invoices stand."""
    query = select(invoices.c.tenant, invoices.c.invoice_id, invoices.c.status)
    rows = await conn.execute(query.where(invoices.c.invoice_id.in_(invoice_ids)))
    return {(row.tenant, row.invoice_id): Status(row.status) for row in rows}


async def load_billed(
    conn: AsyncConnection, closes: Sequence[tuple[int, UUID, int]]
) -> dict[tuple[int, UUID, int], Billed]:
    """Return where closes, given by tenant, period and sequence, are billed."""
    period_ids = {period_id for _, period_id, _ in closes}
    billings = invoice_periods.c
    same = (invoices.c.tenant == billings.tenant) & (invoices.c.invoice_id == billings.invoice_id)
    on_invoices = (
        select(invoice_periods, invoices.c.status)
        .join(invoices, same)
        .where(billings.period_id.in_(period_ids))
    )
    counted: Counter[tuple[int, UUID, str]] = Counter()
    voided: set[tuple[int, UUID, str]] = set()
    for billing in await conn.execute(on_invoices):
        key = (billing.tenant, billing.period_id, billing.purpose)
        counted[key] += billing.live
        if billing.status == Status.VOIDED:
            voided.add(key)
    asked = select(adjustments).where(adjustments.c.period_id.in_(period_ids))
    waiting = {(row.tenant, row.period_id, row.sequence): row for row in await conn.execute(asked)}
    given_back = await _load_given_back(conn, period_ids)
    found = {}
    for close in closes:
        tenant, period_id, sequence = close
        purpose = adjustment_purpose(sequence) if sequence else CLOSE
        row = waiting.get(close)
        rated = None if row is None else row.rated
        given = None
        if row is not None and row.outcome == Outcome.NOTE:
            given = given_back[close] + row.covered_minor
        found[close] = Billed(
            invoice_count=counted[tenant, period_id, purpose],
            waits=row is not None,
            waiting=None if rated is None else from_json(rated, RatedPeriod),
            given_back_minor=given,
            voided=(tenant, period_id, purpose) in voided,
        )
    return found


async def find_number_faults(conn: AsyncConnection) -> list[Difference]:
    """Return gaps and doubles in each series of numbers, and series that stand elsewhere."""
    taken = _taken_numbers()
    key = (taken.c.tenant, taken.c.kind, taken.c.key)
    before = func.lag(taken.c.number, 1, 0).over(partition_by=key, order_by=taken.c.number)
    followed = select(*key, taken.c.number, before.label("before")).subquery("followed")
    gaps = select(followed).where(followed.c.number != followed.c.before + 1)
    found = [
        one
        for row in await conn.execute(gaps.limit(BROKEN_MAX))
        for one in compared(
            row.tenant,
            "number series",
            _series_names(row),
            next_number=(row.number, row.before + 1),
        )
    ]
    newest = select(*key, func.max(taken.c.number).label("number")).group_by(*key).subquery()
    same = (
        (newest.c.tenant == number_series.c.tenant)
        & (newest.c.kind == number_series.c.kind)
        & (newest.c.key == number_series.c.key)
    )
    last, number = (func.coalesce(column, 0) for column in (number_series.c.last, newest.c.number))
    ends = (
        select(
            func.coalesce(newest.c.tenant, number_series.c.tenant).label("tenant"),
            func.coalesce(newest.c.kind, number_series.c.kind).label("kind"),
            func.coalesce(newest.c.key, number_series.c.key).label("key"),
            last.label("last"),
            number.label("number"),
        )
        .select_from(number_series.join(newest, same, full=True))
        .where(last != number)
    )
    return found + [
        one
        for row in await conn.execute(ends.limit(BROKEN_MAX))
        for one in compared(
            row.tenant, "number series", _series_names(row), last=(row.last, row.number)
        )
    ]


async def _load_parts(
    conn: AsyncConnection, table: Table, keys: Sequence[Key], order: Any
) -> dict[Key, list[Row[Any]]]:
    of_invoice = tuple_(table.c.tenant, table.c.invoice_id).in_(keys)
    found: dict[Key, list[Row[Any]]] = {}
    for row in await conn.execute(select(table).where(of_invoice).order_by(order)):
        found.setdefault((row.tenant, row.invoice_id), []).append(row)
    return found


async def load_notes(conn: AsyncConnection, keys: Sequence[Key]) -> dict[Key, list[UsedNote]]:
    """Return the credit notes on invoices, oldest first, and how much of each was used."""
    of_invoice = tuple_(credit_notes.c.tenant, credit_notes.c.invoice_id).in_(keys)
    query = select(credit_notes, literal("").label("invoice_number")).where(of_invoice)
    rows = (await conn.execute(query.order_by(credit_notes.c.ordinal))).all()
    ids = [(row.tenant, row.credit_note_id) for row in rows]
    items: dict[Key, list[NoteItem]] = {}
    of_note = tuple_(credit_note_items.c.tenant, credit_note_items.c.credit_note_id).in_(ids)
    placed = select(credit_note_items).where(of_note).order_by(credit_note_items.c.position)
    for row in await conn.execute(placed):
        item = NoteItem(row.line_id, row.amount_minor)
        items.setdefault((row.tenant, row.credit_note_id), []).append(item)
    applications = credit_note_applications.c
    of_note = tuple_(applications.tenant, applications.credit_note_id).in_(ids)
    used: Counter[Key] = Counter()
    for row in await conn.execute(select(credit_note_applications).where(of_note)):
        used[row.tenant, row.credit_note_id] += row.amount_minor
    found: dict[Key, list[UsedNote]] = {}
    for key, row in zip(ids, rows, strict=True):
        note = note_of(row, items.get(key, []))
        found.setdefault((row.tenant, row.invoice_id), []).append(UsedNote(note, used[key]))
    return found


async def _load_given_back(
    conn: AsyncConnection, period_ids: Collection[UUID]
) -> Counter[tuple[int, UUID, int]]:
    """Return what notes of adjustments give back, by tenant, period and sequence."""
    query = select(credit_notes).where(credit_notes.c.period_id.in_(period_ids))
    given: Counter[tuple[int, UUID, int]] = Counter()
    for row in await conn.execute(query):
        given[row.tenant, row.period_id, row.adjustment_sequence] += row.items_minor
    return given


def _frozen_of(
    row: Row[Any],
    *,
    lines: Sequence[Row[Any]],
    coupons: Sequence[CouponUse],
    taxes: Sequence[Row[Any]],
    credits: Sequence[Row[Any]],
    billed: Sequence[Row[Any]],
    notes: Sequence[Row[Any]],
    by_hand: Sequence[Row[Any]],
    adjusted: Sequence[Row[Any]],
) -> FrozenInvoice:
    return FrozenInvoice(
        tenant=row.tenant,
        invoice_id=row.invoice_id,
        kind=Kind(row.kind),
        status=Status(row.status),
        customer_id=row.customer_id,
        currency=row.currency,
        number=row.number or "",
        sequences=(row.entity_sequence, row.customer_sequence),
        progressive_credit_minor=row.progressive_credit_minor,
        coupons_minor=row.coupons_minor,
        subtotal_minor=row.subtotal_minor,
        tax_minor=row.tax_minor,
        credit_notes_minor=row.credit_notes_minor,
        credits_minor=row.credits_minor,
        total_minor=row.total_minor,
        content_hash=row.content_hash,
        lines=tuple(line_of(line) for line in lines),
        coupons=tuple(coupons),
        default_tax_codes=None if row.default_tax_codes is None else tuple(row.default_tax_codes),
        taxes=tuple(tax_of(tax) for tax in taxes),
        notes=tuple(NoteApplication(one.credit_note_id, one.amount_minor) for one in notes),
        credits=tuple(_credit_of(credit) for credit in credits),
        closed=tuple(one.period_id for one in billed if one.purpose == CLOSE),
        adjusted=tuple(
            (one.period_id, int(one.purpose.rpartition(" ")[2]))
            for one in billed
            if one.purpose.startswith(ADJUSTMENT)
        ),
        crossing_id=row.alone if row.kind == Kind.PROGRESSIVE else None,
        adjusted_fees=tuple(adjusted_of(one) for one in adjusted),
        by_hand=tuple(
            given(
                row.invoice_id,
                row.currency,
                [add_on_of(one) for one in by_hand],
                at=row.created_at.astimezone(UTC),
                zone=row.time_zone,
            )
        ),
    )


def _credit_of(row: Row[Any]) -> Credit:
    return Credit(row.line_id, row.wallet_id, row.grant_id, row.amount_minor, row.captured)


def _taken_numbers() -> Any:
    """Select every number that was taken from a series."""
    finalized = invoices.c.status.in_([Status.FINALIZED, Status.VOIDED])
    return union_all(
        select(
            invoices.c.tenant,
            literal(INVOICES).label("kind"),
            invoices.c.entity_code.label("key"),
            invoices.c.entity_sequence.label("number"),
        ).where(finalized, invoices.c.entity_sequence.is_not(None)),
        select(
            invoices.c.tenant,
            literal(CUSTOMER_INVOICES),
            invoices.c.entity_code + "/" + invoices.c.customer_id,
            invoices.c.customer_sequence,
        ).where(finalized),
        select(customers.c.tenant, literal(CUSTOMERS), literal(""), customers.c.number),
        select(
            credit_notes.c.tenant,
            literal(CREDIT_NOTES),
            credit_notes.c.entity_code,
            credit_notes.c.entity_sequence,
        ).where(credit_notes.c.entity_sequence.is_not(None)),
        select(
            credit_notes.c.tenant,
            literal(CUSTOMER_CREDIT_NOTES),
            credit_notes.c.entity_code + "/" + credit_notes.c.customer_id,
            credit_notes.c.customer_sequence,
        ),
    ).subquery("taken")


def _series_names(row: Row[Any]) -> dict[str, str]:
    entity_code, _, customer_id = row.key.partition("/")
    named = {"series": row.kind, "billing_entity": entity_code, "customer_id": customer_id}
    return {key: value for key, value in named.items() if value}
