"""Wallets that change and end, and credit that is taken away or moved."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from libs.errors import FieldInvalid
from services.wallet.domain.burn_down import InsufficientBalance
from services.wallet.domain.ledger import GrantUse
from services.wallet.domain.voiding import GrantNotFound, WalletNotEmpty
from services.wallet.domain.wallet import (
    Changes,
    Credits,
    Scope,
    Wallet,
    WalletCodeTaken,
    WalletTerminated,
)
from services.wallet.operations import wallets
from services.wallet.operations.paying import apply_credits, return_credits
from services.wallet.operations.tracing import list_uses
from services.wallet.operations.wallet_orders import (
    TerminateWallet,
    TransferCredits,
    UpdateWallet,
    VoidCredits,
)
from services.wallet.store.grant_uses import UsesAsked
from tests.store.wallet.conftest import START, Counter, a_request, usd
from tests.store.wallet.test_paying import HASH, an_invoice
from tests.store.wallet.test_verifying import checked

LATER = START.replace(month=6)


async def test_transferred_credit_stays_what_it_was(counter: Counter) -> None:
    source, target = await counter.open(), await counter.open()
    await counter.grant(source, 100)
    await counter.grant(source, 30, expires_at=LATER)
    move = TransferCredits(source_wallet_id=source, target_wallet_id=target, amount=usd(50))
    moved = await counter.do(move)
    assert await counter.standing(source) == (80, 0, 0)
    assert await counter.standing(target) == (50, 0, 0)
    assert [grant.amount.amount_minor for grant in moved.grants] == [30, 20]
    rows = await counter.query(
        "SELECT kind, amount_minor, expires_at FROM grants WHERE wallet_id = :id ORDER BY number",
        id=target,
    )
    assert [tuple(row) for row in rows] == [("purchased", 30, LATER), ("purchased", 20, None)]
    with pytest.raises(InsufficientBalance):
        await counter.do(
            TransferCredits(source_wallet_id=source, target_wallet_id=target, amount=usd(81))
        )
    found, _ = await checked(counter)
    assert found == []


async def test_credit_does_not_leave_for_another_customer(counter: Counter) -> None:
    source = await counter.filled(100)
    counter.customer_id = "somebody else"
    stranger = await counter.open()
    for target in (stranger, source):
        move = TransferCredits(source_wallet_id=source, target_wallet_id=target, amount=usd(5))
        with pytest.raises(FieldInvalid) as refused:
            await counter.do(move)
        assert refused.value.field == "target_wallet_id"
    assert await counter.standing(source) == (100, 0, 0)


async def test_void_credit_is_taken_in_burn_order_or_of_the_grant_that_is_named(
    counter: Counter,
) -> None:
    wallet_id = await counter.open()
    first = await counter.grant(wallet_id, 20)
    second = await counter.grant(wallet_id, 30)
    answer = await counter.do(_void(wallet_id, 25))
    assert [(part.grant_id, part.amount_minor) for part in answer.parts] == [
        (str(first), 20),
        (str(second), 5),
    ]
    with pytest.raises(GrantNotFound):
        await counter.do(_void(wallet_id, 1, first))
    with pytest.raises(InsufficientBalance):
        await counter.do(_void(wallet_id, 26, second))
    await counter.do(_void(wallet_id, 25, second))
    assert await counter.standing(wallet_id) == (0, 0, 0)
    assert (await counter.facts())[-2:] == ["BalanceDepleted", "CreditsVoided"]
    found, _ = await checked(counter)
    assert found == []


async def test_an_ended_wallet_takes_nothing_and_gives_nothing(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    invoice = an_invoice(counter, [30])
    await apply_credits(counter.desk, invoice, HASH)
    hold = await counter.hold(wallet_id, 10)
    for voids in (False, True):  # What is held is never void.
        with pytest.raises(WalletNotEmpty) as refused:
            await counter.do(TerminateWallet(wallet_id=wallet_id, voids=voids))
        assert refused.value.metadata["held_minor"] == "10"
    await counter.release(hold.hold.hold_id)
    with pytest.raises(WalletNotEmpty):
        await counter.do(TerminateWallet(wallet_id=wallet_id, voids=False))
    ended = await counter.do(TerminateWallet(wallet_id=wallet_id, voids=True))
    assert ended.voided.amount_minor == 70
    for order in (_void(wallet_id, 1), TerminateWallet(wallet_id=wallet_id, voids=True)):
        with pytest.raises(WalletTerminated):
            await counter.do(order)
    with pytest.raises(WalletTerminated):
        await counter.grant(wallet_id, 5)
    await return_credits(counter.desk, invoice.invoice_id)
    assert await counter.standing(wallet_id) == (0, 0, 0)
    found, _ = await checked(counter)
    assert found == []


async def test_an_update_changes_what_it_says_and_the_low_balance_is_told_once(
    counter: Counter,
) -> None:
    wallet_id = await counter.filled(100)
    changes = Changes("Pack", 7, Scope(frozenset({"usage"})), usd(50))
    await counter.do(UpdateWallet(wallet_id=wallet_id, changes=changes))
    wallet, _ = await wallets.get_wallet(counter.desk, wallet_id)
    assert (wallet.name, wallet.priority, wallet.low_minor) == ("Pack", 7, 50)
    assert wallet.scope == changes.scope
    for amount in (50, 10, 10):  # 50 are not below 50.
        await counter.hold(wallet_id, amount)
    assert [fact for fact in await counter.facts() if "Balance" in fact] == ["BalanceLow"]
    await counter.hold(wallet_id, 30)
    assert "BalanceDepleted" in await counter.facts()


async def test_credits_become_money_at_the_wallets_rate(counter: Counter) -> None:
    wallet_id = await _opened(counter, rate=Decimal("0.5"), expires_at=LATER)
    await counter.grant(wallet_id, 100, credits=Decimal("17.9699999999"))
    with pytest.raises(FieldInvalid):
        await counter.grant(wallet_id, 0, credits=Decimal("0.009"))
    _, balance = await wallets.get_wallet(counter.desk, wallet_id)
    assert balance.available_minor == 898
    [row] = await counter.query("SELECT expires_at FROM grants")
    assert row.expires_at == LATER
    await counter.do(VoidCredits(wallet_id=wallet_id, amount=Credits(Decimal(10)), grant_id=None))
    assert await counter.standing(wallet_id) == (398, 0, 0)


async def test_a_code_is_free_again_when_its_wallet_was_ended(counter: Counter) -> None:
    wallet_id = await _opened(counter, code="main")
    with pytest.raises(WalletCodeTaken):
        await _opened(counter, code="main")
    await counter.do(TerminateWallet(wallet_id=wallet_id, voids=True))
    await _opened(counter, code="main")


def _void(wallet_id: UUID, amount_minor: int, grant_id: UUID | None = None) -> VoidCredits:
    return VoidCredits(wallet_id=wallet_id, amount=usd(amount_minor), grant_id=grant_id)


async def _opened(
    counter: Counter,
    *,
    code: str = "",
    rate: Decimal = Decimal(1),
    expires_at: datetime | None = None,
) -> UUID:
    wallet = Wallet(
        uuid4(),
        counter.customer_id,
        "USD",
        "",
        50,
        Scope(),
        START,
        code=code,
        rate=rate,
        expires_at=expires_at,
    )
    await wallets.create_wallet(counter.desk, a_request(), wallet)
    return wallet.wallet_id


async def test_credit_is_followed_from_grant_to_line_and_back(counter: Counter) -> None:
    wallet_id = await counter.open()
    first, second = await counter.grant(wallet_id, 20), await counter.grant(wallet_id, 30)
    invoice = an_invoice(counter, [25])
    await apply_credits(counter.desk, invoice, HASH)
    line_id, reference = invoice.lines[0].line_id, str(invoice.invoice_id)
    of_line = await _uses(counter, reference=reference, line_id=line_id)
    assert [(use.grant_id, use.amount.amount_minor) for use in of_line] == [
        (first, 20),
        (second, 5),
    ]
    counter.clock.move(days=1)
    await return_credits(counter.desk, invoice.invoice_id)
    await counter.do(_void(wallet_id, 7, first))
    of_grant = await _uses(counter, grant_id=first)
    assert [(use.reason, use.source, use.target) for use in of_grant] == [
        ("GRANT", "purchased", "available"),
        ("APPLY", "available", "revenue"),
        ("REVERSAL", "revenue", "available"),
        ("VOID", "available", "voided"),
    ]
    earned = await _uses(counter, grant_id=first, revenue_only=True)
    assert [use.reason for use in earned] == ["APPLY", "REVERSAL"]
    page = await list_uses(counter.desk, _asked(grant_id=first), after=of_grant[1].key, limit=1)
    assert page == of_grant[2:3]
    assert await _uses(counter.of_tenant(2**31 - 1), grant_id=first) == []


async def _uses(counter: Counter, **asked: Any) -> list[GrantUse]:
    return list(await list_uses(counter.desk, _asked(**asked), after=None, limit=100))


def _asked(
    *,
    grant_id: UUID | None = None,
    reference: str | None = None,
    line_id: UUID | None = None,
    revenue_only: bool = False,
) -> UsesAsked:
    return UsesAsked(grant_id, reference, line_id, revenue_only)
