"""Making, changing and ending rules that top wallets up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from libs import requests
from libs.period import local_day
from libs.requests import Request
from services.wallet.domain.ledger import Book
from services.wallet.domain.top_up_rule import Below, Every, Fixed, Interval, TopUpRule, UpTo
from services.wallet.domain.wallet import check_live
from services.wallet.operations.desk import Desk
from services.wallet.operations.top_up_messages import rule_message
from services.wallet.store import books as book_store
from services.wallet.store import top_up_rules as store
from services.wallet.store import wallets as wallet_store
from tally.wallet.v1.top_up_rule_service_pb2 import (
    ArchiveTopUpRuleResponse,
    CreateTopUpRuleResponse,
    UpdateTopUpRuleResponse,
)


@dataclass(frozen=True, slots=True)
class AskedEvery:
    """Days as somebody asks for them; without the first it is that of the wallet."""

    interval: Interval
    first_day: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedRule:
    """A rule as somebody asks for it."""

    name: str
    trigger: Below | AskedEvery
    amount: Fixed | UpTo
    zone: ZoneInfo
    requires_payment: bool
    ignores_limits: bool
    monthly_cap_minor: int | None
    expires_at: datetime | None


async def create_rule(
    desk: Desk, request: Request, wallet_id: UUID, asked: AskedRule
) -> CreateTopUpRuleResponse:
    """Give a wallet a rule; a repeated `request` gets its first answer again.

    Raises:
        WalletNotFound, WalletTerminated, TopUpBelowMinimum, TopUpAboveMaximum.
    """
    async with desk.begin() as conn:
        earlier = await requests.claim(conn, desk.tenant, request, CreateTopUpRuleResponse)
        if earlier is not None:
            return earlier
        book = await book_store.lock_book(conn, desk.tenant, wallet_id)
        check_live(book.wallet)
        now = desk.now()
        made = TopUpRule(
            rule_id=uuid4(),
            wallet_id=wallet_id,
            name=asked.name,
            trigger=_trigger(asked, book),
            amount=asked.amount,
            zone=asked.zone,
            requires_payment=asked.requires_payment,
            ignores_limits=asked.ignores_limits,
            monthly_cap_minor=asked.monthly_cap_minor,
            expires_at=asked.expires_at,
            created_at=now,
            done_through=local_day(now, asked.zone),
            look_at=now,
        )
        _check_limits(made, book)
        await store.insert_rule(conn, desk.tenant, made)
        await store.watch(conn, desk.tenant, wallet_id)
        answer = CreateTopUpRuleResponse(rule=rule_message(made))
        await requests.save_answer(conn, desk.tenant, request, answer)
    return answer


async def update_rule(
    desk: Desk, request: Request, rule_id: UUID, asked: AskedRule
) -> UpdateTopUpRuleResponse:
    """Make a rule what is asked; a repeated `request` gets its first answer again.

    Raises:
        TopUpRuleNotFound: there is none, or it is archived.
        TopUpBelowMinimum, TopUpAboveMaximum.
    """
    async with desk.begin() as conn:
        earlier = await requests.claim(conn, desk.tenant, request, UpdateTopUpRuleResponse)
        if earlier is not None:
            return earlier
        rule, book = await _lock(conn, desk, rule_id)
        rule.check_live()
        now = desk.now()
        trigger = _trigger(asked, book)
        done = rule.done_through
        if (trigger, asked.zone) != (rule.trigger, rule.zone):  # Its new days are all ahead.
            done = max(done, local_day(now, asked.zone))
        changed = replace(
            rule,
            name=asked.name,
            trigger=trigger,
            amount=asked.amount,
            zone=asked.zone,
            requires_payment=asked.requires_payment,
            ignores_limits=asked.ignores_limits,
            monthly_cap_minor=asked.monthly_cap_minor,
            expires_at=asked.expires_at,
            done_through=done,
            look_at=now,
        )
        _check_limits(changed, book)
        await store.save_rules(conn, desk.tenant, [changed])
        await store.watch(conn, desk.tenant, rule.wallet_id)
        answer = UpdateTopUpRuleResponse(rule=rule_message(changed))
        await requests.save_answer(conn, desk.tenant, request, answer)
    return answer


async def archive_rule(desk: Desk, request: Request, rule_id: UUID) -> ArchiveTopUpRuleResponse:
    """End a rule; one that is archived stays as it is.

    Raises:
        TopUpRuleNotFound: there is none.
    """
    async with desk.begin() as conn:
        earlier = await requests.claim(conn, desk.tenant, request, ArchiveTopUpRuleResponse)
        if earlier is not None:
            return earlier
        rule, _ = await _lock(conn, desk, rule_id)
        if rule.archived_at is None:
            rule = replace(rule, archived_at=desk.now(), look_at=None)
            await store.save_rules(conn, desk.tenant, [rule])
            await store.watch(conn, desk.tenant, rule.wallet_id)
        answer = ArchiveTopUpRuleResponse(rule=rule_message(rule))
        await requests.save_answer(conn, desk.tenant, request, answer)
    return answer


async def get_rule(desk: Desk, rule_id: UUID) -> TopUpRule:
    """Return a rule.

    Raises:
        TopUpRuleNotFound: there is none.
    """
    async with desk.begin() as conn:
        return await store.load_rule(conn, desk.tenant, rule_id)


async def list_rules(desk: Desk, wallet_id: UUID, *, after: int, limit: int) -> Sequence[TopUpRule]:
    """Return a wallet's rules, oldest first, from behind the number `after`.

    Raises:
        WalletNotFound: the tenant has no such wallet.
    """
    async with desk.begin() as conn:
        await wallet_store.load_wallet(conn, desk.tenant, wallet_id, desk.now())
        return await store.list_rules(conn, desk.tenant, wallet_id, after=after, limit=limit)


async def _lock(conn: AsyncConnection, desk: Desk, rule_id: UUID) -> tuple[TopUpRule, Book]:
    """Lock a rule's wallet, and then read the rule."""
    found = await store.load_rule(conn, desk.tenant, rule_id)
    book = await book_store.lock_book(conn, desk.tenant, found.wallet_id)
    return await store.load_rule(conn, desk.tenant, rule_id), book


def _check_limits(rule: TopUpRule, book: Book) -> None:
    if isinstance(rule.amount, Fixed) and not rule.ignores_limits:
        book.wallet.limits.check(rule.amount.paid_minor)


def _trigger(asked: AskedRule, book: Book) -> Below | Every:
    match asked.trigger:
        case Below() as below:
            return below
        case AskedEvery(interval, first_day):
            return Every(interval, first_day or local_day(book.wallet.created_at, asked.zone))
