"""Wallets in stories: what is done to them, and what they show."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

from libs.money import Money, round_minor, to_decimal
from libs.wire import money_message
from services.wallet.domain.wallet import credits_of
from tally.common.v1.money_pb2 import Money as MoneyMessage
from tally.invoicing.v1.invoice_service_pb2 import GetInvoiceRequest
from tally.invoicing.v1.payment_service_pb2 import RecordPaymentRequest
from tally.wallet.v1.ledger_service_pb2 import ListGrantUsesRequest
from tally.wallet.v1.top_up_pb2 import ListTopUpsRequest, TopUp, TopUpRequest, TopUpStatus
from tally.wallet.v1.top_up_rule_service_pb2 import (
    CreateTopUpRuleRequest,
    TargetAmount,
    ThresholdTrigger,
    TopUpRule,
)
from tally.wallet.v1.wallet_changes_pb2 import (
    LEFTOVER_VOID,
    TerminateWalletRequest,
    VoidCreditsRequest,
)
from tally.wallet.v1.wallet_service_pb2 import (
    CreateWalletRequest,
    Entry,
    GetWalletRequest,
    Grant,
    GrantCreditsRequest,
    GrantKind,
    ListEntriesRequest,
    ListGrantsRequest,
    Wallet,
    WalletScope,
)
from tests.vectors.given import Given
from tests.vectors.stories.plans import CURRENCY
from tests.vectors.stories.world import PAGE, World, request_id

# What peers call transactions of a wallet, and how they name what they are.
KINDS = {"GRANT": ("inbound", "granted"), "APPLY": ("outbound", "invoiced")}
KINDS |= {"VOID": ("outbound", "voided")}
UNPAID = {
    TopUpStatus.TOP_UP_STATUS_PENDING: "pending",
    TopUpStatus.TOP_UP_STATUS_FAILED: "failed",
}


async def create_wallet(world: World, action: Given) -> None:
    """Open a wallet that the story defines."""
    await open_wallet(world, action.text("wallet"))


async def open_wallet(world: World, name: str) -> None:
    """Open a wallet of the story's one customer and put in what it begins with."""
    given = world.wallets[name]
    wallet = Wallet(
        customer_id=world.customer_id,
        currency_code=CURRENCY,
        name=name,
        rate=given.text("rate_amount"),
        priority=int(given.value("priority")) if given.has("priority") else 0,
    )
    if given.has("billable_metrics"):
        wallet.scope.CopyFrom(WalletScope(meter_codes=given.value("billable_metrics")))
    if given.has("paid_top_up_min_amount_cents"):
        least = given.value("paid_top_up_min_amount_cents")
        wallet.top_up_minimum.CopyFrom(MoneyMessage(currency_code=CURRENCY, amount_minor=least))
    asked = CreateWalletRequest(request_id=request_id(), wallet=wallet)
    world.wallet_ids[name] = (await world.client.wallets.CreateWallet(asked)).wallet.wallet_id
    if given.has("granted_credits"):
        await grant_credits(world, name, given.text("granted_credits"))
    for rule in given.each("rules") if given.has("rules") else ():
        await create_rule(world, name, rule)


async def create_rule(world: World, name: str, given: Given) -> None:
    """Have a wallet filled up to a target when it is low; others are not known here."""
    if (given.text("trigger"), given.text("method")) != ("threshold", "target"):
        raise ValueError(f"the rule of {name} is unknown")
    rate = Decimal(world.wallets[name].text("rate_amount"))
    threshold, target = (
        round_minor(given.decimal(key) * rate, CURRENCY)
        for key in ("threshold_credits", "target_ongoing_balance")
    )
    gives = given.has("grants_target_top_up") and given.value("grants_target_top_up") is True
    rule = TopUpRule(
        wallet_id=world.wallet_ids[name],
        threshold=ThresholdTrigger(threshold_minor=threshold),
        target=TargetAmount(target_minor=target, granted=gives),
    )
    asked = CreateTopUpRuleRequest(request_id=request_id(), rule=rule)
    await world.client.top_up_rules.CreateTopUpRule(asked)


