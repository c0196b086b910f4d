"""Ingest put together: the one place that knows every part."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from libs import db
from libs.clock import open_clock
from libs.serve import Servicer
from libs.serve import serve as serve_rpcs
from libs.worker import Loop
from services.ingest.api.ingest_servicer import IngestServicer
from services.ingest.loops import Publisher
from services.ingest.operations.correcting import Corrector
from services.ingest.operations.heads import check_idle
from services.ingest.operations.recording import Recorder
from services.ingest.operations.retention import Keeper
from services.ingest.operations.settings import LimitsCache, open_topology
from services.ingest.operations.streaming import Streams
from services.ingest.settings import Settings
from tally.ingest.v1 import ingest_service_pb2_grpc

READERS_MAX = 2  # Connections of the app role.
# Three sealers, the publisher's, and one for heads, slices, corrections and, at times, retention.
WORKERS_MAX = 5
RETENTION_POLL_SECONDS = 60  # Only to notice that time has passed.
PUBLISH_POLL_SECONDS = 0.5  # Only a fallback: every commit kicks the publisher.


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Run until `stopping`; groups that are being sealed are answered first.

    Raises:
        TopologyChanged: the log was set up with another number of partitions.
    """
    common = settings.common
    async with AsyncExitStack() as stack:
        engine = db.connect(common.database_url, connections_max=READERS_MAX)
        stack.push_async_callback(engine.dispose)
        worker = db.connect(common.worker_database_url, connections_max=WORKERS_MAX)
        stack.push_async_callback(worker.dispose)
        topology = await open_topology(worker, partitions=settings.partitions)
        clock = await open_clock(worker, test=common.test_clock)

        publisher = Publisher(worker, common.nats_url)
        stack.push_async_callback(publisher.close)
        publishing = Loop("publisher", publisher.step, poll_seconds=PUBLISH_POLL_SECONDS)
        keeper = Keeper(
            worker,
            clock,
            key_secret=topology.key_secret,
            ages=settings.ages,
            export_folder=settings.export_folder,
            stopping=stopping,
        )
        retention = Loop("retention", keeper.step, poll_seconds=RETENTION_POLL_SECONDS)
        clock.on_change(retention.kick)
        recorder = Recorder(worker, clock, publishing.kick)
        corrector = Corrector(worker, clock, topology, publishing.kick)
        streams = Streams(recorder, stopping, seconds_max=common.connection_seconds)
        ingest = IngestServicer(
            engine, worker, clock, topology, LimitsCache(engine), recorder, corrector, streams
        )
        await serve_rpcs(
            common,
            servicers=[
                Servicer(ingest_service_pb2_grpc.add_IngestServiceServicer_to_server, ingest)
            ],
            loops=[publishing, retention],
            clock=clock,
            idle=partial(check_idle, worker, recorder, keeper),
            engine=worker,
            stopping=stopping,
        )
