"""Rating put together: the one place that knows every part."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from libs import db
from libs.auth import InternalToken
from libs.bus import Bus, Stream
from libs.clock import open_clock
from libs.facts import FactServicer
from libs.idle import Idle
from libs.peer import channel
from libs.relay import Relay
from libs.serve import Servicer
from libs.serve import serve as serve_rpcs
from services.rating.api.alert_servicer import AlertServicer
from services.rating.api.entitlement_servicer import EntitlementServicer
from services.rating.api.meter_servicer import MeterServicer
from services.rating.api.plan_servicer import PlanServicer
from services.rating.api.rating_servicer import RatingServicer
from services.rating.api.subscription_servicer import SubscriptionServicer
from services.rating.api.usage_servicer import UsageServicer
from services.rating.events import IngestLog
from services.rating.loops.alerter import Alerter
from services.rating.loops.calendar import Calendar
from services.rating.loops.folder import Folder
from services.rating.loops.follower import Follower
from services.rating.loops.instant_rater import InstantRater
from services.rating.loops.reattributor import Reattributor
from services.rating.loops.renewer import Renewer
from services.rating.loops.threshold_watcher import ThresholdWatcher
from services.rating.operations.acks import Acks, Positions
from services.rating.operations.idling import check_idle
from services.rating.operations.watching import Watches
from services.rating.settings import Settings
from tally.internal.v1 import fact_service_pb2_grpc
from tally.rating.v1 import (
    alert_service_pb2_grpc,
    entitlement_service_pb2_grpc,
    meter_service_pb2_grpc,
    plan_service_pb2_grpc,
    rating_service_pb2_grpc,
    subscription_service_pb2_grpc,
    usage_service_pb2_grpc,
)

CALLERS_MAX = 4  # Connections of the app role; a simulation reads by two.
WORKERS_MAX = 4  # The relay's, and for the folder, the calendar, peers and jobs in turn.
STREAM = "RATING"


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping`. What is announced last waits in the outbox for the next relay."""
    common = settings.common
    async with AsyncExitStack() as stack:
        engine = db.connect(common.database_url, connections_max=CALLERS_MAX)
        stack.push_async_callback(engine.dispose)
        worker = db.connect(common.worker_database_url, connections_max=WORKERS_MAX)
        stack.push_async_callback(worker.dispose)
        nats = await stack.enter_async_context(Bus(common.nats_url))
        ingest = channel(settings.ingest_address, InternalToken(common.internal_token_file))
        stack.push_async_callback(ingest.close)
        clock = await open_clock(worker, test=common.test_clock)

        relay = Relay(worker, Stream(nats, STREAM, ["tally.rating.v1.>"]))
        events = IngestLog(ingest)
        folded = asyncio.Event()
        folder = Folder(
            worker,
            events,
            partitions=settings.partitions,
            folded=folded,
            corrected=lambda: reattributor.loop.kick(),  # Made below.
            instant=lambda: instant_rater.loop.kick(),
            noted=lambda: noted(),
            cells_per_day_max=settings.cells_per_day_max,
        )
        await folder.listen(nats)
        calendar = Calendar(
            worker,
            events,
            clock,
            folded=folded,
            ask_folder=folder.ask,
            committed=relay.kick,
        )

        alerter = Alerter(worker, events, clock, told=relay.kick)
        thresholds = ThresholdWatcher(worker, events, clock, told=relay.kick)

        follower = Follower(worker, clock, told=relay.kick)

        def noted() -> None:
            alerter.loop.kick()
            thresholds.loop.kick()
            follower.loop.kick()

        def usage_changed() -> None:
            relay.kick()
            calendar.loop.kick()
            noted()

        reattributor = Reattributor(
            worker,
            events,
            finished=usage_changed,
            cells_per_day_max=settings.cells_per_day_max,
        )
        instant_rater = InstantRater(
            worker, events, clock, partitions=settings.partitions, rated=usage_changed
        )

        renewer = Renewer(worker, events, clock, ask_folder=folder.ask, renewed=usage_changed)

        def subscribed() -> None:
            usage_changed()
            reattributor.loop.kick()
            renewer.loop.kick()

        async def idle() -> Idle:
            found = await check_idle(worker, events, clock.now())
            if found.busy:
                folder.ask()
            return found

        positions = Positions(worker)
        acks = Acks(engine, positions, events, folder.ask)
        usage = UsageServicer(
            engine=engine,
            worker=worker,
            log=events,
            clock=clock,
            acks=acks,
            watches=Watches(engine, events, clock, positions=positions, stopping=stopping),
            cells_per_day_max=settings.cells_per_day_max,
        )
        plans = PlanServicer(engine, clock)
        subscriptions = SubscriptionServicer(engine, events, clock, subscribed)
        await serve_rpcs(
            common,
            servicers=[
                Servicer(
                    meter_service_pb2_grpc.add_MeterServiceServicer_to_server,
                    MeterServicer(engine, clock),
                ),
                Servicer(plan_service_pb2_grpc.add_PlanServiceServicer_to_server, plans),
                Servicer(
                    subscription_service_pb2_grpc.add_SubscriptionServiceServicer_to_server,
                    subscriptions,
                ),
                Servicer(
                    usage_service_pb2_grpc.add_UsageServiceServicer_to_server,
                    usage,
                ),
                Servicer(
                    entitlement_service_pb2_grpc.add_EntitlementServiceServicer_to_server,
                    EntitlementServicer(engine=engine, clock=clock, acks=acks),
                ),
                Servicer(
                    alert_service_pb2_grpc.add_AlertServiceServicer_to_server,
                    AlertServicer(engine, clock, alerter.loop.kick),
                ),
                Servicer(
                    rating_service_pb2_grpc.add_RatingServiceServicer_to_server,
                    RatingServicer(engine, worker, events, clock, noted),
                ),
                Servicer(
                    fact_service_pb2_grpc.add_FactServiceServicer_to_server, FactServicer(worker)
                ),
            ],
            loops=[
                relay,
                folder.loop,
                calendar.loop,
                reattributor.loop,
                instant_rater.loop,
                renewer.loop,
                alerter.loop,
                thresholds.loop,
                follower.loop,
            ],
            clock=clock,
            idle=idle,
            engine=worker,
            stopping=stopping,
        )
