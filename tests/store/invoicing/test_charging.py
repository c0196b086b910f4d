"""Charging by Stripe: once each, again after failures, and what its messages change."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.db import begin
from libs.tenant import Tenant
from services.invoicing.collector import Charger
from services.invoicing.domain.invoice import Invoice
from services.invoicing.domain.payment import Payment, PaymentMethod
from services.invoicing.loops import Parts
from services.invoicing.operations import charging, paying, reading
from services.invoicing.operations.stripe_provider import Stripe
from services.invoicing.provider_events import ProviderEvents, listen
from services.invoicing.store import payment_methods
from tests.fake_stripe import SECRET, FakeStripe, fake_stripe, message, send, signature
from tests.store.invoicing.steps import NOW, finalized
from tests.store.invoicing.test_payments import subjects

DAYS = (1, 3)


@dataclass
class Time:
    """Business time that a test moves."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def on_change(self, kick: Callable[[], None]) -> None:
        """Nobody waits."""


@dataclass
class World:
    """A tenant with a customer whose card Stripe charges."""

    engine: AsyncEngine
    tenant: Tenant
    stripe: FakeStripe
    provider: Stripe
    time: Time
    parts: Parts

    async def bill(self, *, card: str = "pm_1") -> Invoice:
        """Finalize an invoice over a dollar of a customer who pays by `card`."""
        first = await finalized(self.engine, self.tenant, 100)
        method = PaymentMethod(first.customer_id, "stripe", "cus_1", card)
        async with begin(self.engine, self.tenant) as conn:
            await payment_methods.save_method(conn, self.tenant, method)
        return await finalized(self.engine, self.tenant, 100)

    async def charge(self) -> None:
        """Let the loop work until it finds nothing."""
        charger = Charger(self.parts, self.provider, DAYS)
        while await charger.step():
            pass

    async def read(self, invoice: Invoice) -> Invoice:
        return await reading.get_invoice(self.engine, self.tenant, invoice_id=invoice.invoice_id)

    async def payments(self, invoice: Invoice) -> list[Payment]:
        """Return the payments of an invoice, oldest first."""
        found = await paying.list_payments(
            self.engine,
            self.tenant,
            customer_id="",
            invoice_id=invoice.invoice_id,
            before=None,
            limit=99,
        )
        return [payment for _, payment in reversed(found)]


@pytest.fixture(scope="module")
def stripe() -> Iterator[FakeStripe]:
    with fake_stripe() as fake:
        yield fake


@pytest.fixture
def world(engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant, stripe: FakeStripe) -> World:
    provider = Stripe("sk_test_1", SECRET, base_url=stripe.url)
    moved = Time()
    nobody = cast(Any, None)  # Rating and wallet are not asked.
    parts = Parts(engine, worker, moved, nobody, nobody, lambda: None)
    stripe.cards.clear()
    stripe.intents.clear()
    return World(engine, tenant, stripe, provider, moved, parts)


async def test_an_invoice_is_charged_at_once_when_its_customer_has_a_card(world: World) -> None:
    invoice = await world.bill()
    await world.charge()
    paid = await world.read(invoice)
    assert (paid.payment_status, paid.due_minor) == ("succeeded", 0)
    [intent] = world.stripe.intents
    assert (intent["amount"], intent["currency"], intent["customer"]) == (100, "usd", "cus_1")
    [payment] = await world.payments(invoice)
    assert (payment.reference, payment.attempt) == (intent["id"], 1)
    assert await subjects(world.engine, world.tenant) == ["PaymentSucceeded", "InvoicePaid"]


async def test_a_process_killed_before_it_stored_the_answer_charges_nothing_twice(
    world: World,
) -> None:
    invoice = await world.bill()
    started = await charging.begin_payment(
        world.engine, world.tenant, invoice.invoice_id, "stripe", now=NOW
    )
    assert started is not None
    charge = await charging.load_charge(world.engine, world.tenant, started)
    assert charge is not None
    await world.provider.charge(charge)  # Killed here.
    assert (await world.read(invoice)).payment_status == "processing"
    async with begin(world.engine, world.tenant) as conn:  # The card is another one by now.
        other = PaymentMethod("c1", "stripe", "cus_1", "pm_other")
        await payment_methods.save_method(conn, world.tenant, other)
    await asyncio.gather(world.charge(), world.charge())
    assert len(world.stripe.intents) == 1
    assert (await world.read(invoice)).payment_status == "succeeded"
    assert await subjects(world.engine, world.tenant) == ["PaymentSucceeded", "InvoicePaid"]


