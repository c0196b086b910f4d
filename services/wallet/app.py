"""The wallet put together: the one place that knows every part."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from libs import db, peer
from libs.auth import InternalToken
from libs.bus import Bus, Stream
from libs.clock import open_clock
from libs.consumer import FactConsumer
from libs.facts import FactClient, FactServicer
from libs.relay import Relay
from libs.serve import Servicer
from libs.serve import serve as serve_grpc
from libs.worker import Loop
from services.wallet.api.hold_servicer import HoldServicer
from services.wallet.api.ledger_servicer import LedgerServicer
from services.wallet.api.session_stream import SessionStreams
from services.wallet.api.top_up_rule_servicer import TopUpRuleServicer
from services.wallet.api.wallet_servicer import WalletServicer
from services.wallet.events import handlers
from services.wallet.loops import DueWallets, idle
from services.wallet.operations.clerk import Clerk
from services.wallet.operations.lapsing import settle
from services.wallet.operations.metering import Meter
from services.wallet.operations.peers import Ingest, Rating
from services.wallet.operations.topping_up import look_at_rules
from services.wallet.operations.watching import Watches
from services.wallet.settings import Settings
from services.wallet.store import top_up_rules, wallets
from tally.internal.v1 import fact_service_pb2_grpc
from tally.wallet.v1 import (
    hold_service_pb2_grpc,
    ledger_service_pb2_grpc,
    top_up_rule_service_pb2_grpc,
    wallet_service_pb2_grpc,
)

CONNECTIONS_MAX = 4
WORKER_CONNECTIONS_MAX = 2  # One is the relay's for as long as it leads.
STREAM = "WALLET"


class Kicks:
    """Wakes what a commit may have left work for."""

    def __init__(self) -> None:
        self.topping_up: Loop
        self.relay: Relay

    def committed(self) -> None:
        """Wake all: they look for themselves."""
        self.topping_up.kick()
        self.relay.kick()


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping`: refuse new work, let RPCs in flight finish, then disconnect.

    What they announce last waits in the outbox for the next relay.
    """
    common = settings.common
    async with AsyncExitStack() as stack:
        engine = db.connect(
            common.database_url, connections_max=CONNECTIONS_MAX, application_name="wallet"
        )
        stack.push_async_callback(engine.dispose)
        worker = db.connect(
            common.worker_database_url,
            connections_max=WORKER_CONNECTIONS_MAX,
            application_name="wallet worker",
        )
        stack.push_async_callback(worker.dispose)
        nats = await stack.enter_async_context(Bus(common.nats_url))
        clock = await open_clock(worker, test=common.test_clock)
        token = InternalToken(common.internal_token_file)
        ingest, rating, invoicing = (
            peer.channel(address, token)
            for address in (
                settings.ingest_address,
                settings.rating_address,
                settings.invoicing_address,
            )
        )
        for channel in (ingest, rating, invoicing):
            stack.push_async_callback(channel.close)
        kicks = Kicks()
        kicks.relay = Relay(worker, Stream(nats, STREAM, ["tally.wallet.v1.>"]))
        due = partial(DueWallets, engine, worker, clock, kicks.committed)
        expiry = Loop("expiry", due(find=wallets.find_due, do=settle).step)
        kicks.topping_up = Loop(
            "topping up", due(find=top_up_rules.find_due, do=look_at_rules).step
        )
        facts = FactConsumer(
            nats,
            engine,
            worker,
            source="INVOICING",
            upstream=FactClient(invoicing, source="INVOICING"),
            handlers=handlers(clock),
            committed=kicks.committed,
        )
        clerk = Clerk(engine, clock, kicks.committed)
        meter = Meter(engine, worker, clock, clerk, Ingest(ingest), Rating(rating))
        sessions = Loop("sessions", meter.step)
        await serve_grpc(
            common,
            servicers=[
                Servicer(
                    wallet_service_pb2_grpc.add_WalletServiceServicer_to_server,
                    WalletServicer(engine, clock, clerk, Watches(stopping), kicks.committed),
                ),
                Servicer(
                    hold_service_pb2_grpc.add_HoldServiceServicer_to_server,
                    HoldServicer(engine, clock, clerk, SessionStreams(meter, stopping)),
                ),
                Servicer(
                    top_up_rule_service_pb2_grpc.add_TopUpRuleServiceServicer_to_server,
                    TopUpRuleServicer(engine, clock, kicks.committed),
                ),
                Servicer(
                    ledger_service_pb2_grpc.add_LedgerServiceServicer_to_server,
                    LedgerServicer(engine, worker, clock),
                ),
                Servicer(
                    fact_service_pb2_grpc.add_FactServiceServicer_to_server, FactServicer(worker)
                ),
            ],
            loops=[facts, expiry, sessions, kicks.topping_up, kicks.relay],
            clock=clock,
            idle=partial(idle, worker, clock, clerk, facts),
            engine=worker,
            stopping=stopping,
        )
