"""Renders documents: with typst as PDF, or as a page of HTML.

Nothing but what they say goes in: no clock, no fonts from outside.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import assert_never

import typst

from services.invoicing.document.html import html_of
from services.invoicing.document.note_view import note_view_of
from services.invoicing.document.view import DocumentView, view_of
from services.invoicing.domain.credit_note import CreditNote
from services.invoicing.domain.invoice import Invoice


class Format(StrEnum):
    """What a document is rendered as; the value is how its file's name ends."""

    PDF = "pdf"
    HTML = "html"


MEDIA_TYPES = {Format.PDF: "application/pdf", Format.HTML: "text/html; charset=utf-8"}


@dataclass(frozen=True, slots=True)
class Document:
    """A rendered document, and what a browser saves it as."""

    content: bytes
    media_type: str
    file_name: str


def render_invoice(invoice: Invoice, form: Format = Format.PDF) -> Document:
    """Return the document of an invoice. The same invoice gives the same bytes."""
    name = invoice.number or f"draft-{invoice.invoice_id}"
    return render(view_of(invoice), form, name, at=invoice.finalized_at or invoice.created_at)


def render_credit_note(note: CreditNote, invoice: Invoice, form: Format = Format.PDF) -> Document:
    """Return the document of a credit note on `invoice`. The same note gives the same bytes."""
    return render(note_view_of(note, invoice), form, note.number, at=note.issued_at)


def render(view: DocumentView, form: Format, name: str, *, at: datetime) -> Document:
    """Return a document as it was made `at` an instant."""
    match form:
        case Format.PDF:
            content = pdf_of(view, at)
        case Format.HTML:
            content = html_of(view).encode()
        case _:
            assert_never(form)
    return Document(content, MEDIA_TYPES[form], f"{name}.{form}")


def pdf_of(view: DocumentView, at: datetime) -> bytes:
    """Return a PDF whose metadata give `at`, in whole seconds, as that of its making.

    What users wrote goes in as JSON, never as source: it cannot become markup.
    """
    compiled = typst.compile(
        template(),
        font_paths=fonts(),
        format="pdf",
        sys_inputs={"document": json.dumps(asdict(view), ensure_ascii=False)},
        timestamp=at.replace(microsecond=0),
    )
    assert isinstance(compiled, bytes)
    return compiled


@cache
def template() -> bytes:
    """Return the layout."""
    return resources.files(__package__).joinpath("document.typ").read_bytes()


@cache
def fonts() -> typst.Fonts:
    """Return the fonts inside typst, and no others: the machine must not show."""
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)