async def test_a_declined_card_is_tried_again_until_the_schedule_ends(world: World) -> None:
    world.stripe.cards["pm_bad"] = "insufficient_funds"
    invoice = await world.bill(card="pm_bad")
    for days, attempts in ((0, 1), (1, 2), (4, 3), (30, 3)):
        world.time.at = NOW + timedelta(days=days)
        await world.charge()
        failed = await world.payments(invoice)
        assert [one.failure_code for one in failed] == ["insufficient_funds"] * attempts
    told = await world.read(invoice)
    assert (told.payment_status, told.due_minor) == ("failed", 100)
    assert told.receivable and told.receivable.charge_at is None
    assert await subjects(world.engine, world.tenant) == ["PaymentFailed"] * 3


async def test_stripe_away_is_asked_again_and_is_no_failure_of_the_card(world: World) -> None:
    world.stripe.cards["pm_away"] = "away"
    invoice = await world.bill(card="pm_away")
    await world.charge()
    assert (await world.read(invoice)).payment_status == "processing"
    del world.stripe.cards["pm_away"]
    await world.charge()
    assert (await world.read(invoice)).payment_status == "succeeded"
    assert [one.attempt for one in await world.payments(invoice)] == [1]


@pytest.fixture
async def address(world: World) -> AsyncIterator[str]:
    """Where the messages of Stripe are taken."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        chosen = f"127.0.0.1:{free.getsockname()[1]}"
    stop = listen(chosen, ProviderEvents(world.parts, world.provider, DAYS).take)
    yield chosen
    await stop()


async def tell(address: str, body: bytes, header: str | None = None) -> int:
    signed = signature(body) if header is None else header
    return await asyncio.to_thread(send, address, body, signed)


async def test_messages_twice_and_out_of_order_leave_what_is_true(
    world: World, address: str
) -> None:
    world.stripe.cards["pm_slow"] = "processing"
    invoice = await world.bill(card="pm_slow")
    await world.charge()
    assert (await world.read(invoice)).payment_status == "processing"
    [intent] = world.stripe.intents
    succeeded = message("payment_intent.succeeded", {**intent, "status": "succeeded"})
    failed = message("payment_intent.payment_failed", {**intent, "status": "canceled"})
    for body in (succeeded, succeeded, failed):
        assert await tell(address, body) == 200
    assert (await world.read(invoice)).payment_status == "succeeded"
    assert await subjects(world.engine, world.tenant) == ["PaymentSucceeded", "InvoicePaid"]

    dispute = {"id": "dp_1", "object": "dispute", "payment_intent": intent["id"]}
    opened = message("charge.dispute.created", {**dispute, "status": "needs_response"}, created=10)
    won = message("charge.dispute.closed", {**dispute, "status": "won"}, created=20)
    flags = []
    for body in (opened, won, opened):
        assert await tell(address, body) == 200
        receivable = (await world.read(invoice)).receivable
        assert receivable is not None
        flags.append(receivable.disputed)
    assert flags == [True, False, False]
    back = {"id": "ch_1", "object": "charge", "payment_intent": intent["id"]}
    assert await tell(address, message("charge.refunded", back)) == 200
    refunded = await world.read(invoice)
    assert refunded.receivable and refunded.receivable.disputed
    assert refunded.payment_status == "succeeded"  # Nothing is due again, or it were charged again.


async def test_a_message_that_stripe_did_not_sign_lately_is_refused(
    world: World, address: str
) -> None:
    world.stripe.cards["pm_slow"] = "processing"
    invoice = await world.bill(card="pm_slow")
    await world.charge()
    [intent] = world.stripe.intents
    body = message("payment_intent.succeeded", {**intent, "status": "succeeded"})
    old = int(time.time()) - 301
    for header in (signature(body, secret="other"), signature(body, at=old), "", "t=1,v1=0"):
        assert await tell(address, body, header) == 400
    assert await tell(address, body + b" ", signature(body)) == 400
    assert (await world.read(invoice)).payment_status == "processing"
    unknown = {**intent, "metadata": {}, "id": "pi_unknown", "status": "succeeded"}
    assert await tell(address, message("payment_intent.succeeded", unknown)) == 200
    foreign = {**intent, "status": "succeeded"}
    foreign["metadata"] = {**intent["metadata"], "tally_payment_id": str(UUID(int=1))}
    assert await tell(address, message("payment_intent.succeeded", foreign)) == 200
    assert (await world.read(invoice)).payment_status == "processing"
