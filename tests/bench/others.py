"""Invoices: how many a second."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from cli.client import SuiteClient
from libs import testclock
from tally.invoicing.v1.invoice_service_pb2 import InvoiceStatus, ListInvoicesRequest
from tests.bench.workload import START

MONTH_END = datetime(2026, 4, 1, tzinfo=START.tzinfo)
BILLING_SECONDS_MAX = 600


async def invoices_per_s(client: SuiteClient, internal: SuiteClient, *, expected: int) -> float:
    """Move the clock over the end of the month, and count what is billed until all is done."""
    await testclock.advance(internal.clocks, MONTH_END - timedelta(seconds=1))
    started = time.perf_counter()
    to = MONTH_END + timedelta(hours=1)
    await testclock.advance(internal.clocks, to, deadline_seconds=BILLING_SECONDS_MAX)
    elapsed = time.perf_counter() - started
    asked = ListInvoicesRequest(status=InvoiceStatus.INVOICE_STATUS_FINALIZED, page_size=1_000)
    found = 0
    while True:
        answer = await client.invoices.ListInvoices(asked)
        found += len(answer.invoices)
        if not answer.next_page_token:
            break
        asked.page_token = answer.next_page_token
    assert found == expected, f"{found} invoices, not {expected}"
    return found / elapsed
