"""A service of two methods, started as a process of its own by test_serve."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from libs import telemetry
from libs.clock import SystemClock
from libs.db import connect
from libs.idle import Idle
from libs.serve import Servicer, run, serve
from libs.settings import ServiceSettings
from libs.worker import Loop
from tally.wallet.v1 import hold_service_pb2, hold_service_pb2_grpc
from tests.unit.libs.rpc_server import Holds


async def main(stopping: asyncio.Event) -> None:
    """Answer Authorize once a file exists; the loop writes it when the server drains.

    So an answer after SIGTERM shows both that RPCs in flight may finish and that loops go on
    working until they have.
    """
    settings = ServiceSettings.from_env("wallet", os.environ)
    telemetry.configure(settings)
    entered, answered = asyncio.Event(), asyncio.Event()

    async def authorize(request: hold_service_pb2.AuthorizeRequest) -> str:
        Path(request.request_id).touch()  # Tells the test that the call is in flight.
        entered.set()
        await answered.wait()
        return "h"

    async def step() -> bool:
        if stopping.is_set() and entered.is_set():
            answered.set()
        return False

    async def idle() -> Idle:
        return Idle(busy=[], marks={}, next_due_at=None)

    add = hold_service_pb2_grpc.add_HoldServiceServicer_to_server
    await serve(
        settings,
        servicers=[Servicer(add, Holds(authorize))],
        loops=[Loop("answer", step, poll_seconds=0.01)],
        clock=SystemClock(),
        idle=idle,
        engine=connect(settings.worker_database_url, connections_max=1),
        stopping=stopping,
    )


if __name__ == "__main__":
    run(main)
