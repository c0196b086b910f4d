"""Features, entitlements and checks as messages."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from libs.quantity import decimal_text
from libs.wire import timestamp
from services.rating.domain.entitlement import (
    Entitlement,
    Feature,
    Override,
    Privilege,
    PrivilegeType,
    Value,
)
from services.rating.domain.metered_limit import Limit, LimitKind, LimitReset, Reason, Standing
from tally.rating.v1 import entitlement_service_pb2 as pb

TYPES = {one: pb.PrivilegeType.Value(f"PRIVILEGE_TYPE_{one.upper()}") for one in PrivilegeType}
KINDS = {one: pb.LimitKind.Value(f"LIMIT_KIND_{one.upper()}") for one in LimitKind}
RESETS = {one: pb.LimitReset.Value(f"LIMIT_RESET_{one.upper()}") for one in LimitReset}
REASONS = {one: pb.CheckReason.Value(f"CHECK_REASON_{one.upper()}") for one in Reason}


def feature_message(feature: Feature) -> pb.Feature:
    """Write a feature."""
    return pb.Feature(
        code=feature.code,
        name=feature.name,
        privileges=[_privilege_message(one) for one in feature.privileges],
        meter_code=feature.meter_code,
        created_at=timestamp(feature.created_at),
        archived_at=None if feature.archived_at is None else timestamp(feature.archived_at),
    )


def entitlement_message(entitlement: Entitlement) -> pb.Entitlement:
    """Write what a plan or subscription has of a feature."""
    return pb.Entitlement(
        feature_code=entitlement.feature_code,
        privileges=value_messages(entitlement.values),
        limit=_limit_message(entitlement.limit),
    )


def override_message(override: Override) -> pb.EntitlementOverride:
    """Write in what a subscription differs."""
    return pb.EntitlementOverride(
        feature_code=override.feature_code,
        removed=override.removed,
        privileges=value_messages(override.values),
        limit=_limit_message(override.limit),
        unlimited=override.unlimited,
    )


def value_messages(values: Mapping[str, Value]) -> list[pb.PrivilegeValue]:
    """Write values of privileges, given by code."""
    return [_value_message(code, value) for code, value in values.items()]


def standing_message(standing: Standing) -> pb.EntitlementCheck:
    """Write how a limit stands."""
    return pb.EntitlementCheck(
        limited=True,
        limit=decimal_text(standing.total),
        used="" if standing.used is None else decimal_text(standing.used),
        left=decimal_text(standing.left),
        rolled_over=decimal_text(standing.rolled_over),
        kind=KINDS[standing.limit.kind],
        resets_at=timestamp(standing.resets_at),
    )


def _privilege_message(privilege: Privilege) -> pb.Privilege:
    return pb.Privilege(
        code=privilege.code,
        name=privilege.name,
        type=TYPES[privilege.type],
        options=privilege.options,
    )


def _value_message(code: str, value: Value) -> pb.PrivilegeValue:
    match value:
        case bool():
            return pb.PrivilegeValue(privilege_code=code, flag=value)
        case int():
            return pb.PrivilegeValue(privilege_code=code, integer=value)
        case Decimal():
            return pb.PrivilegeValue(privilege_code=code, decimal=decimal_text(value))
        case str():
            return pb.PrivilegeValue(privilege_code=code, text=value)


def _limit_message(limit: Limit | None) -> pb.UsageLimit | None:
    if limit is None:
        return None
    rollover = None
    if limit.rollover is not None:
        rollover = pb.Rollover(
            minimum=decimal_text(limit.rollover.minimum),
            maximum=decimal_text(limit.rollover.maximum),
        )
    return pb.UsageLimit(
        units=decimal_text(limit.units),
        kind=KINDS[limit.kind],
        reset=RESETS[limit.reset],
        rollover=rollover,
    )
