"""Charging invoices: begin → (the provider is asked) → take its outcome.

The payment is written down before the provider is asked, and the provider is asked with the key of
the attempt: whoever finds a payment without an answer asks again, and gets the first one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Protocol
from uuid import UUID, uuid4

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import outbox, requests
from libs.db import begin
from libs.money import Money
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.charging import (
    Charge,
    Notice,
    Outcome,
    ProviderEvent,
    after_dispute,
    after_outcome,
    begin_charge,
    retries_of,
)
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.payment import (
    Payment,
    PaymentExceedsDue,
    PaymentMethod,
    PaymentStatus,
)
from services.invoicing.operations.messages import invoice_message
from services.invoicing.operations.paying import PAYABLE, announce_payment, lock_payable
from services.invoicing.operations.payment_messages import payment_message, payment_method_message
from services.invoicing.store import invoices, parties, payment_methods, receivables
from services.invoicing.store import payments as store
from tally.invoicing.v1 import payment_service_pb2 as pb
from tally.invoicing.v1.events_pb2 import InvoiceDisputed, PaymentFailed, PaymentSucceeded


class PaymentProvider(Protocol):
    """Moves money from customers' payment methods."""

    @property
    def name(self) -> str:
        """What its payment methods and payments are known by."""

    async def charge(self, charge: Charge) -> Outcome:
        """Take the money once for `charge.key`, and say what came of it.

        Raises:
            Unavailable: it cannot be told; the same charge may be asked for again.
        """

    def read_event(self, body: bytes, signature: str) -> ProviderEvent | None:
        """Return what a message of the provider tells; None: nothing that matters here.

        Raises:
            SignatureInvalid: the provider did not send it, or not lately.
        """


async def begin_payment(
    engine: AsyncEngine, tenant: Tenant, invoice_id: UUID, provider: str, *, now: datetime
) -> UUID | None:
    """Write down that a provider is to be asked for what is due; None: there is no reason to."""
    async with begin(engine, tenant) as conn:
        invoice = (await invoices.lock_invoices(conn, tenant, [invoice_id]))[invoice_id]
        asked = invoice.receivable
        if asked is None or asked.charge_at is None or asked.charge_at > now:
            return None
        methods = await payment_methods.find_methods(conn, tenant, [invoice.customer_id])
        method = methods.get(invoice.customer_id)
        payable = invoice.status in PAYABLE and asked.payable_minor > 0
        if method is None or method.provider != provider or not payable:
            await receivables.save_receivables(conn, tenant, [replace(asked, charge_at=None)])
            return None
        charging = begin_charge(asked)
        payment = Payment(
            payment_id=uuid4(),
            invoice_id=invoice_id,
            invoice_number=invoice.number,
            customer_id=invoice.customer_id,
            amount=Money(invoice.currency, asked.payable_minor),
            status=PaymentStatus.PROCESSING,
            provider=provider,
            reference="",
            received_at=None,
            attempt=charging.attempts,
            failure_code="",
            created_at=now,
            method=method,
        )
        await store.save_payment(conn, tenant, payment)
        await receivables.save_receivables(conn, tenant, [charging])
    return payment.payment_id


async def load_charge(engine: AsyncEngine, tenant: Tenant, payment_id: UUID) -> Charge | None:
    """Return what to ask the provider for; None: it has said what came of it."""
    async with begin(engine, tenant) as conn:
        payment = await store.load_payment(conn, tenant, payment_id)
    if payment.method is None or payment.status is not PaymentStatus.PROCESSING:
        return None
    return Charge(
        tenant, payment_id, payment.invoice_id, payment.amount, payment.method, payment.attempt
    )


async def take_outcome(
    engine: AsyncEngine,
    tenant: Tenant,
    payment_id: UUID,
    outcome: Outcome,
    retry_days: Sequence[int],
    *,
    now: datetime,
) -> None:
    """Store what a provider said of a payment, and announce it; what is known changes nothing.

    Raises:
        PaymentNotFound: the tenant has none.
    """
    async with begin(engine, tenant) as conn:
        payment, invoice = await _lock_payment(conn, tenant, payment_id)
        asked = invoice.asks_for
        after = after_outcome(
            asked, payment, outcome, retries_of(invoice.kind, retry_days), now=now
        )
        if after is None:
            return
        receivable, told = after
        await store.save_payment(conn, tenant, told)
        await receivables.save_receivables(conn, tenant, [receivable])
        match told.status:
            case PaymentStatus.SUCCEEDED:
                await announce_payment(conn, tenant, told, asked, PaymentSucceeded, now=now)
            case PaymentStatus.FAILED:
                await announce_payment(conn, tenant, told, asked, PaymentFailed, now=now)


