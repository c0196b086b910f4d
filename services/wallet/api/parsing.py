"""Requests of callers, read field by field."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal
from uuid import UUID, uuid4

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from libs.errors import FieldInvalid
from libs.money import Money
from libs.wire import (
    Faults,
    parse_code,
    parse_currency,
    parse_decimal,
    parse_enum,
    parse_money,
    parse_text,
    parse_timestamp,
    parse_uuid,
)
from services.wallet.domain.apply_credits import BASE, USAGE
from services.wallet.domain.grant import MINOR_MAX, GrantKind, GrantOrder
from services.wallet.domain.hold import STANDALONE, SUBSCRIPTION, TTL_DEFAULT, TTL_MAX, TTL_MIN
from services.wallet.domain.wallet import (
    PRIORITY_DEFAULT,
    PRIORITY_MAX,
    RATE_DEFAULT,
    Changes,
    Credits,
    Scope,
    Wallet,
)
from tally.common.v1.money_pb2 import Money as MoneyMessage
from tally.wallet.v1 import hold_service_pb2, wallet_changes_pb2, wallet_service_pb2

FEE_KINDS = (USAGE, BASE)  # What a scope may name.
SCOPE_VALUES_MAX = 100
RATE_MAX = Decimal(10**9)


def parse_wallet(message: wallet_service_pb2.Wallet, now: datetime) -> Wallet:
    """Read a wallet to open; what the service decides itself is passed over.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
        CurrencyMismatch: its low balance or soft limit is in another currency.
    """
    check_each(
        lambda: parse_text(message.customer_id, "wallet.customer_id"),
        lambda: parse_currency(message.currency_code, "wallet.currency_code"),
        lambda: parse_optional_code(message.code, "wallet.code"),
        lambda: parse_rate(message.rate, "wallet.rate"),
        lambda: parse_wallet_expiry(message, now),
        lambda: parse_changes(message),
    )
    wallet = Wallet(
        wallet_id=uuid4(),
        customer_id=message.customer_id,
        currency=message.currency_code,
        created_at=now,
        code=message.code,
        rate=parse_rate(message.rate, "wallet.rate"),
        expires_at=parse_wallet_expiry(message, now),
        name=message.name,
        priority=PRIORITY_DEFAULT,
        scope=Scope(),
    )
    return parse_changes(message).of(wallet)


def parse_changes(message: wallet_service_pb2.Wallet) -> Changes:
    """Read what may change of a wallet.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    check_each(
        lambda: parse_text(message.name, "wallet.name", required=False),
        lambda: parse_priority(message.priority, "wallet.priority"),
        lambda: parse_scope(message.scope, "wallet.scope"),
        lambda: parse_threshold(message, "low_balance"),
        lambda: parse_threshold(message, "soft_limit"),
        lambda: parse_limits(message),
    )
    least, most = parse_limits(message)
    return Changes(
        name=message.name,
        priority=parse_priority(message.priority, "wallet.priority"),
        scope=parse_scope(message.scope, "wallet.scope"),
        low=parse_threshold(message, "low_balance"),
        soft=parse_threshold(message, "soft_limit"),
        top_up_minimum=least,
        top_up_maximum=most,
    )


def parse_limits(message: wallet_service_pb2.Wallet) -> tuple[Money | None, Money | None]:
    """Read how much is bought for a wallet at once, at least and at most; None: any."""
    least = parse_threshold(message, "top_up_minimum")
    most = parse_threshold(message, "top_up_maximum")
    if least and most and least.amount_minor > most.amount_minor:
        problem = f"is {most.amount_minor}, must be at least the minimum {least.amount_minor}"
        raise FieldInvalid("wallet.top_up_maximum.amount_minor", problem)
    return least, most


def parse_threshold(
    message: wallet_service_pb2.Wallet,
    name: Literal["low_balance", "soft_limit", "top_up_minimum", "top_up_maximum"],
) -> Money | None:
    """Read an amount that a wallet may have; None: it has none."""
    if not message.HasField(name):
        return None
    return parse_positive(getattr(message, name), f"wallet.{name}")


def parse_positive(message: MoneyMessage, field: str) -> Money:
    """Read an amount of 1 to 10^15 minor units."""
    amount = parse_money(message, field)
    if not 0 < amount.amount_minor <= MINOR_MAX:
        problem = f"is {amount.amount_minor}, must be 1 to {MINOR_MAX}"
        raise FieldInvalid(f"{field}.amount_minor", problem)
    return amount


