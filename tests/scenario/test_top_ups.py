"""A wallet that refills itself: usage takes it below its threshold, and a payment brings credit."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from cli.client import SuiteClient
from tally.common.v1.money_pb2 import Money
from tally.invoicing.v1.invoice_service_pb2 import (
    Invoice,
    InvoiceKind,
    InvoiceStatus,
    ListInvoicesRequest,
)
from tally.invoicing.v1.payment_service_pb2 import RecordPaymentRequest
from tally.wallet.v1.ledger_service_pb2 import CheckInvariantsRequest
from tally.wallet.v1.top_up_pb2 import (
    TOP_UP_STATUS_PENDING,
    TOP_UP_STATUS_SETTLED,
    ListTopUpsRequest,
    TopUp,
)
from tally.wallet.v1.top_up_rule_service_pb2 import (
    CreateTopUpRuleRequest,
    FixedAmount,
    ThresholdTrigger,
    TopUpRule,
)
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

MAY, JUNE_2 = datetime(2026, 5, 1, tzinfo=UTC), datetime(2026, 6, 2, tzinfo=UTC)
NOON = datetime(2026, 5, 10, 12, tzinfo=UTC)


def usd(amount_minor: int) -> Money:
    return Money(currency_code="USD", amount_minor=amount_minor)


async def test_a_wallet_is_refilled_once_as_usage_takes_it_below_its_threshold(
    suite: Suite,
) -> None:
    tenant = suite.new_tenant()
    async with suite.client(tenant) as client:
        await suite.advance(MAY)
        await sell(client)
        wallet_id = await filled(client, 10_00)
        await refill(client, wallet_id, threshold_minor=5_00, paid_minor=20_00)
        await subscribe(client, "acme", MAY)
        await suite.advance(NOON)
        await record(client, [usage("acme", MAY, "499")])
        await suite.settle()
        assert await top_ups(client, wallet_id) == []
        await record(client, [usage("acme", MAY, "1")])
        await suite.settle()
        await record(client, [usage("acme", MAY, "300")])
        await suite.settle()

        [pending] = await top_ups(client, wallet_id)
        assert (pending.status, pending.paid) == (TOP_UP_STATUS_PENDING, usd(20_00))
        [bill] = await purchases(client)
        assert bill.invoice_id == pending.top_up_id
        assert (bill.status, bill.number, bill.total_minor, bill.tax_minor) == (
            InvoiceStatus.INVOICE_STATUS_OPEN,
            "",
            20_00,
            0,
        )
        assert await available(client, wallet_id) == 10_00

        for part in (5_00, 15_00):
            payment = RecordPaymentRequest(
                request_id=str(uuid4()), invoice_id=bill.invoice_id, amount=usd(part)
            )
            await client.payments.RecordPayment(payment)
            await suite.settle()
        assert await available(client, wallet_id) == 30_00
        [settled] = await top_ups(client, wallet_id)
        assert settled.status == TOP_UP_STATUS_SETTLED
        [paid] = await purchases(client)
        assert (paid.status, bool(paid.number)) == (InvoiceStatus.INVOICE_STATUS_FINALIZED, True)

        await suite.advance(JUNE_2)
        [_, billed] = await invoices(client, "acme")
        assert (billed.credits_minor, billed.total_minor) == (8_00, 0)
        assert await available(client, wallet_id) == 22_00
        assert len(await top_ups(client, wallet_id)) == 1
        checked = [
            answer
            async for answer in client.ledger.CheckInvariants(CheckInvariantsRequest())
            if answer.HasField("difference")
        ]
        assert checked == []


async def filled(client: SuiteClient, amount_minor: int) -> str:
    wallet = Wallet(customer_id="acme", currency_code="USD", name="Main")
    opened = await client.wallets.CreateWallet(
        CreateWalletRequest(request_id=str(uuid4()), wallet=wallet)
    )
    wallet_id = opened.wallet.wallet_id
    grant = Grant(wallet_id=wallet_id, kind=GrantKind.GRANT_KIND_GRANTED, amount=usd(amount_minor))
    await client.wallets.GrantCredits(GrantCreditsRequest(request_id=str(uuid4()), grant=grant))
    return wallet_id


async def refill(
    client: SuiteClient, wallet_id: str, *, threshold_minor: int, paid_minor: int
) -> None:
    rule = TopUpRule(
        wallet_id=wallet_id,
        threshold=ThresholdTrigger(threshold_minor=threshold_minor),
        fixed=FixedAmount(paid_minor=paid_minor),
        requires_payment=True,
    )
    asked = CreateTopUpRuleRequest(request_id=str(uuid4()), rule=rule)
    await client.top_up_rules.CreateTopUpRule(asked)


async def top_ups(client: SuiteClient, wallet_id: str) -> list[TopUp]:
    return list((await client.wallets.ListTopUps(ListTopUpsRequest(wallet_id=wallet_id))).top_ups)


async def available(client: SuiteClient, wallet_id: str) -> int:
    answer = await client.wallets.GetBalance(GetBalanceRequest(wallet_id=wallet_id))
    return answer.balance.available.amount_minor


async def purchases(client: SuiteClient) -> list[Invoice]:
    found = (await client.invoices.ListInvoices(ListInvoicesRequest())).invoices
    return [one for one in found if one.kind == InvoiceKind.INVOICE_KIND_CREDIT_PURCHASE]
