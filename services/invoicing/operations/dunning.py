"""Dunning: customers are asked again for what is overdue, and their payment methods charged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox, requests
from libs.db import begin
from libs.money import Money
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.dunning import (
    Campaign,
    NothingDue,
    PaymentRequest,
    Requested,
    allot,
    next_step_at,
    steps_passed,
)
from services.invoicing.domain.invoice import Invoice, Status
from services.invoicing.domain.payment import CurrencyMismatch, PaymentExceedsDue, Receivable
from services.invoicing.operations.dunning_messages import campaign_message, request_message
from services.invoicing.operations.paying import Received, receive
from services.invoicing.store import dunning as store
from services.invoicing.store import invoices, parties, payment_methods, receivables
from tally.invoicing.v1 import dunning_service_pb2 as pb
from tally.invoicing.v1.events_pb2 import PaymentRequested


async def set_campaign(
    engine: AsyncEngine, tenant: Tenant, request: Request, campaign: Campaign, *, now: datetime
) -> pb.SetDunningCampaignResponse:
    """Store the tenant's campaign; all that is overdue is looked at by it."""
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.SetDunningCampaignResponse)
        if earlier is not None:
            return earlier
        await store.save_campaign(conn, tenant, campaign, now=now)
        answer = pb.SetDunningCampaignResponse(campaign=campaign_message(campaign))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def get_campaign(engine: AsyncEngine, tenant: Tenant) -> Campaign:
    """Return the tenant's campaign; one without steps if none was set."""
    async with begin(engine, tenant) as conn:
        return await store.load_campaign(conn, tenant)


async def dun(
    engine: AsyncEngine, tenant: Tenant, customer_id: str, currency: str, *, now: datetime
) -> None:
    """Take the steps of the campaign that have come for a customer's overdue invoices.

    Several that have come since are taken as one. What is below the threshold is asked for at no
    step, and its next one is waited for.
    """
    async with begin(engine, tenant) as conn:
        campaign = await store.load_campaign(conn, tenant)
        owing = await lock_owing(conn, tenant, customer_id, currency)
        step, looked_at = 0, []
        for invoice in owing:
            asked, due_date = invoice.asks_for, invoice.due_date
            if asked.dun_at is None or asked.dun_at > now or due_date is None:
                continue
            passed = steps_passed(campaign, due_date, invoice.time_zone, now=now)
            if passed > asked.dunning_step:
                step = max(step, passed)
            following = next_step_at(campaign, due_date, invoice.time_zone, passed=passed)
            looked_at.append(replace(asked, dunning_step=passed, dun_at=following))
        await receivables.save_receivables(conn, tenant, looked_at)
        due_minor = sum(invoice.due_minor for invoice in owing)
        if step and campaign.asks_for(currency, due_minor):
            changed = {one.invoice_id: one for one in looked_at}
            asking = [
                replace(one, receivable=changed.get(one.invoice_id, one.receivable))
                for one in owing
            ]
            await ask(conn, tenant, asking, step=step, now=now)


async def create_request(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    customer_id: str,
    currency: str,
    *,
    all_due: bool,
    now: datetime,
) -> pb.CreatePaymentRequestResponse:
    """Ask a customer at once for all that is overdue in a currency, or `all_due`.

    Raises:
        CustomerNotFound: there is none.
        NothingDue: nothing is.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.CreatePaymentRequestResponse)
        if earlier is not None:
            return earlier
        await parties.load_customer(conn, tenant, customer_id)
        owing = await lock_owing(conn, tenant, customer_id, currency, all_due=all_due)
        if not owing:
            what = "due" if all_due else "overdue"
            raise NothingDue(f"nothing in {currency} of {customer_id} is {what}")
        asked = await ask(conn, tenant, owing, step=0, now=now)
        answer = pb.CreatePaymentRequestResponse(payment_request=request_message(asked))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def lock_owing(
    conn: AsyncConnection,
    tenant: Tenant,
    customer_id: str,
    currency: str,
    *,
    all_due: bool = False,
) -> list[Invoice]:
    """Lock a customer's overdue invoices of a currency, or all that are due; oldest due first."""
    found = await store.find_owing(conn, tenant, customer_id, currency)
    locked = await invoices.lock_invoices(conn, tenant, found)
    owing = [
        one
        for one in locked.values()
        if one.status is Status.FINALIZED
        and one.due_minor
        and (all_due or one.asks_for.overdue_now)
    ]
    return sorted(owing, key=lambda one: (str(one.due_date), one.number))


