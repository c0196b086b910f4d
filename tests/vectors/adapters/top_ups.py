"""Rules that top wallets up: when they do, and with how much."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.money import Money, round_minor, to_decimal
from libs.period import local_day
from services.wallet.domain.top_up_limits import Limits
from services.wallet.domain.top_up_rule import (
    Below,
    Every,
    Fixed,
    Interval,
    TopUpRule,
    UpTo,
    fires_on,
)
from services.wallet.domain.topping_up import Situation, look
from tests.vectors.adapters.recorded import CURRENCY, UTC_ZONE, instant
from tests.vectors.given import Given

INTERVALS = {
    "weekly": Interval.WEEK,
    "monthly": Interval.MONTH,
    "quarterly": Interval.QUARTER,
    "yearly": Interval.YEAR,
}
NOW = datetime(2024, 6, 1, tzinfo=UTC)
AN_ID = UUID(int=1)


def top_up(given: Given) -> dict[str, Any]:
    """Run the function that the case is of, which is known by what it gives."""
    return {"fires": _fires(given)} if given.has("interval") else {"top_up": _top_up(given)}


def _fires(given: Given) -> bool:
    zone = ZoneInfo(given.text("customer_timezone")) if given.has("customer_timezone") else UTC_ZONE
    created_at = instant(given.text("wallet_created_at"))
    start = instant(given.text("rule_started_at")) if given.has("rule_started_at") else created_at
    every = Every(INTERVALS[given.text("interval")], local_day(start, zone))
    rule = _rule(every, Fixed(1, 0), created_at, zone=zone)
    return fires_on(rule, every, local_day(instant(given.text("at")), zone))


def _top_up(given: Given) -> dict[str, Decimal] | None:
    wallet, asked = given.inner("wallet"), given.inner("rule")
    credit = wallet.decimal("rate_amount")

    def minor(source: Given, key: str) -> int:
        return round_minor((source.find_decimal(key) or Decimal(0)) * credit, CURRENCY)

    def limit(which: str) -> int | None:
        key = f"paid_top_up_{which}_amount_cents"
        return wallet.value(key) if wallet.has(key) else None

    def flag(source: Given, key: str) -> bool:
        return source.has(key) and source.value(key) is True

    fixed = Fixed(minor(asked, "paid_credits"), minor(asked, "granted_credits"))
    target = UpTo(minor(asked, "target_ongoing_balance"), flag(asked, "grants_target_top_up"))
    triggers: dict[str, Below | Every] = {
        "threshold": Below(minor(asked, "threshold_credits")),
        "interval": Every(Interval.DAY, NOW.date()),
    }
    amounts_by: dict[str, Fixed | UpTo] = {"fixed": fixed, "target": target}
    changed = not given.has("ongoing_balance_changed") or flag(given, "ongoing_balance_changed")
    if wallet.has("credits_balance"):
        wallet.value("credits_balance")
    rule = _rule(
        triggers[asked.text("trigger")],
        amounts_by[asked.text("method")],
        NOW - timedelta(days=1),
        ignores_limits=flag(asked, "ignore_paid_top_up_limits"),
        expires_at=NOW if flag(asked, "expired") else None,
        look_at=NOW if changed else None,
    )
    if given.has("failed_manual_top_up_minutes_ago"):  # Of those, no rule is told.
        given.value("failed_manual_top_up_minutes_ago")
    ago = "last_failed_automatic_top_up_minutes_ago"
    paid_since = flag(given, "paid_top_up_settled_since_that_failure")
    situation = Situation(
        instant=NOW,
        ongoing_minor=minor(wallet, "credits_ongoing_balance"),
        limits=Limits(limit("min"), limit("max")),
        declined_at=NOW - timedelta(minutes=given.value(ago)) if given.has(ago) else None,
        settled_at=NOW if paid_since else None,
    )
    amounts = look(rule, situation).amounts if rule.is_due(NOW) else None
    if amounts is None:
        return None
    return {
        "paid_credits": to_decimal(Money(CURRENCY, amounts.paid_minor)) / credit,
        "granted_credits": to_decimal(Money(CURRENCY, amounts.granted_minor)) / credit,
    }


def _rule(
    trigger: Below | Every,
    amount: Fixed | UpTo,
    created_at: datetime,
    *,
    zone: ZoneInfo = UTC_ZONE,
    **fields: Any,
) -> TopUpRule:
    return TopUpRule(
        rule_id=AN_ID,
        wallet_id=AN_ID,
        name="",
        trigger=trigger,
        amount=amount,
        zone=zone,
        requires_payment=True,
        created_at=created_at,
        done_through=local_day(created_at, zone),
        **{"look_at": created_at, **fields},
    )
