"""The gRPC face of alerts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.wire import Faults, parse_page, parse_request, parse_text, parse_uuid
from services.rating.api.alert_parsing import parse_alert
from services.rating.operations import alerts as operations
from tally.rating.v1 import alert_service_pb2 as pb
from tally.rating.v1 import alert_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class AlertServicer(alert_service_pb2_grpc.AlertServiceServicer):
    """Answers for alerts."""

    engine: AsyncEngine
    clock: Clock
    created: Callable[[], None]  # Called after one is: usage is to be looked at.

    async def CreateAlert(
        self, request: pb.CreateAlertRequest, context: Context
    ) -> pb.CreateAlertResponse:
        """Create an alert."""
        now = self.clock.now()
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            alert = parse_alert(request, now)
        faults.check()
        answer = await operations.create_alert(self.engine, tenant(), wanted, alert, now=now)
        self.created()
        return answer

    async def GetAlert(self, request: pb.GetAlertRequest, context: Context) -> pb.GetAlertResponse:
        """Return an alert."""
        alert_id = parse_uuid(request.alert_id, "alert_id")
        return await operations.get_alert(self.engine, tenant(), alert_id)

    async def ListAlerts(
        self, request: pb.ListAlertsRequest, context: Context
    ) -> pb.ListAlertsResponse:
        """Return a page of alerts."""
        faults = Faults()
        with faults.gathered():
            named = parse_text(request.subscription_id, "subscription_id", required=False)
        with faults.gathered():
            page = parse_page(request.page_size, request.page_token)
        faults.check()
        return await operations.list_alerts(self.engine, tenant(), subscription_id=named, page=page)

    async def DeleteAlert(
        self, request: pb.DeleteAlertRequest, context: Context
    ) -> pb.DeleteAlertResponse:
        """Delete an alert."""
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            alert_id = parse_uuid(request.alert_id, "alert_id")
        faults.check()
        return await operations.delete_alert(self.engine, tenant(), wanted, alert_id)
