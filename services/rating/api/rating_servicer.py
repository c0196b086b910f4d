"""The gRPC face of pricing and closing billing periods."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import caller, tenant
from libs.clock import Clock
from libs.db import Snapshots
from libs.wire import Faults, parse_page, parse_request, parse_text, parse_uuid, parse_uuids
from services.rating.api.fee_parsing import parse_wanted_fee
from services.rating.api.instant_parsing import parse_payment, parse_selection
from services.rating.api.simulation_parsing import parse_simulation
from services.rating.operations import closing
from services.rating.operations.closes import list_closes
from services.rating.operations.crossing import get_crossing, list_crossings
from services.rating.operations.explaining_fees import explain_fee
from services.rating.operations.following import follow_usage
from services.rating.operations.instant_payments import list_instant_fees, set_payment
from services.rating.operations.log import Log
from services.rating.operations.rating import rate_period
from services.rating.operations.simulating import simulate_plan
from tally.rating.v1 import fee_explanation_pb2 as pb_explanation
from tally.rating.v1 import following_pb2 as pb_following
from tally.rating.v1 import rating_service_pb2 as pb
from tally.rating.v1 import rating_service_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]


class RatingServicer(rating_service_pb2_grpc.RatingServiceServicer):
    """Answers for what periods cost."""

    def __init__(
        self,
        engine: AsyncEngine,
        worker: AsyncEngine,
        log: Log,
        clock: Clock,
        noted: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._worker = worker
        self._log = log
        self._clock = clock
        self._noted = noted  # Called when usage is to be looked at.

    async def RatePeriod(
        self, request: pb.RatePeriodRequest, context: Context
    ) -> pb.RatePeriodResponse:
        period_id = parse_uuid(request.period_id, "period_id")
        return await rate_period(self._engine, self._log, tenant(), period_id)

    async def ClosePeriod(
        self, request: pb.ClosePeriodRequest, context: Context
    ) -> pb.ClosePeriodResponse:
        period_id = parse_uuid(request.period_id, "period_id")
        now = self._clock.now()
        return await closing.close_period(self._engine, self._log, tenant(), period_id, now=now)

    async def ClosePeriods(
        self, request: pb.ClosePeriodsRequest, context: Context
    ) -> pb.ClosePeriodsResponse:
        period_ids = parse_uuids(request.period_ids, "period_ids")
        now = self._clock.now()
        return await closing.close_periods(self._engine, self._log, tenant(), period_ids, now=now)

    async def CloseAdjustment(
        self, request: pb.CloseAdjustmentRequest, context: Context
    ) -> pb.CloseAdjustmentResponse:
        period_id = parse_uuid(request.period_id, "period_id")
        now = self._clock.now()
        return await closing.close_adjustment(
            self._engine,
            self._log,
            tenant(),
            period_id,
            sequence=request.sequence,
            now=now,
        )

    async def ListCloses(
        self, request: pb.ListClosesRequest, context: Context
    ) -> pb.ListClosesResponse:
        return await list_closes(
            Snapshots(self._engine, self._worker, caller().tenant),
            period_ids=parse_uuids(request.period_ids, "period_ids"),
            page=parse_page(request.page_size, request.page_token),
        )

    def ExplainFee(
        self, request: pb_explanation.ExplainFeeRequest, context: Context
    ) -> AsyncGenerator[pb_explanation.ExplainFeeResponse, None]:
        wanted = parse_wanted_fee(request)
        snapshots = Snapshots(self._engine, self._worker, tenant())
        return explain_fee(snapshots, self._log, tenant(), wanted)

    async def GetThresholdCrossing(
        self, request: pb.GetThresholdCrossingRequest, context: Context
    ) -> pb.GetThresholdCrossingResponse:
        crossing_id = parse_uuid(request.crossing_id, "crossing_id")
        return await get_crossing(self._engine, tenant(), crossing_id)

    async def ListThresholdCrossings(
        self, request: pb.ListThresholdCrossingsRequest, context: Context
    ) -> pb.ListThresholdCrossingsResponse:
        faults = Faults()
        with faults.gathered():
            subscription_id = parse_text(request.subscription_id, "subscription_id", required=False)
        with faults.gathered():
            page = parse_page(request.page_size, request.page_token)
        faults.check()
        return await list_crossings(self._engine, tenant(), subscription_id, page)

    async def FollowUsage(
        self, request: pb_following.FollowUsageRequest, context: Context
    ) -> pb_following.FollowUsageResponse:
        customer_id = parse_text(request.customer_id, "customer_id")
        answer = await follow_usage(self._engine, tenant(), customer_id)
        self._noted()
        return answer

    async def ListInstantFees(
        self, request: pb.ListInstantFeesRequest, context: Context
    ) -> pb.ListInstantFeesResponse:
        faults = Faults()
        with faults.gathered():
            page = parse_page(request.page_size, request.page_token)
        with faults.gathered():
            selection = parse_selection(request)
        faults.check()
        return await list_instant_fees(self._engine, tenant(), selection, page)

    async def SetInstantFeePayment(
        self, request: pb.SetInstantFeePaymentRequest, context: Context
    ) -> pb.SetInstantFeePaymentResponse:
        faults = Faults()
        with faults.gathered():
            wanted = parse_request(request, request.request_id)
        with faults.gathered():
            fee_id, status = parse_payment(request)
        faults.check()
        return await set_payment(self._engine, tenant(), wanted, fee_id, status)

    def SimulatePlan(
        self, request: pb.SimulatePlanRequest, context: Context
    ) -> AsyncGenerator[pb.SimulatePlanResponse, None]:
        wanted, selection = parse_simulation(request, self._clock.now())
        return simulate_plan(
            Snapshots(self._engine, self._worker, tenant()),
            self._log,
            tenant(),
            wanted,
            selection,
            with_periods=request.with_periods,
        )
