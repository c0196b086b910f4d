"""Wallets, grants and holds as the contracts show them."""

from __future__ import annotations

from libs.money import Money
from libs.wire import money_message, timestamp
from services.wallet.domain.grant import Grant, GrantKind
from services.wallet.domain.hold import Hold, HoldStatus
from services.wallet.domain.ledger import Entry, GrantUse
from services.wallet.domain.wallet import Balance, Scope, Wallet, credits_of
from tally.common.v1 import money_pb2
from tally.wallet.v1 import hold_service_pb2, ledger_service_pb2, wallet_service_pb2

GRANT_KIND = {
    GrantKind.PURCHASED: wallet_service_pb2.GRANT_KIND_PURCHASED,
    GrantKind.GRANTED: wallet_service_pb2.GRANT_KIND_GRANTED,
}
HOLD_STATUS = {
    HoldStatus.OPEN: hold_service_pb2.HOLD_STATUS_OPEN,
    HoldStatus.CAPTURED: hold_service_pb2.HOLD_STATUS_CAPTURED,
    HoldStatus.RELEASED: hold_service_pb2.HOLD_STATUS_RELEASED,
    HoldStatus.EXPIRED: hold_service_pb2.HOLD_STATUS_EXPIRED,
}


def wallet_message(wallet: Wallet) -> wallet_service_pb2.Wallet:
    """Write a wallet."""

    def of_wallet(amount_minor: int | None) -> money_pb2.Money | None:
        return money_message(Money(wallet.currency, amount_minor)) if amount_minor else None

    return wallet_service_pb2.Wallet(
        wallet_id=str(wallet.wallet_id),
        customer_id=wallet.customer_id,
        currency_code=wallet.currency,
        name=wallet.name,
        priority=wallet.priority,
        scope=scope_message(wallet.scope),
        created_at=timestamp(wallet.created_at),
        code=wallet.code,
        rate=f"{wallet.rate:f}",
        low_balance=of_wallet(wallet.low_minor),
        soft_limit=of_wallet(wallet.soft_minor),
        expires_at=timestamp(wallet.expires_at) if wallet.expires_at else None,
        terminated_at=timestamp(wallet.terminated_at) if wallet.terminated_at else None,
        top_up_minimum=of_wallet(wallet.limits.minimum_minor),
        top_up_maximum=of_wallet(wallet.limits.maximum_minor),
    )


def scope_message(scope: Scope) -> wallet_service_pb2.WalletScope | None:
    """Write what a wallet may pay for; None: everything."""
    if scope == Scope():
        return None
    return wallet_service_pb2.WalletScope(
        fee_kinds=sorted(scope.fee_kinds), meter_codes=sorted(scope.meter_codes)
    )


def balance_message(balance: Balance) -> wallet_service_pb2.Balance:
    """Write a balance."""

    def minor(amount: int) -> Money:
        return Money(balance.currency, amount)

    return wallet_service_pb2.Balance(
        posted=money_message(minor(balance.posted_minor)),
        held=money_message(minor(balance.held_minor)),
        captured=money_message(minor(balance.captured_minor)),
        available=money_message(minor(balance.available_minor)),
        available_credits=f"{credits_of(minor(balance.available_minor), balance.rate):f}",
        reserved=money_message(minor(balance.reserved_minor)),
        spendable=money_message(minor(balance.spendable_minor)),
    )


def grant_message(grant: Grant, wallet: Wallet) -> wallet_service_pb2.Grant:
    """Write a grant of `wallet`."""
    amount = Money(wallet.currency, grant.amount_minor)
    remaining = Money(wallet.currency, grant.remaining_minor)
    return wallet_service_pb2.Grant(
        grant_id=str(grant.grant_id),
        wallet_id=str(grant.wallet_id),
        kind=GRANT_KIND[grant.kind],
        amount=money_message(amount),
        remaining=money_message(remaining),
        credits=f"{credits_of(amount, wallet.rate):f}",
        remaining_credits=f"{credits_of(remaining, wallet.rate):f}",
        priority=grant.priority,
        effective_at=timestamp(grant.effective_at),
        expires_at=timestamp(grant.expires_at) if grant.expires_at else None,
        reference=grant.reference,
        created_at=timestamp(grant.created_at),
    )


def hold_message(hold: Hold) -> hold_service_pb2.Hold:
    """Write a hold."""
    return hold_service_pb2.Hold(
        hold_id=hold.hold_id,
        wallet_id=str(hold.wallet_id),
        amount=money_message(hold.amount),
        captured=money_message(Money(hold.amount.currency, hold.captured_minor)),
        status=HOLD_STATUS[hold.status],
        subscription_id=hold.subscription_id or "",
        expires_at=timestamp(hold.expires_at),
        created_at=timestamp(hold.created_at),
    )


def use_message(use: GrantUse) -> ledger_service_pb2.GrantUse:
    """Write a grant's part in a transaction."""
    return ledger_service_pb2.GrantUse(
        transaction_id=str(use.transaction_id),
        grant_id=str(use.grant_id),
        wallet_id=str(use.wallet_id),
        kind=GRANT_KIND[use.kind],
        reason=use.reason,
        reference=use.reference,
        line_id=str(use.line_id) if use.line_id else "",
        source=use.source.value,
        target=use.target.value,
        amount=money_message(use.amount),
        created_at=timestamp(use.created_at),
    )


def entry_message(entry: Entry) -> wallet_service_pb2.Entry:
    """Write a ledger entry."""
    return wallet_service_pb2.Entry(
        transaction_id=str(entry.transaction_id),
        account=entry.account.value,
        amount=money_message(entry.amount),
        reason=entry.reason,
        reference=entry.reference,
        created_at=timestamp(entry.created_at),
    )
