"""Renders invoices with typst. Nothing but the invoice goes in: no clock, no fonts from outside."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import datetime
from functools import cache
from importlib import resources

import typst

from services.invoicing.document.view import view_of
from services.invoicing.domain.invoice import Invoice


def render_invoice(invoice: Invoice) -> bytes:
    """Return the invoice as a PDF. The same invoice gives the same bytes.

    What users wrote goes in as JSON, never as source: it cannot become markup.
    """
    compiled = typst.compile(
        template(),
        font_paths=fonts(),
        format="pdf",
        sys_inputs={"invoice": json.dumps(asdict(view_of(invoice)), ensure_ascii=False)},
        timestamp=dated(invoice),
    )
    assert isinstance(compiled, bytes)
    return compiled


@cache
def template() -> bytes:
    """Return the layout."""
    return resources.files(__package__).joinpath("invoice.typ").read_bytes()


@cache
def fonts() -> typst.Fonts:
    """Return the fonts inside typst, and no others: the machine must not show."""
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)


def dated(invoice: Invoice) -> datetime:
    """Return the instant that the PDF's metadata give as that of its making, in whole seconds."""
    return (invoice.finalized_at or invoice.created_at).replace(microsecond=0)
