"""How long the PDF of an invoice takes: each another one, so that nothing is remembered of it."""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

from services.invoicing.document.render import render_invoice
from tests.unit.invoicing import examples

PDFS = 30
MILLIS = 1_000


def pdf_ms() -> tuple[float, float]:
    """Return the milliseconds that the PDF of a month takes, by the clock and of processor time."""
    invoice = examples.invoice()
    render_invoice(invoice)  # The fonts are read once.
    waited: list[float] = []
    worked = time.process_time()
    for place in range(PDFS):
        lines = tuple(
            replace(line, fee=replace(line.fee, amount_minor=line.fee.amount_minor + place))
            for line in invoice.lines
        )
        other = replace(invoice, number=f"INV-{place}", lines=lines, trace_id=f"{place:032}")
        started = time.perf_counter()
        render_invoice(other)
        waited.append((time.perf_counter() - started) * MILLIS)
    return median(waited), (time.process_time() - worked) * MILLIS / PDFS