async def take_dispute(
    engine: AsyncEngine, tenant: Tenant, payment_id: UUID, event: ProviderEvent
) -> None:
    """Store that money is wanted back, or stays; the invoice is disputed while any of its is.

    Raises:
        PaymentNotFound: the tenant has none.
    """
    async with begin(engine, tenant) as conn:
        payment, invoice = await _lock_payment(conn, tenant, payment_id)
        asked = invoice.asks_for
        after = after_dispute(payment, event)
        if after is None:
            return
        await store.save_payment(conn, tenant, after)
        disputed = await store.has_disputed(conn, tenant, payment.invoice_id)
        if disputed == asked.disputed:
            return
        await receivables.save_receivables(conn, tenant, [replace(asked, disputed=disputed)])
        found = await invoices.load_invoices(conn, tenant, [payment.invoice_id])
        if disputed:
            fact = InvoiceDisputed(
                payment=payment_message(after),
                invoice=invoice_message(found[payment.invoice_id]),
                refunded=event.notice is Notice.REFUNDED,
            )
            await outbox.append(conn, tenant, fact)


async def charge_invoice(
    engine: AsyncEngine, tenant: Tenant, request: Request, invoice_id: UUID, *, now: datetime
) -> pb.ChargeInvoiceResponse:
    """Have an invoice charged at once.

    Raises:
        InvoiceNotFound, PaymentMethodNotFound: there is none.
        InvoiceNotPayable: it is neither finalized nor open.
        PaymentExceedsDue: nothing is due, or all of it is being charged.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.ChargeInvoiceResponse)
        if earlier is not None:
            return earlier
        invoice, asked = await lock_payable(conn, tenant, invoice_id)
        await payment_methods.load_method(conn, tenant, invoice.customer_id)
        if asked.payable_minor == 0:
            raise PaymentExceedsDue(
                f"{asked.due_minor} due, of which {asked.charging_minor} are being charged"
            )
        await receivables.save_receivables(conn, tenant, [replace(asked, charge_at=now)])
        answer = pb.ChargeInvoiceResponse(amount_minor=asked.payable_minor)
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def set_method(
    engine: AsyncEngine, tenant: Tenant, request: Request, method: PaymentMethod
) -> pb.SetPaymentMethodResponse:
    """Store how a customer pays from now on.

    Raises:
        CustomerNotFound: there is none.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.SetPaymentMethodResponse)
        if earlier is not None:
            return earlier
        await parties.load_customer(conn, tenant, method.customer_id)
        await payment_methods.save_method(conn, tenant, method)
        answer = pb.SetPaymentMethodResponse(payment_method=payment_method_message(method))
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def remove_method(
    engine: AsyncEngine, tenant: Tenant, request: Request, customer_id: str
) -> pb.RemovePaymentMethodResponse:
    """Forget how a customer pays, if it was known.

    Raises:
        CustomerNotFound: there is none.
    """
    async with begin(engine, tenant) as conn:
        earlier = await requests.claim(conn, tenant, request, pb.RemovePaymentMethodResponse)
        if earlier is not None:
            return earlier
        await parties.load_customer(conn, tenant, customer_id)
        await payment_methods.delete_method(conn, tenant, customer_id)
        answer = pb.RemovePaymentMethodResponse()
        await requests.save_answer(conn, tenant, request, answer)
    return answer


async def get_method(engine: AsyncEngine, tenant: Tenant, customer_id: str) -> PaymentMethod:
    """Return how a customer pays.

    Raises:
        PaymentMethodNotFound: it is not known.
    """
    async with begin(engine, tenant) as conn:
        return await payment_methods.load_method(conn, tenant, customer_id)


async def _lock_payment(
    conn: AsyncConnection, tenant: Tenant, payment_id: UUID
) -> tuple[Payment, Invoice]:
    """Lock the invoice of a payment, and return both as they are then."""
    invoice_id = (await store.load_payment(conn, tenant, payment_id)).invoice_id
    invoice = (await invoices.lock_invoices(conn, tenant, [invoice_id]))[invoice_id]
    return await store.load_payment(conn, tenant, payment_id), invoice
