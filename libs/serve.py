"""Starts a service's server and ends it: one function for all four services."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import uvloop
from grpc_health.v1 import (  # type: ignore[import-untyped]
    health,
    health_pb2,
    health_pb2_grpc,
)
from grpc_reflection.v1alpha import reflection  # type: ignore[import-untyped]
from prometheus_client import start_http_server
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import telemetry
from libs.auth import Authenticator
from libs.clock import Clock, TestClock
from libs.idle import IdleCheck, with_loops
from libs.rpc import MESSAGE_BYTES_MAX, ServerInterceptor, check_scopes
from libs.settings import ServiceSettings
from libs.testclock import TestClockServicer
from libs.worker import Background
from tally.internal.v1 import test_clock_service_pb2_grpc

log = logging.getLogger(__name__)

LOOPS_SECONDS_MIN = 2.0  # For the steps that run, however long the RPCs took to drain.
OPTIONS: list[tuple[str, Any]] = [
    # Above what any method allows: the method refuses by name, gRPC only by number.
    ("grpc.max_receive_message_length", 2 * MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", 4 * MESSAGE_BYTES_MAX),
    # Calls wait here for the event loop. By default gRPC ends one as CANCELLED once a thousand wait
    # or it has waited for 30 s; here a caller's own deadline comes first.
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
    ("grpc.server_max_unrequested_time_in_server", 120),
    # What a stream may send before it is read. By default gRPC measures the connection, and takes
    # tens of MiB of each stream that waits.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 1024 * 1024),
    ("grpc.so_reuseport", 0),  # A second process on the address is a mistake, not a helper.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
]


@dataclass(frozen=True, slots=True)
class Servicer:
    """One gRPC service: how generated code adds it to a server, and what answers it."""

    add: Callable[[Any, Any], None]  # hold_service_pb2_grpc.add_HoldServiceServicer_to_server
    implementation: object


async def serve(
    settings: ServiceSettings,
    *,
    servicers: Sequence[Servicer],
    loops: Sequence[Background],
    clock: Clock,
    idle: IdleCheck,
    engine: AsyncEngine,
    stopping: asyncio.Event,
) -> None:
    """Answer RPCs and run `loops` until `stopping`, then drain and return.

    Health says SERVING once everything is started. At `stopping` it says NOT_SERVING, new RPCs
    are refused, those in flight may finish within `settings.drain_seconds`, and only then do the
    loops stop, which they may wait for. A jump of `clock` kicks every loop; with the test clock
    its RPCs are served too, and `engine` (the worker's) keeps the time.

    Raises:
        LookupError: a method declares no scope.
        OSError: the address is taken.
    """
    for loop in loops:
        clock.on_change(loop.kick)
    if isinstance(clock, TestClock):
        test_clock = TestClockServicer(clock, engine, with_loops(idle, loops))
        add = test_clock_service_pb2_grpc.add_TestClockServiceServicer_to_server
        servicers = [*servicers, Servicer(add, test_clock)]
    server, healthy = _make_server(settings, servicers)
    async with AsyncExitStack() as stack:
        if settings.metrics_address:
            stack.push_async_callback(_serve_metrics(settings.metrics_address))
        await healthy.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        await server.start()
        stop_loops = asyncio.Event()
        running = [asyncio.create_task(one.run(stop_loops), name=one.name) for one in loops]
        try:
            await healthy.set("", health_pb2.HealthCheckResponse.SERVING)
            log.info("serving", extra={"address": settings.listen_address})
            await _until(stopping, running)
        finally:
            await _drain(server, healthy, running, stop_loops, settings.drain_seconds)
    log.info("stopped")


def run(main: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run `main(stopping)` on a fast event loop; SIGINT and SIGTERM set `stopping`.

    What `main` raises is logged and ends the process with status 1.
    """

    async def main_until_signal() -> None:
        stopping = asyncio.Event()
        for signum in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signum, stopping.set)
        await main(stopping)

    # What was imported stays. Requests make objects by the thousand, and no cycles: looking for
    # these as often as Python does by default took a quarter of the time of recording events.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main_until_signal())
    except Exception:
        log.exception("service failed")
        raise SystemExit(1) from None
    finally:
        telemetry.shutdown()


class _Recorder:
    """Stands in for the server while generated code adds a service, to learn its name."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.names: list[str] = []

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        self._server.add_generic_rpc_handlers(tuple(handlers))

    def add_registered_method_handlers(self, name: str, handlers: Any) -> None:
        self._server.add_registered_method_handlers(name, handlers)
        self.names.append(name)


def _make_server(
    settings: ServiceSettings, servicers: Sequence[Servicer]
) -> tuple[grpc.aio.Server, health.aio.HealthServicer]:
    interceptor = ServerInterceptor(Authenticator(settings.token_keys_file))
    # A client looks for new processes of the service only when it connects anew. What is in flight
    # on the old connection is answered there.
    age = ("grpc.max_connection_age_ms", round(settings.connection_seconds * 1000))
    server = grpc.aio.server(interceptors=[interceptor], options=[*OPTIONS, age])
    recorder = _Recorder(server)
    for servicer in servicers:
        servicer.add(servicer.implementation, recorder)
    check_scopes(recorder.names)
    healthy = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    names = (*recorder.names, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    if server.add_insecure_port(settings.listen_address) == 0:
        raise OSError(f"cannot listen on {settings.listen_address}")
    return server, healthy


def _serve_metrics(address: str) -> Callable[[], Coroutine[Any, Any, None]]:
    """Serve the Prometheus text on host:port; return what stops it."""
    host, _, port = address.rpartition(":")
    server, thread = start_http_server(int(port), addr=host.strip("[]"))

    async def stop() -> None:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)

    return stop


async def _until(stopping: asyncio.Event, running: Sequence[asyncio.Task[None]]) -> None:
    """Wait for `stopping`; a loop that ends before it is a mistake of ours and is raised."""
    stop = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait([stop, *running], return_when=asyncio.FIRST_COMPLETED)
        for task in running:
            if task.done():
                task.result()
                raise RuntimeError(f"the loop {task.get_name()} ended")
    finally:
        stop.cancel()


async def _drain(
    server: grpc.aio.Server,
    healthy: health.aio.HealthServicer,
    running: Sequence[asyncio.Task[None]],
    stop_loops: asyncio.Event,
    seconds: float,
) -> None:
    log.info("draining")
    until = time.monotonic() + seconds
    await healthy.enter_graceful_shutdown()
    await server.stop(seconds)
    stop_loops.set()
    if running:
        left = max(until - time.monotonic(), LOOPS_SECONDS_MIN)
        _, late = await asyncio.wait(running, timeout=left)
        for task in late:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
