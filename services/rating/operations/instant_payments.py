"""Instant fees, one by one: listing them, and noting how they were paid."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from libs import requests
from libs.db import begin
from libs.money import Money, round_minor
from libs.requests import Request
from libs.tenant import Tenant
from libs.wire import Page, money_message, page_token, parse_page_token, timestamp
from services.rating.domain.event import instant_of
from services.rating.domain.instant_fee import (
    FeeSelection,
    PaymentStatus,
    StoredFee,
    check_payment,
)
from services.rating.operations.messages import group_messages, shown
from services.rating.store import instant_fees as store
from tally.ingest.v1 import event_pb2
from tally.rating.v1 import instant_fee_pb2
from tally.rating.v1 import rating_service_pb2 as pb

STATUSES = {
    each: instant_fee_pb2.PaymentStatus.Value(f"PAYMENT_STATUS_{each.name}")
    for each in PaymentStatus
}


async def list_instant_fees(
    engine: AsyncEngine, tenant: Tenant, selection: FeeSelection, page: Page
) -> pb.ListInstantFeesResponse:
    """Return a page of instant fees, by the places of their events in the log."""
    keys = parse_page_token(page.token, int, int, int, str, UUID)
    after: store.Key | None = keys or None  # type: ignore[assignment]
    async with begin(engine, tenant) as conn:
        found = await store.list_fees(conn, tenant, selection, after=after, limit=page.size + 1)
    fees = found[: page.size]
    token = ""
    if len(found) > page.size:
        last = fees[-1].fee
        token = page_token(*last.moment[1:], last.key.charge_code, last.fee_id)
    return pb.ListInstantFeesResponse(fees=map(fee_message, fees), next_page_token=token)


async def set_payment(
    engine: AsyncEngine, tenant: Tenant, request: Request, fee_id: UUID, status: PaymentStatus
) -> pb.SetInstantFeePaymentResponse:
    """Note how the payment of a fee went that goes on no invoice.

    Raises:
        InstantFeeNotFound: there is no such fee.
        InstantFeeInvoiced: invoices bill it.
        InstantFeePaid: it was paid, and did not fail.
        RequestIdReused: the request came before with other content.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.SetInstantFeePaymentResponse)
        if earlier is not None:
            return earlier
        stored = await store.lock_fee(conn, tenant, fee_id)
        check_payment(stored.fee, status)
        await store.set_payment(conn, tenant, fee_id, status)
        message = fee_message(stored)
        message.payment_status = STATUSES[status]
        answer = pb.SetInstantFeePaymentResponse(fee=message)
        await requests.save_answer(conn, tenant, request, answer)
    return answer


def fee_message(stored: StoredFee) -> instant_fee_pb2.InstantFee:
    """Write an instant fee."""
    fee = stored.fee
    time, shard, number, place = fee.moment
    position = None
    if not fee.is_renewal:
        position = event_pb2.LogPosition(shard=shard, number=number, index=place)
    status = instant_fee_pb2.PAYMENT_STATUS_UNSPECIFIED
    if fee.payment_status is not None:
        status = STATUSES[fee.payment_status]
    amount = Money(stored.currency, round_minor(fee.exact_amount, stored.currency))
    return instant_fee_pb2.InstantFee(
        fee_id=str(fee.fee_id),
        subscription_id=stored.subscription_id,
        customer_id=stored.customer_id,
        period_id=str(fee.period_id),
        charge_code=fee.key.charge_code,
        filter_code=fee.key.filter_code,
        group_values=group_messages(fee.key),
        position=position,
        time=timestamp(instant_of(time)),
        rated_at=timestamp(stored.rated_at),
        units=shown(fee.units),
        exact_amount=shown(fee.exact_amount),
        amount=money_message(amount),
        payment_status=status,
    )
