"""What is billed by hand: units of something at a price, without a period."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pypdfium2

from services.invoicing.document.render import render_invoice
from services.invoicing.domain.add_on import AddOn, given
from services.invoicing.domain.invoice import Kind
from services.invoicing.operations.messages import invoice_message
from tally.invoicing.v1.invoice_service_pb2 import INVOICE_KIND_ONE_OFF, LINE_KIND_ADD_ON
from tests.unit.invoicing.samples import GST, INVOICE_ID, ZONE, composed, draft

AT = datetime(2014, 1, 31, 13, 10, tzinfo=UTC)  # 1 February in Melbourne.
SETUP = AddOn("setup", "Setup", Decimal(1), Decimal("99.995"))
HOURS = AddOn("hours", "Consulting", Decimal("2.5"), Decimal(80))


def test_add_ons_are_rounded_once_each_and_taxed_together() -> None:
    billed = given(INVOICE_ID, "AUD", [SETUP, HOURS], at=AT, zone=ZONE)
    content = composed(INVOICE_ID, billed, [GST])
    assert [line.fee.amount_minor for line in content.lines] == [10_000, 20_000]
    assert [line.fee.exact_amount for line in content.lines] == [Decimal("99.995"), Decimal(200)]
    assert (content.subtotal_minor, content.tax_minor) == (30_000, 3_000)


def test_no_add_ons_bill_nothing() -> None:
    assert given(INVOICE_ID, "AUD", [], at=AT, zone=ZONE) == []


def test_a_line_of_an_add_on_names_no_period() -> None:
    billed = given(INVOICE_ID, "AUD", [HOURS], at=AT, zone=ZONE)
    content = composed(INVOICE_ID, billed, [])
    message = invoice_message(replace(draft(), kind=Kind.ONE_OFF, lines=content.lines))
    [line] = message.lines
    assert message.kind == INVOICE_KIND_ONE_OFF
    assert (line.kind, line.charge_code, line.description) == (
        LINE_KIND_ADD_ON,
        "hours",
        "Consulting",
    )
    assert (line.period_id, line.HasField("period"), line.HasField("days")) == ("", False, False)


def test_the_document_shows_units_and_price_without_days() -> None:
    billed = given(INVOICE_ID, "AUD", [SETUP, HOURS], at=AT, zone=ZONE)
    content = composed(INVOICE_ID, billed, [GST])
    invoice = replace(draft(), lines=content.lines, subtotal_minor=content.subtotal_minor)
    [page] = pypdfium2.PdfDocument(render_invoice(invoice).content)
    text = " ".join(page.get_textpage().get_text_range().split())
    assert "Consulting 2.5 80.00 200.00" in text
    assert "2014 Setup" not in text
