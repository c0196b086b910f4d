"""What must hold of the demo's invoices before they are shown to anyone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC

from demo.failure import DemoFailed
from demo.story import Story
from tally.invoicing.v1.invoice_service_pb2 import Invoice
from tally.rating.v1.usage_service_pb2 import GetUsageResponse

TRACE_ID = re.compile(r"[0-9a-f]{32}")


def check_story(story: Story, invoices: Sequence[Invoice]) -> None:
    """Check that each period of a story became one invoice, and that its sums hold.

    Raises:
        DemoFailed: with all that is wrong.
    """
    faults = []
    ends = [invoice.period.end.ToDatetime(tzinfo=UTC) for invoice in invoices]
    wanted = [window.end for window in story.windows]
    if ends != wanted:
        faults.append(
            f"there are {len(ends)} invoices for periods that end at {_texts(ends)}, "
            f"not {len(wanted)} that end at {_texts(wanted)}"
        )
    faults += [f"{one.number}: {fault}" for one in invoices for fault in find_faults(one)]
    sequences = [int(invoice.number.rpartition("-")[2] or 0) for invoice in invoices]
    if sequences != list(range(1, len(invoices) + 1)):
        faults.append(f"the numbers end in {sequences}: they have gaps")
    if faults:
        raise DemoFailed("\n".join([f"the story {story.name} went wrong:", *faults]))


def check_open_usage(story: Story, usage: GetUsageResponse | None) -> None:
    """Check that what was recorded after the last period counts in the open one.

    Raises:
        DemoFailed: some of it is missing.
    """
    if usage is None:
        return
    counted = {fee.charge_code: fee.event_count for fee in usage.fees}
    wanted = len(story.open_events)
    if not counted or set(counted.values()) != {wanted}:
        raise DemoFailed(f"{story.name}: the open period counts {counted}, not {wanted} events")


def find_faults(invoice: Invoice) -> list[str]:
    """Return what is wrong with the sums of an invoice."""
    faults = []
    off = invoice.progressive_credit_minor + invoice.coupons_minor
    subtotal = sum(line.amount_minor for line in invoice.lines) - off
    if subtotal != invoice.subtotal_minor:
        faults.append(f"the lines add up to {subtotal}, the subtotal is {invoice.subtotal_minor}")
    tax = sum(tax.amount_minor for tax in invoice.taxes)
    shares = sum(line.tax_share_minor for line in invoice.lines)
    if not tax == shares == invoice.tax_minor:
        faults.append(f"taxes {tax}, shares {shares} and tax {invoice.tax_minor} differ")
    paid = sum(line.credits_minor for line in invoice.lines)
    if paid != invoice.credits_minor:
        faults.append(f"the lines took {paid} of credits, the invoice {invoice.credits_minor}")
    noted = sum(line.credit_notes_minor for line in invoice.lines)
    if noted != invoice.credit_notes_minor:
        faults.append(f"notes paid {noted} of lines, {invoice.credit_notes_minor} of the invoice")
    given = invoice.credit_notes_minor + invoice.credits_minor
    total = invoice.subtotal_minor + invoice.tax_minor - given
    if total != invoice.total_minor:
        faults.append(f"{total} is left to pay, the total is {invoice.total_minor}")
    if not TRACE_ID.fullmatch(invoice.trace_id):
        faults.append(f"{invoice.trace_id!r} is no trace id")
    return faults


def _texts(instants: Sequence[object]) -> str:
    return ", ".join(str(instant) for instant in instants) or "no time"
