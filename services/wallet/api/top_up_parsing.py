"""Top-ups and their rules as callers ask for them, read field by field."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from libs.errors import FieldInvalid
from libs.money import Money
from libs.wire import (
    parse_date,
    parse_enum,
    parse_money,
    parse_text,
    parse_timestamp,
    parse_uuid,
    parse_zone,
)
from services.wallet.api.parsing import check_each
from services.wallet.domain.grant import MINOR_MAX
from services.wallet.domain.top_up import TopUpStatus
from services.wallet.domain.top_up_rule import Below, Fixed, Interval, UpTo
from services.wallet.operations.top_up_rules import AskedEvery, AskedRule
from services.wallet.operations.topping_up import TopUpOrder
from tally.common.v1 import money_pb2
from tally.wallet.v1 import top_up_pb2
from tally.wallet.v1 import top_up_rule_service_pb2 as pb

COOL_DOWN_MAX = timedelta(days=366)


def parse_top_up(message: top_up_pb2.TopUp) -> TopUpOrder:
    """Read a top-up; what the service decides itself is passed over.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """

    def amount(asked: money_pb2.Money, field: str) -> Money:
        money = parse_money(asked, field)
        _within(money.amount_minor, f"{field}.amount_minor", at_least=0)
        return money

    def amounts() -> list[Money | None]:
        given = [
            amount(getattr(message, name), f"top_up.{name}") if message.HasField(name) else None
            for name in ("paid", "granted")
        ]
        if not any(money.amount_minor for money in given if money):
            raise FieldInvalid("top_up.paid", "is missing, and so is granted: give one above zero")
        return [money if money and money.amount_minor else None for money in given]

    check_each(lambda: parse_uuid(message.wallet_id, "top_up.wallet_id"), amounts)
    paid, granted = amounts()
    return TopUpOrder(UUID(message.wallet_id), paid, granted, message.requires_payment)


def parse_status(value: int) -> TopUpStatus | None:
    """Read which top-ups are asked for; unspecified: all."""
    if not value:
        return None
    return TopUpStatus(parse_enum(value, top_up_pb2.TopUpStatus, "status", prefix="TOP_UP_STATUS_"))


def parse_rule(message: pb.TopUpRule) -> AskedRule:
    """Read a rule; what the service decides itself is passed over.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    check_each(
        lambda: parse_text(message.name, "rule.name", required=False),
        lambda: _trigger(message),
        lambda: _amount(message),
        lambda: parse_zone(message.time_zone, "rule.time_zone", default="UTC"),
        lambda: _cap(message),
        lambda: _expires_at(message),
    )
    return AskedRule(
        name=message.name,
        trigger=_trigger(message),
        amount=_amount(message),
        zone=ZoneInfo(parse_zone(message.time_zone, "rule.time_zone", default="UTC")),
        requires_payment=message.requires_payment,
        ignores_limits=message.ignores_limits,
        monthly_cap_minor=_cap(message),
        expires_at=_expires_at(message),
    )


def _trigger(message: pb.TopUpRule) -> Below | AskedEvery:
    match message.WhichOneof("trigger"):
        case "threshold":
            field = "rule.threshold.threshold_minor"
            threshold_minor = _within(message.threshold.threshold_minor, field, at_least=0)
            return Below(threshold_minor, _cool_down(message.threshold))
        case "interval":
            return _every(message.interval)
        case _:
            raise FieldInvalid("rule.trigger", "is missing: give a threshold or an interval")


def _cool_down(message: pb.ThresholdTrigger) -> timedelta:
    seconds, nanos = message.cool_down.seconds, message.cool_down.nanos
    if nanos or not 0 <= seconds <= COOL_DOWN_MAX.total_seconds():
        raise FieldInvalid(
            "rule.threshold.cool_down",
            f"is {seconds} s and {nanos} ns, must be whole seconds, at most 366 days",
        )
    return timedelta(seconds=seconds)


def _every(message: pb.IntervalTrigger) -> AskedEvery:
    field = "rule.interval.interval"
    interval = parse_enum(message.interval, pb.TopUpInterval, field, prefix="TOP_UP_INTERVAL_")
    first_day: date | None = None
    if message.HasField("first_day"):
        first_day = parse_date(message.first_day, "rule.interval.first_day")
    return AskedEvery(Interval(interval), first_day)


def _amount(message: pb.TopUpRule) -> Fixed | UpTo:
    match message.WhichOneof("amount"):
        case "fixed":
            paid, granted = (
                _within(getattr(message.fixed, name), f"rule.fixed.{name}", at_least=0)
                for name in ("paid_minor", "granted_minor")
            )
            if not paid + granted:
                raise FieldInvalid("rule.fixed.paid_minor", "is 0, and so is granted_minor")
            return Fixed(paid, granted)
        case "target":
            field = "rule.target.target_minor"
            target = _within(message.target.target_minor, field, at_least=1)
            if target <= message.threshold.threshold_minor:
                threshold = message.threshold.threshold_minor
                raise FieldInvalid(field, f"is {target}, must be above the threshold {threshold}")
            return UpTo(target, message.target.granted)
        case _:
            raise FieldInvalid("rule.amount", "is missing: give a fixed amount or a target")


def _cap(message: pb.TopUpRule) -> int | None:
    if not message.HasField("monthly_cap_minor"):
        return None
    return _within(message.monthly_cap_minor, "rule.monthly_cap_minor", at_least=1)


def _expires_at(message: pb.TopUpRule) -> datetime | None:
    if not message.HasField("expires_at"):
        return None
    return parse_timestamp(message.expires_at, "rule.expires_at")


def _within(amount_minor: int, field: str, *, at_least: int) -> int:
    if not at_least <= amount_minor <= MINOR_MAX:
        problem = f"is {amount_minor}, must be {at_least} to {MINOR_MAX}"
        raise FieldInvalid(field, problem)
    return amount_minor
