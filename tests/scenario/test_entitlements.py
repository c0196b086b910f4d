"""What a plan allows, and telling that it is nearly used up, from one period to the next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from cli.client import SuiteClient
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tally.rating.v1.alert_service_pb2 import (
    Alert,
    AlertMeasure,
    AlertThreshold,
    CreateAlertRequest,
    GetAlertRequest,
)
from tally.rating.v1.entitlement_service_pb2 import (
    CheckEntitlementRequest,
    CheckReason,
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
from tally.rating.v1.meter_service_pb2 import Aggregation
from tests.scenario.builders import sell, subscribe, usage
from tests.suite import Suite

JUN_1, JUL_1 = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
ACME = EntitlementSubject(customer_id="acme")


async def test_a_thousand_calls_a_month_with_a_word_at_eight_hundred(suite: Suite) -> None:
    await suite.advance(JUN_1)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, aggregation=Aggregation.AGGREGATION_COUNT)
        await _allow_a_thousand(client)
        await subscribe(client, "acme", JUN_1)
        alert_id = await _alert_at_800(client)

        await suite.advance(JUN_1 + DAY)
        token = await _call(client, 799, JUN_1 + DAY)
        assert await _check(client, token) == (True, CheckReason.CHECK_REASON_ENTITLED, "201")
        await suite.settle()
        assert await _told(client, alert_id) == []
        await _call(client, 1, JUN_1 + DAY)
        await suite.settle()
        assert await _told(client, alert_id) == [(6, "800")]
        token = await _call(client, 200, JUN_1 + DAY)
        no = (False, CheckReason.CHECK_REASON_ABOVE_HARD_LIMIT, "0")
        assert await _check(client, token) == no, "the 1,001st"
        await suite.settle()
        assert await _told(client, alert_id) == [(6, "800")]

        await suite.advance(JUL_1 + DAY)
        assert await _check(client) == (True, CheckReason.CHECK_REASON_ENTITLED, "1000")
        await _call(client, 900, JUL_1 + DAY)
        await suite.settle()
        assert await _told(client, alert_id) == [(7, "900"), (6, "800")]


async def _allow_a_thousand(client: SuiteClient) -> None:
    seats = Privilege(code="seats", type=PrivilegeType.PRIVILEGE_TYPE_INTEGER)
    feature = Feature(code="api", meter_code="calls", privileges=[seats])
    await client.entitlements.CreateFeature(
        CreateFeatureRequest(request_id=str(uuid4()), feature=feature)
    )
    limit = UsageLimit(
        units="1000",
        kind=LimitKind.LIMIT_KIND_HARD,
        reset=LimitReset.LIMIT_RESET_USAGE_PERIOD,
    )
    five = PrivilegeValue(privilege_code="seats", integer=5)
    given = Entitlement(feature_code="api", limit=limit, privileges=[five])
    await client.entitlements.SetPlanEntitlements(
        SetPlanEntitlementsRequest(request_id=str(uuid4()), plan_code="pro", entitlements=[given])
    )


async def _alert_at_800(client: SuiteClient) -> str:
    alert = Alert(
        subscription_id="acme-pro",
        code="nearly",
        measure=AlertMeasure.ALERT_MEASURE_UNITS,
        meter_code="calls",
        thresholds=[AlertThreshold(code="most", value="800")],
    )
    answer = await client.alerts.CreateAlert(
        CreateAlertRequest(request_id=str(uuid4()), alert=alert)
    )
    return answer.alert.alert_id


async def _call(client: SuiteClient, count: int, at: datetime) -> str:
    """Record calls; return what stands for them."""
    events = [usage("acme", at) for _ in range(count)]
    return (await client.ingest.RecordEvents(RecordEventsRequest(events=events))).ack_token


async def _check(
    client: SuiteClient, ack_token: str = ""
) -> tuple[bool, CheckReason.ValueType, str]:
    asked = CheckEntitlementRequest(subject=ACME, feature_code="api", ack_token=ack_token)
    check = (await client.entitlements.CheckEntitlement(asked)).check
    assert check.subscription_id == "acme-pro"
    assert [one.integer for one in check.privileges] == [5]
    return check.allowed, check.reason, check.left


async def _told(client: SuiteClient, alert_id: str) -> list[tuple[int, str]]:
    """Return month and usage of all that the alert told, the newest first."""
    answer = await client.alerts.GetAlert(GetAlertRequest(alert_id=alert_id))
    return [(one.period.start.ToDatetime().month, one.value) for one in answer.firings]
