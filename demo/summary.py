"""`summary.json`: all invoices of the demo, for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from tally.invoicing.v1.invoice_service_pb2 import Invoice, InvoiceLine, LineKind


def summarize(invoices: Mapping[str, Sequence[Invoice]]) -> dict[str, Any]:
    """Return the invoices by story. Times are RFC 3339 in UTC, units decimal strings."""
    return {
        "stories": {
            name: {"invoices": [_invoice(invoice) for invoice in told]}
            for name, told in invoices.items()
        }
    }


def _invoice(invoice: Invoice) -> dict[str, Any]:
    return {
        "number": invoice.number,
        "customer": invoice.customer_id,
        "period_start": _time(invoice.period.start),
        "period_end": _time(invoice.period.end),
        "currency": invoice.currency_code,
        "lines": [_line(line) for line in invoice.lines],
        "subtotal_minor": invoice.subtotal_minor,
        "tax_minor": invoice.tax_minor,
        "credits_minor": invoice.credits_minor,
        "total_minor": invoice.total_minor,
        "trace_id": invoice.trace_id,
    }


def _line(line: InvoiceLine) -> dict[str, Any]:
    return {
        "code": "base" if line.kind == LineKind.LINE_KIND_BASE else line.charge_code,
        "filter": line.filter_code,
        "units": line.units,
        "amount_minor": line.amount_minor,
    }


def _time(stamp: Timestamp) -> str:
    return stamp.ToDatetime(tzinfo=UTC).isoformat().replace("+00:00", "Z")
