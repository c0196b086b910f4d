"""The gRPC face of coupons."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.auth import tenant
from libs.clock import Clock
from libs.errors import FieldInvalid
from libs.wire import (
    Faults,
    check_codes,
    fitting,
    page_token,
    parse_code,
    parse_decimal,
    parse_enum,
    parse_money,
    parse_page,
    parse_request,
    parse_text,
    parse_timestamp,
    parse_uuid,
)
from services.invoicing.api.parsing import parse_after, parse_before, parse_choice, present
from services.invoicing.domain.applied_coupon import Coupon, CouponStatus, Frequency
from services.invoicing.domain.coupon import CouponScope
from services.invoicing.domain.discounts import AmountOff, Discount, PercentOff
from services.invoicing.operations import couponing
from services.invoicing.operations.coupon_messages import applied_message, coupon_message
from services.invoicing.operations.peers import Catalog
from tally.invoicing.v1 import coupon_service_pb2 as pb
from tally.invoicing.v1.coupon_service_pb2_grpc import CouponServiceServicer

Context = grpc.aio.ServicerContext[Any, Any]

PERCENT_MAX = Decimal(100)
AMOUNT_MINOR_MAX = 10**15
PERIODS_MAX = 1_000
SCOPE_MAX = 20  # Meters or plans: rating is asked for each.


class CouponServicer(CouponServiceServicer):
    """Serves coupons."""

    def __init__(
        self,
        engine: AsyncEngine,
        clock: Clock,
        catalog: Catalog,
        committed: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._catalog = catalog
        self._committed = committed  # Called after each commit that may have left work.

    async def CreateCoupon(
        self, request: pb.CreateCouponRequest, context: Context
    ) -> pb.CreateCouponResponse:
        command = parse_request(request, request.request_id)
        coupon = parse_coupon(present(request, "coupon").coupon, now=self._clock.now())
        await self._catalog.check_meters(tenant(), coupon.scope.meter_codes)
        await self._catalog.check_plans(tenant(), coupon.scope.plan_codes)
        return await couponing.create_coupon(self._engine, tenant(), command, coupon)

    async def GetCoupon(
        self, request: pb.GetCouponRequest, context: Context
    ) -> pb.GetCouponResponse:
        code = parse_code(request.code, "code")
        coupon = await couponing.get_coupon(self._engine, tenant(), code)
        return pb.GetCouponResponse(coupon=coupon_message(coupon))

    async def ListCoupons(
        self, request: pb.ListCouponsRequest, context: Context
    ) -> pb.ListCouponsResponse:
        page = parse_page(request.page_size, request.page_token)
        found = await couponing.list_coupons(
            self._engine,
            tenant(),
            archived=request.include_archived,
            after=parse_after(page.token),
            limit=page.size + 1,
        )
        shown = fitting([coupon_message(one) for one in found[: page.size]])
        more = len(found) > len(shown)
        return pb.ListCouponsResponse(
            coupons=shown, next_page_token=page_token(shown[-1].code) if more else ""
        )

    async def ArchiveCoupon(
        self, request: pb.ArchiveCouponRequest, context: Context
    ) -> pb.ArchiveCouponResponse:
        return await couponing.archive_coupon(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_code(request.code, "code"),
            now=self._clock.now(),
        )

    async def ApplyCoupon(
        self, request: pb.ApplyCouponRequest, context: Context
    ) -> pb.ApplyCouponResponse:
        answer = await couponing.apply_coupon(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_text(request.customer_id, "customer_id"),
            parse_code(request.coupon_code, "coupon_code"),
            now=self._clock.now(),
        )
        self._committed()
        return answer

    async def RemoveAppliedCoupon(
        self, request: pb.RemoveAppliedCouponRequest, context: Context
    ) -> pb.RemoveAppliedCouponResponse:
        answer = await couponing.remove_applied(
            self._engine,
            tenant(),
            parse_request(request, request.request_id),
            parse_uuid(request.applied_coupon_id, "applied_coupon_id"),
            now=self._clock.now(),
        )
        self._committed()
        return answer

    async def ListAppliedCoupons(
        self, request: pb.ListAppliedCouponsRequest, context: Context
    ) -> pb.ListAppliedCouponsResponse:
        page = parse_page(request.page_size, request.page_token)
        status = parse_choice(
            request.status, pb.AppliedCouponStatus, "status", "APPLIED_COUPON_STATUS_"
        )
        found = await couponing.list_applied(
            self._engine,
            tenant(),
            customer_id=parse_text(request.customer_id, "customer_id", required=False),
            status=CouponStatus(status) if status else None,
            before=parse_before(page.token),
            limit=page.size + 1,
        )
        shown = fitting([applied_message(one) for _, one in found[: page.size]])
        more = len(found) > len(shown)
        return pb.ListAppliedCouponsResponse(
            applied_coupons=shown,
            next_page_token=page_token(found[len(shown) - 1][0]) if more else "",
        )


def parse_coupon(message: pb.Coupon, *, now: datetime) -> Coupon:
    """Read a coupon that is created at `now`.

    Raises:
        FieldInvalid, FieldsInvalid: every field that cannot be read.
    """
    faults = Faults()
    discount: tuple[Discount, str] = (AmountOff(0), "")
    frequency, expires_at = "", None
    with faults.gathered():
        parse_code(message.code, "coupon.code")
    with faults.gathered():
        parse_text(message.name, "coupon.name", required=False)
    with faults.gathered():
        discount = parse_discount(message)
    with faults.gathered():
        frequency = parse_enum(
            message.frequency or pb.COUPON_FREQUENCY_ONCE,
            pb.CouponFrequency,
            "coupon.frequency",
            prefix="COUPON_FREQUENCY_",
        )
    if frequency:
        least, most = (1, PERIODS_MAX) if frequency == Frequency.PERIODS else (0, 0)
        if not least <= message.periods <= most:
            faults.add("coupon.periods", f"is {message.periods}, must be {least} to {most}")
    check_codes(message.meter_codes, "coupon.meter_codes", faults, at_most=SCOPE_MAX)
    check_codes(message.plan_codes, "coupon.plan_codes", faults, at_most=SCOPE_MAX)
    if message.meter_codes and message.plan_codes:
        faults.add("coupon.plan_codes", "cannot be together with meter_codes")
    if message.HasField("expires_at"):
        with faults.gathered():
            expires_at = parse_timestamp(message.expires_at, "coupon.expires_at")
    faults.check()
    return Coupon(
        code=message.code,
        name=message.name or message.code,
        discount=discount[0],
        currency=discount[1],
        frequency=Frequency(frequency),
        periods=message.periods,
        scope=CouponScope(tuple(message.meter_codes), tuple(message.plan_codes)),
        expires_at=expires_at,
        created_at=now,
    )


def parse_discount(message: pb.Coupon) -> tuple[Discount, str]:
    """Read what a coupon takes off, and the currency of an amount.

    Raises:
        FieldInvalid: neither a percentage nor an amount can be read.
    """
    match message.WhichOneof("discount"):
        case "percent":
            percent = parse_decimal(message.percent, "coupon.percent", above=Decimal(0))
            if percent > PERCENT_MAX:
                raise FieldInvalid("coupon.percent", f"{percent} is above {PERCENT_MAX}")
            return PercentOff(percent), ""
        case "amount_off":
            money = parse_money(message.amount_off, "coupon.amount_off")
            if not 0 < money.amount_minor <= AMOUNT_MINOR_MAX:
                problem = f"is {money.amount_minor}, must be 1 to {AMOUNT_MINOR_MAX}"
                raise FieldInvalid("coupon.amount_off.amount_minor", problem)
            return AmountOff(money.amount_minor), money.currency
        case _:
            raise FieldInvalid("coupon.discount", "name a percent or an amount_off")