async def newest_top_up(world: World) -> dict[str, Any] | None:
    """Look at what tops the story's one wallet up; None: nothing does."""
    [(name, wallet_id)] = world.wallet_ids.items()
    asked = ListTopUpsRequest(wallet_id=wallet_id)
    found = (await world.client.wallets.ListTopUps(asked)).top_ups
    if not found:
        return None
    bought = found[0].HasField("paid")
    amount = found[0].paid if bought else found[0].granted
    rate = Decimal(world.wallets[name].text("rate_amount"))
    return {
        "kind": "purchased" if bought else "granted",
        "credits": credits_of(Money(CURRENCY, amount.amount_minor), rate),
    }


async def grant_credits(world: World, name: str, credits: str) -> None:
    """Give credits."""
    grant = Grant(
        wallet_id=world.wallet_ids[name], kind=GrantKind.GRANT_KIND_GRANTED, credits=credits
    )
    asked = GrantCreditsRequest(request_id=request_id(), grant=grant)
    await world.client.wallets.GrantCredits(asked)


async def top_up(world: World, action: Given) -> None:
    """Give credits, or buy them: these are in the wallet when their invoice is paid."""
    name = action.text("wallet")
    if action.has("granted_credits"):
        await grant_credits(world, name, action.text("granted_credits"))
    if action.has("paid_credits"):
        requires_payment = "invoice_requires_successful_payment"
        await buy_credits(
            world,
            name,
            action.decimal("paid_credits"),
            requires_payment=action.has(requires_payment) and bool(action.value(requires_payment)),
        )


async def buy_credits(world: World, name: str, credits: Decimal, *, requires_payment: bool) -> None:
    """Ask for credits that an invoice bills, at the wallet's rate."""
    worth = credits * Decimal(world.wallets[name].text("rate_amount"))
    paid = Money(CURRENCY, round_minor(worth, CURRENCY))
    wanted = TopUp(
        wallet_id=world.wallet_ids[name],
        paid=money_message(paid),
        requires_payment=requires_payment,
    )
    await world.client.wallets.TopUp(TopUpRequest(request_id=request_id(), top_up=wanted))


async def pay(world: World, action: Given) -> None:
    """Record the payment of an invoice, in full unless it says how much."""
    invoice_id = world.made[action.inner("invoice").value("created_in_step")][-1]
    asked = GetInvoiceRequest(invoice_id=invoice_id)
    due = (await world.client.invoices.GetInvoice(asked)).invoice.due_minor
    amount = int(action.value("amount_cents")) if action.has("amount_cents") else due
    await world.client.payments.RecordPayment(
        RecordPaymentRequest(
            request_id=request_id(),
            invoice_id=invoice_id,
            amount=money_message(Money(CURRENCY, amount)),
        )
    )


async def void_credits(world: World, action: Given) -> None:
    """Take credits away."""
    asked = VoidCreditsRequest(
        request_id=request_id(),
        wallet_id=world.wallet_ids[action.text("wallet")],
        credits=action.text("credits"),
    )
    await world.client.wallets.VoidCredits(asked)


async def terminate_wallet(world: World, action: Given) -> None:
    """End a wallet."""
    asked = TerminateWalletRequest(
        request_id=request_id(),
        wallet_id=world.wallet_ids[action.text("wallet")],
        leftover=LEFTOVER_VOID,
    )
    await world.client.wallets.TerminateWallet(asked)


