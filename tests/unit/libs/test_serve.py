"""A whole service, in a process of its own: start, answer, drain, stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]
    reflection_pb2,
    reflection_pb2_grpc,
)

from tally.wallet.v1 import hold_service_pb2, hold_service_pb2_grpc
from tests.unit.libs.keys import Keys
from tests.wait import until

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Tiny:
    """The process, and how to reach it."""

    process: subprocess.Popen[bytes]
    address: str
    metrics_address: str
    keys: Keys
    folder: Path

    async def healthy(self) -> bool:
        async with grpc.aio.insecure_channel(self.address) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=1)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def logs(self) -> list[dict[str, Any]]:
        lines = (self.folder / "log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.fixture
async def tiny(tmp_path: Path) -> AsyncIterator[Tiny]:
    keys = Keys(tmp_path)
    address, metrics_address = (f"127.0.0.1:{free_port()}" for _ in range(2))
    env = os.environ | {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'libs' / 'gen'}",
        "NATS_URL": "nats://127.0.0.1:1",
        "WALLET_DATABASE_URL": "postgresql+asyncpg://app@127.0.0.1:1/none",
        "WALLET_WORKER_DATABASE_URL": "postgresql+asyncpg://worker@127.0.0.1:1/none",
        "WALLET_LISTEN_ADDRESS": address,
        "WALLET_METRICS_ADDRESS": metrics_address,
        "WALLET_TOKEN_KEYS_FILE": keys.file,
        "WALLET_INTERNAL_TOKEN_FILE": keys.internal_token_file(),
        "WALLET_TRACES_FILE": str(tmp_path / "spans.jsonl"),
        "WALLET_CONNECTION_SECONDS": "1",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.libs.tiny_service"], env=env, stderr=log, cwd=ROOT
        )
    service = Tiny(process, address, metrics_address, keys, tmp_path)
    try:
        await until(service.healthy, describe=lambda: (tmp_path / "log").read_text())
        yield service
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def test_an_rpc_in_flight_is_answered_while_the_service_drains(tiny: Tiny) -> None:
    marker = tiny.folder / "in-flight"
    request = hold_service_pb2.AuthorizeRequest(request_id=str(marker))
    metadata = [
        ("authorization", f"Bearer {tiny.keys.token('holds:write')}"),
        ("traceparent", TRACEPARENT),
    ]
    async with grpc.aio.insecure_channel(tiny.address) as channel:
        stub: Any = hold_service_pb2_grpc.HoldServiceStub(channel)
        call = asyncio.ensure_future(stub.Authorize(request, metadata=metadata, timeout=20))
        await until(marker.exists)
        tiny.process.send_signal(signal.SIGTERM)
        assert (await call).hold.hold_id == "h"
    assert await asyncio.to_thread(tiny.process.wait, 20) == 0
    assert [line["message"] for line in tiny.logs()] == ["serving", "draining", "stopped"]
    spans = [json.loads(line) for line in (tiny.folder / "spans.jsonl").read_text().splitlines()]
    rpc = next(span for span in spans if span["name"] == "tally.wallet.v1.HoldService/Authorize")
    assert (rpc["trace_id"], rpc["parent_span_id"]) == tuple(TRACEPARENT.split("-")[1:3])
    assert (rpc["service"], rpc["kind"]) == ("wallet", "server")


async def test_a_service_that_drains_says_so_and_takes_no_new_calls(tiny: Tiny) -> None:
    """What Kubernetes asks without a token: it is not ready while it answers what is in flight."""
    request = health_pb2.HealthCheckRequest()
    async with grpc.aio.insecure_channel(tiny.address) as channel:
        watching = health_pb2_grpc.HealthStub(channel).Watch(request, timeout=60)
        seen = [(await watching.read()).status]
        tiny.process.send_signal(signal.SIGTERM)
        seen.append((await watching.read()).status)
        assert tiny.process.poll() is None  # It is ours that is still in flight.
        assert not await tiny.healthy()
        watching.cancel()
    states = health_pb2.HealthCheckResponse
    assert seen == [states.SERVING, states.NOT_SERVING]
    assert await asyncio.to_thread(tiny.process.wait, 20) == 0


async def test_a_connection_is_given_up_after_a_while_so_that_clients_look_again(
    tiny: Tiny,
) -> None:
    async with grpc.aio.insecure_channel(tiny.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest())
        await until(lambda: channel.get_state() is not grpc.ChannelConnectivity.READY, seconds=60)
        await health.Check(health_pb2.HealthCheckRequest())
    assert tiny.process.poll() is None


async def test_what_runs_can_be_asked_what_it_is(tiny: Tiny) -> None:
    async with grpc.aio.insecure_channel(tiny.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        async for answer in stub.ServerReflectionInfo(iter([ask])):
            names = {service.name for service in answer.list_services_response.service}
            break
        health = health_pb2_grpc.HealthStub(channel)
        await health.Check(health_pb2.HealthCheckRequest())
    assert "tally.wallet.v1.HoldService" in names
    page = await asyncio.to_thread(metrics_of, tiny.metrics_address)
    assert "# TYPE tally_rpc_total counter" in page


async def test_whoever_asks_for_health_in_no_words_is_refused(tiny: Tiny) -> None:
    """These need no token, so anyone may send anything."""
    said = []
    channel: Any
    async with grpc.aio.insecure_channel(tiny.address) as channel:
        reflection = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        calls = [
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"\xff"),
            channel.unary_unary("/grpc.health.v1.Health/List")(b""),
            channel.unary_stream("/grpc.health.v1.Health/Watch")(b"\xff"),
            channel.stream_stream(reflection)(iter([b"\xff"])),
        ]
        for call in calls:
            said.append((await call.code()).name)
    refused = "INVALID_ARGUMENT"
    assert said == [refused, "UNIMPLEMENTED", refused, refused]
    assert [line for line in tiny.logs() if line["level"] == "error"] == []
    assert (tiny.folder / "log").read_text().count("Traceback") == 0


def metrics_of(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


async def test_an_address_in_use_is_said_and_ends_the_process(tiny: Tiny) -> None:
    env = (Path("/proc") / str(tiny.process.pid) / "environ").read_bytes().split(b"\0")
    second = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tests.unit.libs.tiny_service"],
        env=dict(pair.split(b"=", 1) for pair in env if pair),
        cwd=ROOT,
        capture_output=True,
        timeout=20,
    )
    assert second.returncode == 1
    assert b"service failed" in second.stderr
    assert tiny.process.poll() is None
