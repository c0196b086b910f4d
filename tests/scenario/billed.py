"""A story with all that verification looks at: late and moved usage, taxes, credits and holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cli.client import SuiteClient
from libs.wire import timestamp
from tally.common.v1.money_pb2 import Money
from tally.invoicing.v1.tax_service_pb2 import CreateTaxRequest, Tax
from tally.invoicing.v1.tenant_service_pb2 import BillingEntity, UpdateBillingEntityRequest
from tally.rating.v1.plan_service_pb2 import (
    Charge,
    CreatePlanRequest,
    IntervalUnit,
    Plan,
    PlanVersion,
    Price,
    StandardPrice,
    Tier,
    TieredPrice,
)
from tally.rating.v1.subscription_service_pb2 import CreateSubscriptionRequest, Subscription
from tally.wallet.v1.hold_service_pb2 import AuthorizeRequest, CaptureRequest
from tally.wallet.v1.wallet_service_pb2 import (
    CreateWalletRequest,
    Grant,
    GrantCreditsRequest,
    GrantKind,
    Wallet,
    WalletScope,
)
from tests.scenario.builders import invoices, record, sell, subscribe, usage
from tests.suite import Suite

JAN_1, FEB_1, MAR_1 = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
BILLED = timedelta(minutes=11)  # After the collection delay.


@dataclass(frozen=True, slots=True)
class Told:
    """Two tenants who were billed; what stands of the second must not matter to the first."""

    suite: Suite
    tenant: int
    other: int


async def tell(suite: Suite) -> Told:
    """Bill two tenants alike, and leave one of them with usage that is late."""
    tenant, other = suite.new_tenant(), suite.new_tenant()
    await suite.advance(JAN_1)
    async with suite.client(tenant) as mine, suite.client(other) as theirs:
        clients = (mine, theirs)
        for client in clients:
            await _set_up(client)
        await _use_january(suite, clients)
        for client in clients:
            await record(client, [usage("acme", JAN_1 + timedelta(days=20), "7")])
            await _move_to_another_plan(client)
        await suite.settle()
        await suite.advance(MAR_1 + BILLED)
        # One of a period that no invoice adjusts any more, one of nobody, one of today.
        await record(mine, [usage("acme", FEB_1 + timedelta(days=9), "2")])
        await record(mine, [usage("nobody", MAR_1, "1"), usage("acme", MAR_1, "1")])
        await suite.settle()
        assert [len(one.lines) for one in await invoices(mine, "acme")] == [2, 2]
    return Told(suite, tenant, other)


async def _set_up(client: SuiteClient) -> None:
    """Sell to a customer who has paid ahead."""
    tax = Tax(code="vat", name="VAT", rate_percent="7.5")
    await client.taxes.CreateTax(CreateTaxRequest(request_id=str(uuid4()), tax=tax))
    entity = BillingEntity(name="Seller", default_tax_codes=["vat"])
    await client.tenants.UpdateBillingEntity(
        UpdateBillingEntityRequest(request_id=str(uuid4()), billing_entity=entity)
    )
    tiers = [Tier(up_to="10", unit_amount="0.10"), Tier(unit_amount="0.013")]
    price = Price(graduated=TieredPrice(tiers=tiers))
    await sell(client, price=price, base_amount="9.99")
    await subscribe(client, "acme", JAN_1)
    await subscribe(client, "moved", JAN_1)
    await _prepay(client, "acme")


async def _use_january(suite: Suite, clients: Sequence[SuiteClient]) -> None:
    """Report usage of both customers; that of one is nobody's until it subscribes."""
    third_day = JAN_1 + timedelta(days=3)
    await suite.advance(third_day)
    for client in clients:
        values = (("acme", "3"), ("acme", "5"), ("late", "4"), ("moved", "1000"))
        taken = await record(client, [usage(one, third_day, value) for one, value in values])
        assert set(taken) == {"ACCEPTED"}
    await suite.settle()
    for client in clients:
        await subscribe(client, "late", JAN_1)
    last = FEB_1 - timedelta(seconds=1)
    await suite.advance(last)
    for client in clients:
        await record(client, [usage("acme", last, "0.5"), usage("late", JAN_1, "1.25")])
    await suite.advance(FEB_1 + BILLED)


async def _move_to_another_plan(client: SuiteClient) -> None:
    """Let another subscription take the usage that a customer was billed for.

    What is to be given back is more than the customer's next invoice: some of its note is left.
    """
    charge = Charge(meter_code="calls", price=Price(standard=StandardPrice(unit_amount="0.001")))
    version = PlanVersion(interval_unit=IntervalUnit.INTERVAL_UNIT_MONTH, charges=[charge])
    plan = Plan(code="cheap", name="Cheap", currency_code="USD")
    await client.plans.CreatePlan(
        CreatePlanRequest(request_id=str(uuid4()), plan=plan, version=version)
    )
    subscription = Subscription(
        subscription_id="moved-cheap",
        customer_id="moved",
        plan_code="cheap",
        start=timestamp(JAN_1),
        default_for_usage=True,
    )
    await client.subscriptions.CreateSubscription(
        CreateSubscriptionRequest(request_id=str(uuid4()), subscription=subscription)
    )


async def _prepay(client: SuiteClient, customer_id: str) -> None:
    """Give the customer credit for usage, some of it held, some of it captured."""
    wallet = Wallet(
        customer_id=customer_id, currency_code="USD", scope=WalletScope(fee_kinds=["usage"])
    )
    made = await client.wallets.CreateWallet(
        CreateWalletRequest(request_id=str(uuid4()), wallet=wallet)
    )
    wallet_id = made.wallet.wallet_id
    grant = Grant(wallet_id=wallet_id, kind=GrantKind.GRANT_KIND_PURCHASED, amount=_usd(120))
    await client.wallets.GrantCredits(GrantCreditsRequest(request_id=str(uuid4()), grant=grant))
    for purpose in ({"standalone": True}, {"subscription_id": f"{customer_id}-pro"}):
        asked = AuthorizeRequest(
            request_id=str(uuid4()), wallet_id=wallet_id, amount=_usd(30), **purpose
        )
        hold = (await client.holds.Authorize(asked)).hold
        await client.holds.Capture(
            CaptureRequest(request_id=str(uuid4()), hold_id=hold.hold_id, amount=_usd(20))
        )


def _usd(amount_minor: int) -> Money:
    return Money(currency_code="USD", amount_minor=amount_minor)
