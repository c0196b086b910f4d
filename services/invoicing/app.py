"""Invoicing put together: the one place that knows every part."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import db, peer
from libs.auth import InternalToken
from libs.bus import Bus, Stream
from libs.clock import open_clock
from libs.consumer import FactConsumer
from libs.facts import FactClient, FactServicer
from libs.relay import Relay
from libs.serve import Servicer
from libs.serve import serve as serve_grpc
from libs.settings import ServiceSettings
from libs.worker import Loop
from services.invoicing import collector, loops, webhooks
from services.invoicing.api.billing_servicer import BillingServicer
from services.invoicing.api.coupon_servicer import CouponServicer
from services.invoicing.api.credit_note_servicer import CreditNoteServicer
from services.invoicing.api.dunning_servicer import DunningServicer
from services.invoicing.api.invoice_servicer import InvoiceServicer
from services.invoicing.api.party_servicers import CustomerServicer, TaxServicer, TenantServicer
from services.invoicing.api.payment_servicer import PaymentServicer
from services.invoicing.api.webhook_servicer import WebhookServicer
from services.invoicing.collector import Charger, Dunner, Overdue
from services.invoicing.events import handlers, wallet_handlers
from services.invoicing.gatherer import Gatherer
from services.invoicing.loops import Drafter, Finalizer
from services.invoicing.operations.peers import Catalog, Rating, Wallet
from services.invoicing.operations.stripe_provider import Stripe
from services.invoicing.provider_events import ProviderEvents, listen
from services.invoicing.returner import Returner
from services.invoicing.settings import Settings, StripeSettings
from services.invoicing.teller import Teller
from services.invoicing.webhooks import Webhooks
from tally.internal.v1 import fact_service_pb2_grpc
from tally.invoicing.v1 import (
    billing_service_pb2_grpc,
    coupon_service_pb2_grpc,
    credit_note_service_pb2_grpc,
    customer_service_pb2_grpc,
    dunning_service_pb2_grpc,
    invoice_service_pb2_grpc,
    payment_service_pb2_grpc,
    tax_service_pb2_grpc,
    tenant_service_pb2_grpc,
    webhook_service_pb2_grpc,
)

CONNECTIONS_MAX = 4
WORKER_CONNECTIONS_MAX = 2  # One is the relay's for as long as it leads.
STREAM = "INVOICING"


class Kicks:
    """Wakes what a commit may have left work for."""

    def __init__(self) -> None:
        self.drafts: Loop
        self.finalizer: Loop
        self.gatherer: Loop
        self.overdue: Loop
        self.dunner: Loop
        self.returner: Loop
        self.teller: Loop
        self.webhooks: Loop
        self.charger: Loop | None = None  # Without a payment provider.
        self.relay: Relay

    def loops(self) -> list[Loop]:
        """Return all loops."""
        every = [self.drafts, self.finalizer, self.gatherer, self.returner, self.teller]
        every += [self.overdue, self.dunner, self.webhooks]
        return [*every, self.charger] if self.charger else every

    def committed(self) -> None:
        """Wake all: they look for themselves."""
        for loop in self.loops():
            loop.kick()
        self.relay.kick()


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping`: refuse new work, let RPCs in flight finish, then disconnect.

    What stands half way is finished after the next start.
    """
    async with AsyncExitStack() as stack:
        engine, worker = connect_database(stack, settings.service)
        nats = await stack.enter_async_context(Bus(settings.service.nats_url))
        token = InternalToken(settings.service.internal_token_file)
        rating, wallet = (
            connect_peer(stack, address, token)
            for address in (settings.rating_address, settings.wallet_address)
        )
        clock = await open_clock(worker, test=settings.service.test_clock)
        kicks = Kicks()
        parts = loops.Parts(
            engine=engine,
            worker=worker,
            clock=clock,
            rating=Rating(rating),
            wallet=Wallet(wallet),
            committed=kicks.committed,
        )
        kicks.relay = Relay(worker, Stream(nats, STREAM, ["tally.invoicing.v1.>"]))
        kicks.drafts = Loop("drafts", Drafter(parts).step)
        kicks.finalizer = Loop("finalizer", Finalizer(parts).step)
        kicks.gatherer = Loop("gatherer", Gatherer(parts).step)
        kicks.overdue = Loop("overdue", Overdue(parts).step)
        kicks.dunner = Loop("dunner", Dunner(parts).step)
        kicks.returner = Loop("returner", Returner(parts).step)
        kicks.teller = Loop("teller", Teller(parts).step)
        sender = Webhooks(parts, private=settings.webhook_private)
        stack.push_async_callback(sender.close)
        kicks.webhooks = sender.loop
        provider = connect_provider(settings.stripe)
        if provider and settings.stripe:
            charger = Charger(parts, provider, settings.retry_days)
            kicks.charger = Loop("charger", charger.step)
            told = ProviderEvents(parts, provider, settings.retry_days)
            stack.push_async_callback(listen(settings.stripe.events_address, told.take))
        facts = [
            FactConsumer(
                nats,
                engine,
                worker,
                source=source,
                upstream=FactClient(channel, source=source),
                handlers=handled,
                committed=kicks.committed,
            )
            for source, channel, handled in (
                ("RATING", rating, handlers(clock)),
                ("WALLET", wallet, wallet_handlers(clock)),
            )
        ]
        await serve_grpc(
            settings.service,
            servicers=servicers(parts, Catalog(rating)),
            loops=[*facts, *kicks.loops(), kicks.relay],
            clock=clock,
            idle=partial(
                webhooks.idle,
                worker,
                clock,
                partial(
                    collector.idle,
                    worker,
                    clock,
                    partial(loops.idle, worker, clock, facts),
                    charging=provider is not None,
                ),
            ),
            engine=worker,
            stopping=stopping,
        )


