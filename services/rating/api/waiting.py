"""How long an answer waits for what the caller has recorded."""

from __future__ import annotations

from typing import Any

import grpc

ACK_SECONDS_MAX = 10.0
ACK_SHARE = 0.8  # Of what is left of the caller's deadline.


def ack_seconds(context: grpc.aio.ServicerContext[Any, Any]) -> float:
    """Return for how many seconds to wait for usage, so that an answer can follow in time."""
    left = context.time_remaining()
    return ACK_SECONDS_MAX if left is None else min(ACK_SECONDS_MAX, ACK_SHARE * left)