async def ask(
    conn: AsyncConnection, tenant: Tenant, owing: Sequence[Invoice], *, step: int, now: datetime
) -> PaymentRequest:
    """Store and announce a payment request, and have its locked invoices charged if they can be."""
    customer_id = owing[0].customer_id
    asked = PaymentRequest(
        payment_request_id=uuid4(),
        customer_id=customer_id,
        amount=Money(owing[0].currency, sum(one.due_minor for one in owing)),
        invoices=tuple(
            Requested(one.invoice_id, one.number, one.due_minor, one.due_minor) for one in owing
        ),
        step=step,
        created_at=now,
    )
    await store.save_request(conn, tenant, asked)
    if await payment_methods.find_methods(conn, tenant, [customer_id]):
        charged: list[Receivable] = [
            replace(one.asks_for, charge_at=now) for one in owing if one.asks_for.payable_minor
        ]
        await receivables.save_receivables(conn, tenant, charged)
    await outbox.append(conn, tenant, PaymentRequested(payment_request=request_message(asked)))
    return asked


async def pay_request(
    engine: AsyncEngine,
    tenant: Tenant,
    request: Request,
    payment_request_id: UUID,
    amount: Money,
    reference: str,
    *,
    now: datetime,
) -> pb.PayPaymentRequestResponse:
    """Pay the invoices of a payment request in their order, as far as the amount goes.

    Raises:
        PaymentRequestNotFound: there is none.
        CurrencyMismatch: it is in another currency.
        PaymentExceedsDue: less is due, or is being charged.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.PayPaymentRequestResponse)
        if earlier is not None:
            return earlier
        asked = await store.load_request(conn, tenant, payment_request_id)
        await invoices.lock_invoices(conn, tenant, [one.invoice_id for one in asked.invoices])
        asked = await store.load_request(conn, tenant, payment_request_id)
        if amount.currency != asked.amount.currency:
            raise CurrencyMismatch(
                f"{amount.currency} cannot pay what is in {asked.amount.currency}"
            )
        if amount.amount_minor > asked.due_minor:
            raise PaymentExceedsDue(
                f"{asked.due_minor} due; {amount.amount_minor} cannot be paid",
                metadata={"due_minor": str(asked.due_minor)},
            )
        parts = allot(amount.amount_minor, [one.due_minor for one in asked.invoices])
        for one, part in zip(asked.invoices, parts, strict=True):
            if part:
                received = Received(one.invoice_id, Money(amount.currency, part), reference, None)
                await receive(conn, tenant, received, now=now)
        paid = await store.load_request(conn, tenant, payment_request_id)
        answer = pb.PayPaymentRequestResponse(payment_request=request_message(paid))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def get_request(
    engine: AsyncEngine, tenant: Tenant, payment_request_id: UUID
) -> PaymentRequest:
    """Return a payment request as it stands now.

    Raises:
        PaymentRequestNotFound: the tenant has none.
    """
    async with begin(engine, tenant) as conn:
        return await store.load_request(conn, tenant, payment_request_id)


async def list_requests(
    engine: AsyncEngine, tenant: Tenant, *, customer_id: str, before: int | None, limit: int
) -> list[tuple[int, PaymentRequest]]:
    """Return payment requests, newest first, each with its ordinal to page by."""
    async with begin(engine, tenant) as conn:
        return await store.list_requests(
            conn, tenant, customer_id=customer_id, before=before, limit=limit
        )