def parse_rate(text: str, field: str) -> Decimal:
    """Read how much of the currency a credit is worth; "" is the default."""
    if not text:
        return RATE_DEFAULT
    rate = parse_decimal(text, field, above=Decimal(0))
    if rate > RATE_MAX:
        raise FieldInvalid(field, f"{text} is above {RATE_MAX}")
    return rate


def parse_wallet_expiry(message: wallet_service_pb2.Wallet, now: datetime) -> datetime | None:
    """Read when all of a wallet's grants lapse; None: never."""
    if not message.HasField("expires_at"):
        return None
    expires_at = parse_timestamp(message.expires_at, "wallet.expires_at")
    if expires_at <= now:
        raise FieldInvalid("wallet.expires_at", f"{expires_at.isoformat()} has passed")
    return expires_at


def parse_voids(value: int) -> bool:
    """Read whether what is left of a wallet shall be void when it is ended."""
    leftovers = wallet_changes_pb2.Leftover
    return parse_enum(value, leftovers, "leftover", prefix="LEFTOVER_") == "void"


def parse_optional_uuid(text: str, field: str) -> UUID | None:
    """Read a UUID that may be left out."""
    return parse_uuid(text, field) if text else None


def parse_optional_code(text: str, field: str) -> str:
    """Read a code that may be left out."""
    return parse_code(text, field) if text else ""


def parse_grant(message: wallet_service_pb2.Grant) -> GrantOrder:
    """Read a grant to put in; what the service decides itself is passed over.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """

    def instant(name: Literal["effective_at", "expires_at"]) -> datetime | None:
        given: Timestamp = getattr(message, name)
        return parse_timestamp(given, f"grant.{name}") if message.HasField(name) else None

    check_each(
        lambda: parse_uuid(message.wallet_id, "grant.wallet_id"),
        lambda: parse_grant_kind(message.kind),
        lambda: parse_asked(message, "grant."),
        lambda: parse_priority(message.priority, "grant.priority"),
        lambda: instant("effective_at"),
        lambda: instant("expires_at"),
        lambda: parse_text(message.reference, "grant.reference", required=False),
    )
    return GrantOrder(
        wallet_id=UUID(message.wallet_id),
        kind=parse_grant_kind(message.kind),
        amount=parse_asked(message, "grant."),
        priority=parse_priority(message.priority, "grant.priority"),
        effective_at=instant("effective_at"),
        expires_at=instant("expires_at"),
        reference=message.reference,
    )


def parse_amount(
    message: hold_service_pb2.AuthorizeRequest
    | hold_service_pb2.CaptureRequest
    | hold_service_pb2.ExtendHoldRequest,
    *,
    at_least: int,
) -> Money:
    """Read the amount of a hold or a capture."""
    if not message.HasField("amount"):
        raise FieldInvalid("amount", "is missing")
    amount = parse_money(message.amount, "amount")
    if amount.amount_minor < at_least:
        problem = f"is {amount.amount_minor}, must be at least {at_least}"
        raise FieldInvalid("amount.amount_minor", problem)
    return amount


def parse_extension(
    message: hold_service_pb2.ExtendHoldRequest,
) -> tuple[Money | None, timedelta | None]:
    """Read what more a hold reserves and how long it stands, at least one of them."""
    has_amount, has_ttl = message.HasField("amount"), message.HasField("ttl")
    if not (has_amount or has_ttl):
        raise FieldInvalid("amount", "is missing, and so is ttl: give one of them")
    check_each(
        lambda: parse_amount(message, at_least=1) if has_amount else None,
        lambda: parse_ttl(message),
    )
    return (
        parse_amount(message, at_least=1) if has_amount else None,
        parse_ttl(message) if has_ttl else None,
    )


def parse_ttl(
    message: hold_service_pb2.AuthorizeRequest | hold_service_pb2.ExtendHoldRequest,
) -> timedelta:
    """Read how long a hold stands, to the microsecond."""
    if not message.HasField("ttl"):
        return TTL_DEFAULT
    return parse_duration(message.ttl, "ttl", TTL_MIN, TTL_MAX)


