"""The gRPC face of dunning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.wire import (
    Faults,
    fitting,
    page_token,
    parse_currency,
    parse_money,
    parse_page,
    parse_request,
    parse_text,
    parse_uuid,
)
from services.invoicing.api.parsing import parse_before, present
from services.invoicing.domain.dunning import Campaign
from services.invoicing.operations import dunning
from services.invoicing.operations.dunning_messages import campaign_message, request_message
from tally.invoicing.v1 import dunning_service_pb2 as pb
from tally.invoicing.v1.dunning_service_pb2_grpc import DunningServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]

STEPS_MAX = 20
STEP_DAYS_MAX = 365
THRESHOLDS_MAX = 200


class DunningServicer(DunningServiceServicer):
    """Serves the dunning campaign and payment requests."""

    def __init__(self, engine: AsyncEngine, clock: Clock, committed: Callable[[], None]) -> None:
        self._engine = engine
        self._clock = clock
        self._committed = committed  # Called after each commit that may have left work.

    async def SetDunningCampaign(
        self, request: pb.SetDunningCampaignRequest, context: Context
    ) -> pb.SetDunningCampaignResponse:
        answer = await dunning.set_campaign(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_campaign(present(request, "campaign").campaign),
            now=self._clock.now(),
        )
        self._committed()
        return answer

    async def GetDunningCampaign(
        self, request: pb.GetDunningCampaignRequest, context: Context
    ) -> pb.GetDunningCampaignResponse:
        campaign = await dunning.get_campaign(self._engine, tenant())
        return pb.GetDunningCampaignResponse(campaign=campaign_message(campaign))

    async def CreatePaymentRequest(
        self, request: pb.CreatePaymentRequestRequest, context: Context
    ) -> pb.CreatePaymentRequestResponse:
        faults = Faults()
        with faults.gathered():
            customer_id = parse_text(request.customer_id, "customer_id")
        with faults.gathered():
            currency = parse_currency(request.currency_code, "currency_code")
        faults.check()
        answer = await dunning.create_request(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            customer_id,
            currency,
            all_due=request.all_due,
            now=self._clock.now(),
        )
        self._committed()
        return answer

    async def GetPaymentRequest(
        self, request: pb.GetPaymentRequestRequest, context: Context
    ) -> pb.GetPaymentRequestResponse:
        request_id = parse_uuid(request.payment_request_id, "payment_request_id")
        found = await dunning.get_request(self._engine, tenant(), request_id)
        return pb.GetPaymentRequestResponse(payment_request=request_message(found))

    async def ListPaymentRequests(
        self, request: pb.ListPaymentRequestsRequest, context: Context
    ) -> pb.ListPaymentRequestsResponse:
        page = parse_page(request.page_size, request.page_token)
        found = await dunning.list_requests(
            self._engine,
            tenant(),
            customer_id=parse_text(request.customer_id, "customer_id", required=False),
            before=parse_before(page.token),
            limit=page.size + 1,
        )
        shown = fitting([request_message(one) for _, one in found[: page.size]])
        more = len(found) > len(shown)
        return pb.ListPaymentRequestsResponse(
            payment_requests=shown,
            next_page_token=page_token(found[len(shown) - 1][0]) if more else "",
        )

    async def PayPaymentRequest(
        self, request: pb.PayPaymentRequestRequest, context: Context
    ) -> pb.PayPaymentRequestResponse:
        faults = Faults()
        with faults.gathered():
            payment_request_id = parse_uuid(request.payment_request_id, "payment_request_id")
        with faults.gathered():
            amount = parse_money(present(request, "amount").amount, "amount")
            if amount.amount_minor <= 0:
                faults.add("amount.amount_minor", f"is {amount.amount_minor}, must be above 0")
        with faults.gathered():
            parse_text(request.reference, "reference", required=False)
        faults.check()
        answer = await dunning.pay_request(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            payment_request_id,
            amount,
            request.reference,
            now=self._clock.now(),
        )
        self._committed()
        return answer


def parse_campaign(message: pb.DunningCampaign) -> Campaign:
    """Read a campaign.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    faults = Faults()
    days = list(message.step_days)
    if len(days) > STEPS_MAX:
        faults.add("campaign.step_days", f"{len(days)} steps, must be at most {STEPS_MAX}")
    elif days != sorted(set(days)) or not all(1 <= one <= STEP_DAYS_MAX for one in days):
        faults.add("campaign.step_days", f"must rise, from 1 to {STEP_DAYS_MAX}")
    thresholds: dict[str, int] = {}
    if len(message.thresholds) > THRESHOLDS_MAX:
        faults.add("campaign.thresholds", f"must be at most {THRESHOLDS_MAX}")
    for place, threshold in enumerate(message.thresholds[:THRESHOLDS_MAX]):
        field = f"campaign.thresholds[{place}]"
        with faults.gathered():
            money = parse_money(threshold, field)
            if money.currency in thresholds:
                faults.add(f"{field}.currency_code", f"{money.currency} is named twice")
            if money.amount_minor < 0:
                faults.add(f"{field}.amount_minor", "must not be below 0")
            thresholds[money.currency] = money.amount_minor
    faults.check()
    return Campaign(tuple(days), thresholds)
