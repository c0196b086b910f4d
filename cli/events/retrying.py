"""Calls made again while the suite does not answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from cli.client import readable, refusal

PATIENCE_SECONDS = 60.0
FIRST_REST_SECONDS = 0.2
REST_SECONDS_MAX = 5.0
AGAIN = frozenset(
    [
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    ]
)

Answer = TypeVar("Answer")


class NoAnswer(Exception):
    """The suite refuses, or does not answer for as long as we wait; the message says which."""


async def answered(
    call: Callable[[], Awaitable[Answer]], *, patience_seconds: float = PATIENCE_SECONDS
) -> Answer:
    """Return the answer of a call that is safe to make again.

    Raises:
        NoAnswer: there is none to be had.
    """
    until = time.monotonic() + patience_seconds
    rest = FIRST_REST_SECONDS
    while True:
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() not in AGAIN or time.monotonic() + rest > until:
                raise NoAnswer(readable(refusal(error))) from None
        await asyncio.sleep(rest)
        rest = min(2 * rest, REST_SECONDS_MAX)
