"""Invoices and holds: how many a second."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from uuid import uuid4

from cli.client import SuiteClient
from libs import testclock
from tally.common.v1.money_pb2 import Money
from tally.invoicing.v1.invoice_service_pb2 import InvoiceStatus, ListInvoicesRequest
from tally.wallet.v1.hold_service_pb2 import AuthorizeRequest, CaptureRequest
from tally.wallet.v1.wallet_service_pb2 import (
    CreateWalletRequest,
    GetBalanceRequest,
    Grant,
    GrantCreditsRequest,
    GrantKind,
    Wallet,
)
from tests.bench.workload import START

MONTH_END = datetime(2026, 4, 1, tzinfo=START.tzinfo)
BILLING_SECONDS_MAX = 600
HOLD_SECONDS = 4.0
CALLERS = 16
CREDIT_MINOR = 1_000_000_000


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


async def hold_capture_per_s(client: SuiteClient) -> float:
    """Authorize and capture a cent on one wallet, 16 callers at a time."""
    wallet_id = await _open_wallet(client)
    cent = Money(currency_code="USD", amount_minor=1)
    started = time.perf_counter()

    async def caller() -> int:
        pairs = 0
        while time.perf_counter() - started < HOLD_SECONDS:
            wanted = AuthorizeRequest(
                request_id=str(uuid4()), wallet_id=wallet_id, amount=cent, standalone=True
            )
            hold = (await client.holds.Authorize(wanted)).hold
            await client.holds.Capture(
                CaptureRequest(request_id=str(uuid4()), hold_id=hold.hold_id, amount=cent)
            )
            pairs += 1
        return pairs

    pairs = sum(await asyncio.gather(*(caller() for _ in range(CALLERS))))
    elapsed = time.perf_counter() - started
    balance = (await client.wallets.GetBalance(GetBalanceRequest(wallet_id=wallet_id))).balance
    assert CREDIT_MINOR - balance.available.amount_minor == pairs, (balance, pairs)
    return pairs / elapsed


async def _open_wallet(client: SuiteClient) -> str:
    wallet = Wallet(customer_id="holder", currency_code="USD")
    opened = await client.wallets.CreateWallet(
        CreateWalletRequest(request_id=str(uuid4()), wallet=wallet)
    )
    credit = Grant(
        wallet_id=opened.wallet.wallet_id,
        kind=GrantKind.GRANT_KIND_PURCHASED,
        amount=Money(currency_code="USD", amount_minor=CREDIT_MINOR),
    )
    await client.wallets.GrantCredits(GrantCreditsRequest(request_id=str(uuid4()), grant=credit))
    return opened.wallet.wallet_id