def parse_duration(
    message: Duration, field: str, at_least: timedelta, at_most: timedelta
) -> timedelta:
    """Read a time within bounds, in whole microseconds."""
    bounds = f"must be {at_least.total_seconds():g} s to {_span_text(at_most)}"
    seconds, nanos = message.seconds, message.nanos
    if not 0 <= seconds <= at_most.total_seconds() or not 0 <= nanos < 1_000_000_000:
        raise FieldInvalid(field, f"is {seconds} s and {nanos} ns, {bounds}")
    span = timedelta(seconds=seconds, microseconds=nanos // 1_000)
    if nanos % 1_000 or not at_least <= span <= at_most:
        raise FieldInvalid(field, f"is {span}, {bounds} in whole microseconds")
    return span


def _span_text(span: timedelta) -> str:
    return f"{span.days} days" if span.days else f"{span.total_seconds():g} s"


def parse_purpose(message: hold_service_pb2.AuthorizeRequest) -> str | None:
    """Read for what a hold stands: a subscription's id, or None for a sale of its own."""
    match message.WhichOneof("purpose"):
        case "subscription_id":
            return parse_text(message.subscription_id, "subscription_id")
        case "standalone" if message.standalone:
            return None
        case "standalone":
            raise FieldInvalid("standalone", "must be true, or a subscription_id be given")
        case _:
            raise FieldInvalid("purpose", "is missing: give a subscription_id, or standalone")


def parse_hold_id(text: str) -> str:
    """Read a hold's id: std_ or sub_ and a UUID."""
    prefix, uuid = text[: len(STANDALONE)], text[len(STANDALONE) :]
    if not text:
        raise FieldInvalid("hold_id", "is missing")
    if prefix not in (STANDALONE, SUBSCRIPTION):
        raise FieldInvalid(
            "hold_id", f"{text[:50]!r} is not {STANDALONE} or {SUBSCRIPTION} and a UUID"
        )
    return f"{prefix}{parse_uuid(uuid, 'hold_id')}"


def parse_asked(
    message: wallet_service_pb2.Grant
    | wallet_changes_pb2.VoidCreditsRequest
    | wallet_changes_pb2.TransferCreditsRequest,
    above: str = "",
) -> Money | Credits:
    """Read how much is asked: an amount of money, or credits."""
    if message.HasField("amount"):
        if message.credits:
            raise FieldInvalid(f"{above}credits", "and an amount are given: give one of them")
        return parse_positive(message.amount, f"{above}amount")
    if not message.credits:
        raise FieldInvalid(f"{above}amount", "is missing: give it, or credits")
    return Credits(parse_decimal(message.credits, f"{above}credits", above=Decimal(0)))


def parse_grant_kind(value: int) -> GrantKind:
    """Read how credit came about."""
    kinds = wallet_service_pb2.GrantKind
    return GrantKind(parse_enum(value, kinds, "grant.kind", prefix="GRANT_KIND_"))


def parse_priority(priority: int, field: str) -> int:
    """Read a priority; 0 is the default."""
    if not 0 <= priority <= PRIORITY_MAX:
        raise FieldInvalid(field, f"is {priority}, must be 0 to {PRIORITY_MAX}")
    return priority or PRIORITY_DEFAULT


def parse_scope(message: wallet_service_pb2.WalletScope, field: str) -> Scope:
    """Read what a wallet may pay for."""
    kinds = parse_values(message.fee_kinds, f"{field}.fee_kinds", parse_fee_kind)
    meters = parse_values(message.meter_codes, f"{field}.meter_codes", parse_code)
    return Scope(kinds, meters)


def parse_values(
    texts: Iterable[str], field: str, parse: Callable[[str, str], str]
) -> frozenset[str]:
    """Read every value of a short list."""
    given = list(texts)
    if len(given) > SCOPE_VALUES_MAX:
        raise FieldInvalid(field, f"has {len(given)} values, may have {SCOPE_VALUES_MAX}")
    return frozenset(parse(text, f"{field}[{place}]") for place, text in enumerate(given))


def parse_fee_kind(text: str, field: str) -> str:
    """Read the kind of a fee that a scope names."""
    if text not in FEE_KINDS:
        raise FieldInvalid(field, f"{text[:50]!r} is none of {', '.join(FEE_KINDS)}")
    return text


def check_each(*parses: Callable[[], object]) -> None:
    """Call all of `parses`, so that the caller learns of every fault at once.

    Raises:
        FieldInvalid, FieldsInvalid: what they raised.
    """
    faults = Faults()
    for parse in parses:
        with faults.gathered():
            parse()
    faults.check()
