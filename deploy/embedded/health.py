"""Whether servers answer."""

from __future__ import annotations

import socket

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

SERVING = "serving"
NOT_SERVING = "not serving"
SILENT = "no answer"


def service_health(address: str, *, seconds: float) -> str:
    """Return how the gRPC server at host:port says it is: SERVING, NOT_SERVING or SILENT.

    A server that does not listen yet is waited for, at most `seconds`.
    """
    request = health_pb2.HealthCheckRequest()
    options = [
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 200),
        ("grpc.use_local_subchannel_pool", 1),  # Else a refusal long ago is still believed.
        ("grpc.enable_http_proxy", 0),
    ]
    with grpc.insecure_channel(address, options=options) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                request, timeout=seconds, wait_for_ready=True
            )
        except grpc.RpcError:
            return SILENT
    good = answer.status == health_pb2.HealthCheckResponse.SERVING
    return SERVING if good else NOT_SERVING


def server_health(address: str, *, seconds: float) -> str:
    """Return SERVING if something takes connections at host:port, else SILENT."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=seconds):
            return SERVING
    except OSError:
        return SILENT
