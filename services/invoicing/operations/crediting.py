"""Issuing credit notes, and which adjustments become some."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from libs import outbox, telemetry
from libs.period import local_day
from libs.tenant import Tenant
from services.invoicing.domain.credit_note import (
    Creditable,
    CreditNote,
    NoteAmounts,
    NoteStatus,
    price_note,
)
from services.invoicing.domain.giving_back import BilledInvoice, GivenBack, give_back
from services.invoicing.domain.invoice import Invoice, Status
from services.invoicing.domain.line import RatedPeriod
from services.invoicing.domain.numbering import credit_note_number, place_of
from services.invoicing.operations.messages import credit_note_message
from services.invoicing.store import credit_notes as store
from services.invoicing.store import entities, invoices, parties, parts, series
from tally.invoicing.v1.events_pb2 import CreditNoteIssued


@dataclass(frozen=True, slots=True)
class NewNote:
    """A credit note to be made on a locked, finalized invoice."""

    invoice: Invoice
    amounts: NoteAmounts
    reason: str
    period_id: UUID | None = None
    sequence: int = 0
    crediting_invoice_id: UUID | None = None


@dataclass(slots=True)
class Decided:
    """What becomes of adjustments below zero.

    `notes` are those that notes were made of, each with what counted as given back by hand;
    `waiting` wait until the invoice of their period is finalized; `lines` are to be billed.
    """

    notes: list[tuple[RatedPeriod, int]] = field(default_factory=list)
    waiting: list[RatedPeriod] = field(default_factory=list)
    lines: list[RatedPeriod] = field(default_factory=list)


class Credited:
    """Locked invoices, and what is left of them while one note after the other is made."""

    def __init__(
        self,
        whole: Mapping[UUID, Invoice],
        left: Mapping[UUID, Creditable],
        by_hand: Mapping[UUID, int],
        covered: Mapping[UUID, int],
    ) -> None:
        self.whole = whole
        self._left = dict(left)
        self._by_hand = by_hand
        self._covered = Counter(covered)

    def billed(self, period_id: UUID, invoice_ids: Sequence[UUID]) -> list[BilledInvoice]:
        """Return the finalized ones of the invoices with their lines of a period."""
        return [
            BilledInvoice(
                invoice_id,
                tuple(one for one in self.whole[invoice_id].lines if one.period_id == period_id),
                self._left[invoice_id],
            )
            for invoice_id in invoice_ids
            if invoice_id in self.whole
        ]

    def by_hand_minor(self, period_id: UUID, billed: Iterable[BilledInvoice]) -> int:
        """Return what was given back of a period by hand and no adjustment was set against yet."""
        lines = (line.line_id for one in billed for line in one.lines)
        return sum(self._by_hand.get(line_id, 0) for line_id in lines) - self._covered[period_id]

    def notes_of(self, adjustment: RatedPeriod, given: GivenBack) -> list[NewNote]:
        """Return the notes of an adjustment, and take them off of what is left."""
        self._covered[adjustment.period_id] += given.covered_minor
        made: list[NewNote] = []
        for invoice_id, items in given.items.items():
            left = self._left[invoice_id]
            amounts = price_note(left, items)
            self._left[invoice_id] = replace(left, notes=(*left.notes, amounts))
            made.append(
                NewNote(
                    self.whole[invoice_id],
                    amounts,
                    f"Adjustment of {adjustment.subscription_id}",
                    adjustment.period_id,
                    adjustment.sequence,
                )
            )
        return made


async def credit_adjustments(
    conn: AsyncConnection,
    tenant: Tenant,
    negative: Sequence[RatedPeriod],
    *,
    now: datetime,
    freezing: Collection[UUID] = (),
) -> Decided:
    """Make notes of adjustments below zero on the invoices that billed their periods.

    Those of a period that a draft in `freezing` bills are lines of it, and so is what the invoices
    have no room for. The caller has locked the adjustments.
    """
    decided = Decided()
    if not negative:
        return decided
    billing = await store.find_billing(conn, tenant, {one.period_id for one in negative})
    credited = await lock_credited(conn, tenant, billing)
    found = await invoices.load_invoices(
        conn, tenant, {invoice_id for each in billing.values() for invoice_id in each}
    )
    new: list[NewNote] = []
    for one in sorted(negative, key=lambda one: (one.period_id, one.sequence)):
        invoice_ids = billing[one.period_id]
        unfinished = {
            invoice_id
            for invoice_id in invoice_ids
            if found[invoice_id].status in (Status.DRAFT, Status.FINALIZING)
        }
        if unfinished:
            (decided.lines if unfinished & set(freezing) else decided.waiting).append(one)
            continue
        billed = credited.billed(one.period_id, invoice_ids)
        given = give_back(one, billed, by_hand_minor=credited.by_hand_minor(one.period_id, billed))
        if given is None:
            decided.lines.append(one)
            continue
        decided.notes.append((one, given.covered_minor))
        new += credited.notes_of(one, given)
    await issue_notes(conn, tenant, new, now=now)
    return decided


async def lock_credited(
    conn: AsyncConnection, tenant: Tenant, billing: Mapping[UUID, Sequence[UUID]]
) -> Credited:
    """Lock the finalized invoices that bill periods, and return what is left of them."""
    invoice_ids = sorted({invoice_id for each in billing.values() for invoice_id in each})
    found = await invoices.load_invoices(conn, tenant, invoice_ids)
    finalized = [one for one in invoice_ids if found[one].status is Status.FINALIZED]
    locked = await invoices.lock_invoices(conn, tenant, finalized)
    whole = await parts.with_parts(conn, tenant, locked.values())
    return Credited(
        {one.invoice_id: one for one in whole},
        await store.load_creditable(conn, tenant, whole),
        await store.load_given_by_hand(conn, tenant, finalized),
        await store.load_covered(conn, tenant, billing.keys()),
    )


async def issue_notes(
    conn: AsyncConnection, tenant: Tenant, new: Sequence[NewNote], *, now: datetime
) -> list[CreditNote]:
    """Number, store and announce credit notes in this order, and return them."""
    if not new:
        return []
    sellers = await entities.load_entities(conn, tenant)
    customers = await parties.find_customers(conn, tenant, {one.invoice.customer_id for one in new})
    sequences = await series.take_sequences(
        conn,
        tenant,
        [place_of(one.invoice.entity_code, customers[one.invoice.customer_id]) for one in new],
        kind=series.CREDIT_NOTES,
    )
    numbered = [
        (
            note_of(
                one,
                credit_note_number(
                    sellers.named(one.invoice.entity_code),
                    sequence=sequence,
                    customer_number=customers[one.invoice.customer_id].number,
                    issued_at=now,
                ),
                now=now,
            ),
            one.invoice.entity_code,
            sequence,
        )
        for one, sequence in zip(new, sequences, strict=True)
    ]
    await store.insert_notes(conn, tenant, numbered)
    notes = [note for note, _, _ in numbered]
    headers = telemetry.headers()
    await outbox.append_all(
        conn,
        [
            (tenant, CreditNoteIssued(credit_note=credit_note_message(note)), headers)
            for note in notes
        ],
    )
    return notes


def note_of(new: NewNote, number: str, *, now: datetime) -> CreditNote:
    """Return the credit note that `new` becomes."""
    invoice, amounts = new.invoice, new.amounts
    return CreditNote(
        credit_note_id=uuid4(),
        number=number,
        status=NoteStatus.AVAILABLE,
        invoice_id=invoice.invoice_id,
        invoice_number=invoice.number,
        customer_id=invoice.customer_id,
        currency=invoice.currency,
        reason=new.reason,
        period_id=new.period_id,
        sequence=new.sequence,
        crediting_invoice_id=new.crediting_invoice_id,
        items=amounts.items,
        subtotal_minor=amounts.subtotal_minor,
        tax_minor=amounts.tax_minor,
        total_minor=amounts.total_minor,
        balance_minor=amounts.total_minor,
        issue_date=local_day(now, ZoneInfo(invoice.time_zone)),
        issued_at=now,
        voided_at=None,
        trace_id=telemetry.trace_id(),
    )
