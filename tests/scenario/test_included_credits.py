"""Credit that is included in a month pays that month, though it lapses with it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cli.client import SuiteClient
from libs.wire import timestamp
from tally.common.v1.money_pb2 import Money
from tally.wallet.v1.ledger_service_pb2 import CheckInvariantsRequest, ListGrantUsesRequest
from tally.wallet.v1.wallet_service_pb2 import (
    CreateWalletRequest,
    GetBalanceRequest,
    Grant,
    GrantCreditsRequest,
    GrantKind,
    Wallet,
)
from tests.scenario.builders import invoices, record, sell, subscribe, usage
from tests.suite import Suite

JAN_1, FEB_1, MAR_1 = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
BILLED = timedelta(minutes=11)  # After the collection delay.


async def test_included_credit_pays_the_month_that_it_was_for(suite: Suite) -> None:
    """A customer has 10.00 included in January and another 5.00 that were bought."""
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        await subscribe(client, "acme", JAN_1)
        wallet_id = await _open(client)
        included = await _grant(client, wallet_id, 1_000, expires_at=FEB_1)
        bought = await _grant(client, wallet_id, 500)
        await suite.advance(JAN_1 + timedelta(days=9))
        await record(client, [usage("acme", JAN_1 + timedelta(days=9), "800")])
        await suite.advance(FEB_1 + BILLED)
        [january] = await invoices(client, "acme")
        assert (january.credits_minor, january.total_minor) == (800, 0)
        await record(client, [usage("acme", FEB_1 + BILLED, "300")])
        await suite.advance(MAR_1 + BILLED)
        [_, february] = await invoices(client, "acme")
        assert (february.credits_minor, february.total_minor) == (300, 0)
        assert await _paid_by(client, january.invoice_id) == {included: 800}
        assert await _paid_by(client, february.invoice_id) == {bought: 300}
        balance = (await client.wallets.GetBalance(GetBalanceRequest(wallet_id=wallet_id))).balance
        assert balance.available.amount_minor == 200
        told = [one async for one in client.ledger.CheckInvariants(CheckInvariantsRequest())]
        assert [one for one in told if one.HasField("difference")] == []


async def _open(client: SuiteClient) -> str:
    wallet = Wallet(customer_id="acme", currency_code="USD")
    asked = CreateWalletRequest(request_id=str(uuid4()), wallet=wallet)
    return (await client.wallets.CreateWallet(asked)).wallet.wallet_id


async def _grant(
    client: SuiteClient, wallet_id: str, amount_minor: int, *, expires_at: datetime | None = None
) -> str:
    grant = Grant(
        wallet_id=wallet_id,
        kind=GrantKind.GRANT_KIND_GRANTED if expires_at else GrantKind.GRANT_KIND_PURCHASED,
        amount=Money(currency_code="USD", amount_minor=amount_minor),
        expires_at=timestamp(expires_at) if expires_at else None,
    )
    asked = GrantCreditsRequest(request_id=str(uuid4()), grant=grant)
    return (await client.wallets.GrantCredits(asked)).grant.grant_id


async def _paid_by(client: SuiteClient, invoice_id: str) -> dict[str, int]:
    """Return what each grant paid of an invoice."""
    asked = ListGrantUsesRequest(reference=invoice_id, revenue_only=True)
    uses = (await client.ledger.ListGrantUses(asked)).uses
    return {use.grant_id: use.amount.amount_minor for use in uses}
