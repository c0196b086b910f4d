"""Checking a hundred features of a hundred customers at once, half of them limited by meters."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import uuid4

from cli.client import SuiteClient
from deploy.embedded.stack import Stack
from tally.rating.v1.entitlement_service_pb2 import (
    CheckEntitlementsRequest,
    CheckEntitlementsResponse,
    CreateFeatureRequest,
    Entitlement,
    EntitlementSubject,
    Feature,
    LimitKind,
    LimitReset,
    Privilege,
    PrivilegeType,
    PrivilegeValue,
    SetPlanEntitlementsRequest,
    UsageLimit,
)
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.bench import machine
from tests.bench.workload import METERS, customer

CUSTOMERS, FEATURES = 100, 100
CALLS = 20
MILLIS = 1_000
RESETS = (
    LimitReset.LIMIT_RESET_USAGE_PERIOD,
    LimitReset.LIMIT_RESET_MONTH,
    LimitReset.LIMIT_RESET_DAY,
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a call took: each one's wall time, and the processor time of rating for one."""

    wall_ms: list[float]
    cpu_ms: float


async def measure(stack: Stack, client: SuiteClient) -> Figures:
    """Give the plan of the tenant of `client` its features, and ask for all of them at once."""
    await _entitle(client)
    request = CheckEntitlementsRequest(
        subjects=[EntitlementSubject(customer_id=customer(number)) for number in range(CUSTOMERS)],
        feature_codes=[_code(number) for number in range(FEATURES)],
    )
    _check(await client.entitlements.CheckEntitlements(request), await _used(client))
    rating = stack.process("rating")
    assert rating is not None
    wall = []
    before = machine.cpu_seconds(rating.pid)
    for _ in range(CALLS):
        started = time.perf_counter()
        await client.entitlements.CheckEntitlements(request)
        wall.append((time.perf_counter() - started) * MILLIS)
    cpu = (machine.cpu_seconds(rating.pid) - before) * MILLIS / CALLS
    return Figures(wall, cpu)


async def _entitle(client: SuiteClient) -> None:
    for number in range(FEATURES):
        feature = Feature(
            code=_code(number),
            meter_code=_meter(number),
            privileges=[Privilege(code="seats", type=PrivilegeType.PRIVILEGE_TYPE_INTEGER)],
        )
        await client.entitlements.CreateFeature(
            CreateFeatureRequest(request_id=str(uuid4()), feature=feature)
        )
    given = [_given(number) for number in range(FEATURES)]
    await client.entitlements.SetPlanEntitlements(
        SetPlanEntitlementsRequest(request_id=str(uuid4()), plan_code="usage", entitlements=given)
    )


def _code(number: int) -> str:
    return f"feature-{number:03}"


def _meter(number: int) -> str:
    """Return the meter of a feature; every second one has none."""
    return METERS[number // 2 % len(METERS)].code if number % 2 == 0 else ""


def _given(number: int) -> Entitlement:
    seats = PrivilegeValue(privilege_code="seats", integer=number)
    limit = UsageLimit(
        units="1000000000",
        kind=LimitKind.LIMIT_KIND_HARD,
        reset=RESETS[number // 2 // len(METERS) % len(RESETS)],
    )
    return Entitlement(
        feature_code=_code(number),
        privileges=[seats],
        limit=limit if _meter(number) else None,
    )


async def _used(client: SuiteClient) -> str:
    """Return the units of the first meter that the first customer has used in the period."""
    answer = await client.usage.GetUsage(GetUsageRequest(subscription_id=customer(0)))
    [fee] = [fee for fee in answer.fees if fee.meter_code == METERS[0].code]
    return fee.units


def _check(answer: CheckEntitlementsResponse, used: str) -> None:
    checks = [check for subject in answer.subjects for check in subject.checks]
    assert len(checks) == CUSTOMERS * FEATURES, len(checks)
    assert all(check.allowed for check in checks), checks[0]
    assert sum(check.limited for check in checks) == len(checks) / 2, checks[0]
    assert checks[0].used == used, (checks[0], used)
