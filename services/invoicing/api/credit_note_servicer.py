"""The gRPC face of credit notes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.errors import FieldInvalid
from libs.wire import (
    Faults,
    fitting,
    page_token,
    parse_page,
    parse_request,
    parse_text,
    parse_uuid,
)
from services.invoicing.api.parsing import parse_before, parse_format
from services.invoicing.document.render import render_credit_note
from services.invoicing.domain.credit_note import NoteItem
from services.invoicing.operations import noting, reading
from services.invoicing.operations.messages import credit_note_message
from services.invoicing.operations.noting import NoteOrder
from tally.invoicing.v1 import credit_note_service_pb2 as pb
from tally.invoicing.v1.credit_note_service_pb2_grpc import CreditNoteServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]

ITEMS_MAX = 1_000
REASON_BYTES_MAX = 500


class CreditNoteServicer(CreditNoteServiceServicer):
    """Serves credit notes."""

    def __init__(self, engine: AsyncEngine, clock: Clock, committed: Callable[[], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._committed = committed  # Called after each commit that may have announced facts.

    async def GetCreditNote(
        self, request: pb.GetCreditNoteRequest, context: Context
    ) -> pb.GetCreditNoteResponse:
        match request.WhichOneof("key"):
            case "credit_note_id":
                note_id = parse_uuid(request.credit_note_id, "credit_note_id")
                note = await noting.get_note(self._engine, tenant(), note_id=note_id)
            case "number":
                number = parse_text(request.number, "number")
                note = await noting.get_note(self._engine, tenant(), number=number)
            case _:
                raise FieldInvalid("key", "name a credit_note_id or a number")
        return pb.GetCreditNoteResponse(credit_note=credit_note_message(note))

    async def RenderCreditNote(
        self, request: pb.RenderCreditNoteRequest, context: Context
    ) -> pb.RenderCreditNoteResponse:
        form = parse_format(request.format)
        note_id = parse_uuid(request.credit_note_id, "credit_note_id")
        note = await noting.get_note(self._engine, tenant(), note_id=note_id)
        invoice = await reading.get_invoice(self._engine, tenant(), invoice_id=note.invoice_id)
        document = await asyncio.to_thread(render_credit_note, note, invoice, form)
        return pb.RenderCreditNoteResponse(
            document=document.content,
            media_type=document.media_type,
            file_name=document.file_name,
        )

    async def ListCreditNotes(
        self, request: pb.ListCreditNotesRequest, context: Context
    ) -> pb.ListCreditNotesResponse:
        page = parse_page(request.page_size, request.page_token)
        found = await noting.list_notes(
            self._engine,
            tenant(),
            customer_id=parse_text(request.customer_id, "customer_id", required=False),
            invoice_id=parse_uuid(request.invoice_id, "invoice_id") if request.invoice_id else None,
            before=parse_before(page.token),
            limit=page.size + 1,
        )
        shown = fitting([credit_note_message(note) for _, note in found[: page.size]])
        more = len(found) > len(shown)
        return pb.ListCreditNotesResponse(
            credit_notes=shown, next_page_token=page_token(found[len(shown) - 1][0]) if more else ""
        )

    async def CreateCreditNote(
        self, request: pb.CreateCreditNoteRequest, context: Context
    ) -> pb.CreateCreditNoteResponse:
        command = parse_request(request, request.request_id)
        order = parse_order(request)
        if request.validate_only:
            return await noting.estimate_note(self._engine, tenant(), order)
        now = self._clock.now()
        answer = await noting.create_note(self._engine, tenant(), command, order, now=now)
        self._committed()
        return answer

    async def VoidCreditNote(
        self, request: pb.VoidCreditNoteRequest, context: Context
    ) -> pb.VoidCreditNoteResponse:
        answer = await noting.void_note(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_uuid(request.credit_note_id, "credit_note_id"),
            now=self._clock.now(),
        )
        self._committed()
        return answer


def parse_order(request: pb.CreateCreditNoteRequest) -> NoteOrder:
    """Read what is to be given back.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    faults = Faults()
    with faults.gathered():
        invoice_id = parse_uuid(request.invoice_id, "invoice_id")
    with faults.gathered():
        parse_text(request.reason, "reason", bytes_max=REASON_BYTES_MAX, required=False)
    if not 1 <= len(request.items) <= ITEMS_MAX:
        faults.add("items", f"{len(request.items)} lines, must be 1 to {ITEMS_MAX}")
    items: dict[UUID, NoteItem] = {}
    for place, item in enumerate(request.items[:ITEMS_MAX]):
        with faults.gathered():
            line_id = parse_uuid(item.line_id, f"items[{place}].line_id")
            if line_id in items:
                raise FieldInvalid(f"items[{place}].line_id", f"{line_id} is named twice")
            items[line_id] = NoteItem(line_id, item.amount_minor)
        if item.amount_minor <= 0:
            faults.add(f"items[{place}].amount_minor", f"is {item.amount_minor}, must be above 0")
    faults.check()
    return NoteOrder(invoice_id, tuple(items.values()), request.reason)
