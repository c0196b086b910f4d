"""What `tally verify all` says: the services' own comparison, beside that of the clients."""

from __future__ import annotations

from typing import Any

from cli.client import SuiteClient
from cli.verify import line_text
from tally.common.v1.verification_pb2 import Verification
from tally.invoicing.v1.invoice_service_pb2 import VerifyCreditsRequest, VerifyInvoicesRequest
from tally.rating.v1.usage_service_pb2 import VerifyUsageRequest
from tally.wallet.v1.ledger_service_pb2 import CheckInvariantsRequest

SECONDS_MAX = 300


async def verify(client: SuiteClient) -> list[str]:
    """Return a line for each difference that the services find in what the client may see."""
    calls: list[tuple[str, Any, Any]] = [
        ("usage", client.usage.VerifyUsage, VerifyUsageRequest()),
        ("invoices", client.invoices.VerifyInvoices, VerifyInvoicesRequest()),
        ("ledger", client.ledger.CheckInvariants, CheckInvariantsRequest()),
        ("ledger", client.invoices.VerifyCredits, VerifyCreditsRequest()),
    ]
    lines = []
    for level, method, request in calls:
        async for answer in method(request, timeout=SECONDS_MAX):
            found = getattr(answer, answer.WhichOneof("result"))
            if not isinstance(found, Verification):
                lines.append(f"verify {line_text(level, found)}")
    return lines