async def wallet_shown(world: World) -> dict[str, Any]:
    """Look at the story's one wallet: what is left of it, and what usage will take."""
    [wallet_id] = world.wallet_ids.values()
    found = await world.client.wallets.GetWallet(GetWalletRequest(wallet_id=wallet_id))
    rate, balance = Decimal(found.wallet.rate), found.balance

    def credits(amount_minor: int) -> Decimal:
        return credits_of(Money(CURRENCY, amount_minor), rate)

    return {
        "balance_cents": balance.available.amount_minor,
        "credits_balance": Decimal(balance.available_credits),
        "ongoing_usage_balance_cents": balance.reserved.amount_minor,
        "credits_ongoing_usage_balance": credits(balance.reserved.amount_minor),
        "ongoing_balance_cents": balance.spendable.amount_minor,
        "credits_ongoing_balance": credits(balance.spendable.amount_minor),
    }


async def transactions(world: World) -> list[dict[str, Any]]:
    """Look at what came into the story's one wallet and what went out, the oldest first."""
    [wallet_id] = world.wallet_ids.values()
    found = await world.client.wallets.GetWallet(GetWalletRequest(wallet_id=wallet_id))
    entries: list[Entry] = [
        entry
        for entry in await _entries(world, wallet_id)
        if entry.reason in KINDS and entry.account == "available"
    ]
    rate = Decimal(found.wallet.rate)
    settled = [
        _transaction(*KINDS[entry.reason], "settled", abs(entry.amount.amount_minor), rate)
        for entry in reversed(entries)
    ]
    asked = ListTopUpsRequest(wallet_id=wallet_id)
    top_ups = (await world.client.wallets.ListTopUps(asked)).top_ups
    bought = {grant.grant_id for grant in await _purchased(world, wallet_id)}
    for one, entry in zip(settled, reversed(entries), strict=True):
        if entry.reference in bought:
            one["kind"] = "purchased"
    unpaid = [
        _transaction("inbound", "purchased", UNPAID[one.status], one.paid.amount_minor, rate)
        for one in top_ups
        if one.status in UNPAID
    ]
    return settled + unpaid


def _transaction(
    direction: str, kind: str, status: str, amount_minor: int, rate: Decimal
) -> dict[str, Any]:
    amount = Money(CURRENCY, amount_minor)
    return {
        "type": direction,
        "kind": kind,
        "status": status,
        "amount_cents": amount_minor,
        "amount": to_decimal(amount),
        "credits": credits_of(amount, rate),
    }


async def _purchased(world: World, wallet_id: str) -> list[Grant]:
    asked = ListGrantsRequest(wallet_id=wallet_id, page_size=PAGE)
    grants = (await world.client.wallets.ListGrants(asked)).grants
    return [grant for grant in grants if grant.kind == GrantKind.GRANT_KIND_PURCHASED]


async def outbound(world: World) -> dict[str, int]:
    """Look at what went out of each wallet."""
    found: Counter[str] = Counter()
    for name, wallet_id in world.wallet_ids.items():
        for entry in await _entries(world, wallet_id):
            if entry.account == "available" and KINDS.get(entry.reason, ("",))[0] == "outbound":
                found[name] -= entry.amount.amount_minor
    return dict(found)


async def remaining(world: World) -> dict[str, int]:
    """Look at what is left of the grants of each wallet."""
    found = {}
    for name, wallet_id in world.wallet_ids.items():
        asked = ListGrantsRequest(wallet_id=wallet_id, page_size=PAGE)
        grants = (await world.client.wallets.ListGrants(asked)).grants
        found[name] = sum(grant.remaining.amount_minor for grant in grants)
    return found


async def paid_by_kind(world: World, invoice_id: str, kind: GrantKind.ValueType) -> int:
    """Look at what grants of a kind paid of an invoice."""
    asked = ListGrantUsesRequest(reference=invoice_id, revenue_only=True, page_size=PAGE)
    uses = (await world.client.ledger.ListGrantUses(asked)).uses
    return sum(use.amount.amount_minor for use in uses if use.kind == kind)


async def _entries(world: World, wallet_id: str) -> list[Entry]:
    asked = ListEntriesRequest(wallet_id=wallet_id, page_size=PAGE)
    return list((await world.client.wallets.ListEntries(asked)).entries)