def connect_database(
    stack: AsyncExitStack, settings: ServiceSettings
) -> tuple[AsyncEngine, AsyncEngine]:
    """Return the connections of the app and of the worker, which `stack` closes."""
    engine = db.connect(
        settings.database_url, connections_max=CONNECTIONS_MAX, application_name="invoicing"
    )
    stack.push_async_callback(engine.dispose)
    worker = db.connect(
        settings.worker_database_url,
        connections_max=WORKER_CONNECTIONS_MAX,
        application_name="invoicing worker",
    )
    stack.push_async_callback(worker.dispose)
    return engine, worker


def connect_peer(stack: AsyncExitStack, address: str, token: InternalToken) -> grpc.aio.Channel:
    """Return a channel to another service, which `stack` closes."""
    channel = peer.channel(address, token)
    stack.push_async_callback(channel.close)
    return channel


def connect_provider(settings: StripeSettings | None) -> Stripe | None:
    """Return the payment provider that is to be asked, if any."""
    if settings is None:
        return None
    return Stripe(settings.api_key, settings.webhook_secret, base_url=settings.base_url)


def servicers(parts: loops.Parts, catalog: Catalog) -> list[Servicer]:
    """Return the gRPC services of invoicing."""
    engine, clock, committed = parts.engine, parts.clock, parts.committed
    return [
        Servicer(
            tenant_service_pb2_grpc.add_TenantServiceServicer_to_server,
            TenantServicer(engine, committed),
        ),
        Servicer(
            customer_service_pb2_grpc.add_CustomerServiceServicer_to_server,
            CustomerServicer(engine, clock, committed),
        ),
        Servicer(tax_service_pb2_grpc.add_TaxServiceServicer_to_server, TaxServicer(engine, clock)),
        Servicer(
            invoice_service_pb2_grpc.add_InvoiceServiceServicer_to_server,
            InvoiceServicer(engine, parts.worker, parts.rating, parts.wallet),
        ),
        Servicer(
            billing_service_pb2_grpc.add_BillingServiceServicer_to_server,
            BillingServicer(parts),
        ),
        Servicer(
            coupon_service_pb2_grpc.add_CouponServiceServicer_to_server,
            CouponServicer(engine, clock, catalog, committed),
        ),
        Servicer(
            credit_note_service_pb2_grpc.add_CreditNoteServiceServicer_to_server,
            CreditNoteServicer(engine, clock, committed),
        ),
        Servicer(
            payment_service_pb2_grpc.add_PaymentServiceServicer_to_server,
            PaymentServicer(engine, clock, committed),
        ),
        Servicer(
            dunning_service_pb2_grpc.add_DunningServiceServicer_to_server,
            DunningServicer(engine, clock, committed),
        ),
        Servicer(
            webhook_service_pb2_grpc.add_WebhookServiceServicer_to_server,
            WebhookServicer(engine, clock, committed),
        ),
        Servicer(
            fact_service_pb2_grpc.add_FactServiceServicer_to_server, FactServicer(parts.worker)
        ),
    ]
