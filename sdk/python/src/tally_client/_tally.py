"""The clients of the whole suite."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import grpc

from tally_client._async_clients import AsyncServices
from tally_client._async_producer import AsyncProducer
from tally_client._calls import (
    DEADLINE_SECONDS,
    Addresses,
    AsyncCalls,
    AsyncToken,
    Calls,
    Target,
    Token,
)
from tally_client._clients import Services
from tally_client._producer import Producer
from tally_client._producing import OnRejected, ProducerSettings
from tally_client._sending import PATH


class Tally(Services):
    """The clients of all gRPC services, by name: `tally.wallet.create_wallet(request)`.

    A request that takes a request id and has none is sent with one, which is kept over retries.
    What fails is raised as a `TallyError`, of the class that its reason has.

    Args:
        addresses: host:port by service ("ingest", "rating", "invoicing", "wallet"), or one
            for all; those that are not used may be absent.
        token: what is presented with every call, or what gives a fresh one before each.
        deadline_seconds: how long a call may take, retries included.
        credentials: for TLS, `grpc.ssl_channel_credentials()`.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        token: Token = "",
        deadline_seconds: float = DEADLINE_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._target, self._token = Target(addresses, deadline_seconds, credentials), token
        self._calls = Calls(self._target, token)
        super().__init__(self._calls)

    def producer(
        self,
        settings: ProducerSettings | None = None,
        *,
        on_rejected: OnRejected | None = None,
    ) -> Producer:
        """Return what records events one by one and sends many at once, in the background.

        It has a connection of its own, and lives until it is closed. `on_rejected` is called for
        each event that is not stored, by any thread, with a `Rejected`; without it they are logged.

        Raises:
            LookupError: no address of ingest was given.
        """
        calls = Calls(self._target.of(PATH), self._token)
        deadline_seconds = self._target.deadline_seconds
        return Producer(calls, settings or ProducerSettings(), deadline_seconds, on_rejected)

    def close(self) -> None:
        """Close the channels; calls in flight are cancelled."""
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncTally(AsyncServices):
    """The same for asyncio: `await tally.wallet.create_wallet(request)`.

    It belongs to the event loop in which its first call is made. `token` may be a coroutine
    function, too.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        token: AsyncToken = "",
        deadline_seconds: float = DEADLINE_SECONDS,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._target, self._token = Target(addresses, deadline_seconds, credentials), token
        self._calls = AsyncCalls(self._target, token)
        super().__init__(self._calls)

    def producer(
        self,
        settings: ProducerSettings | None = None,
        *,
        on_rejected: OnRejected | None = None,
    ) -> AsyncProducer:
        """As `Tally.producer`; `on_rejected` is called in the event loop."""
        calls = AsyncCalls(self._target.of(PATH), self._token)
        deadline_seconds = self._target.deadline_seconds
        return AsyncProducer(calls, settings or ProducerSettings(), deadline_seconds, on_rejected)

    async def close(self) -> None:
        """Close the channels; calls in flight are cancelled."""
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
