"""What payment providers tell on their own, by HTTP: each message is stored before it is answered.

It may come twice, late and out of order: what it changes is decided by what is stored.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from libs.db import begin_worker
from libs.errors import InvalidInput, NotFound
from libs.tenant import Tenant
from services.invoicing.domain.charging import Notice, Outcome, ProviderEvent
from services.invoicing.domain.payment import PaymentStatus
from services.invoicing.loops import Parts
from services.invoicing.operations.charging import PaymentProvider, take_dispute, take_outcome
from services.invoicing.store.payments import find_by_reference

log = logging.getLogger(__name__)

BODY_BYTES_MAX = 1024 * 1024
SECONDS_MAX = 20.0
SIGNATURE = "Stripe-Signature"
STATUSES = {Notice.SUCCEEDED: PaymentStatus.SUCCEEDED, Notice.FAILED: PaymentStatus.FAILED}

Take = Callable[[bytes, str], Awaitable[HTTPStatus]]


class ProviderEvents:
    """Takes the messages of a payment provider."""

    def __init__(
        self, parts: Parts, provider: PaymentProvider, retry_days: tuple[int, ...]
    ) -> None:
        self._parts = parts
        self._provider = provider
        self._retry_days = retry_days

    async def take(self, body: bytes, signature: str) -> HTTPStatus:
        """Store what a message tells, and return what to answer.

        A forged or old one is BAD_REQUEST; one about nothing of ours is OK, so that it does not
        come again. After anything else than OK the provider sends it again.
        """
        try:
            event = self._provider.read_event(body, signature)
        except InvalidInput as error:
            log.warning("a provider's message was refused", extra={"error": str(error)})
            return HTTPStatus.BAD_REQUEST
        if event is not None:
            try:
                await self._store(event)
            except NotFound as error:
                log.warning("a message about no payment of ours", extra={"error": str(error)})
        return HTTPStatus.OK

    async def _store(self, event: ProviderEvent) -> None:
        engine = self._parts.engine
        if event.tenant is not None and event.payment_id is not None:
            tenant, payment_id = Tenant(event.tenant), event.payment_id
        else:
            async with begin_worker(self._parts.worker) as conn:
                found = await find_by_reference(conn, self._provider.name, event.reference)
            if found is None:
                return
            tenant, payment_id = found
        status = STATUSES.get(event.notice)
        if status is None:
            await take_dispute(engine, tenant, payment_id, event)
        else:
            outcome = Outcome(status, event.reference, event.failure_code)
            now = self._parts.clock.now()
            await take_outcome(engine, tenant, payment_id, outcome, self._retry_days, now=now)
        self._parts.committed()


def listen(address: str, take: Take) -> Callable[[], Awaitable[None]]:
    """Answer POST requests on host:port by what `take` says; return what stops it.

    To be called in the event loop that `take` runs in.

    Raises:
        OSError: the address is taken.
    """
    loop = asyncio.get_running_loop()

    class Handler(BaseHTTPRequestHandler):
        timeout = SECONDS_MAX  # Of a connection that says nothing.
        server_version = "tally"
        sys_version = ""

        def do_POST(self) -> None:
            """Take one message."""
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > BODY_BYTES_MAX:
                self._answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
                return
            body = self.rfile.read(int(length))
            taken = asyncio.run_coroutine_threadsafe(
                _taken(take, body, self.headers.get(SIGNATURE, "")), loop
            )
            try:
                self._answer(taken.result(SECONDS_MAX))
            except Exception as error:
                taken.cancel()
                log.error("a provider's message was not stored", exc_info=error)
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE)

        def log_message(self, format: str, *args: Any) -> None:
            """Keep the log to what went wrong."""

        def _answer(self, status: HTTPStatus) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    host, _, port = address.rpartition(":")
    server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
    thread = Thread(target=server.serve_forever, name="provider events", daemon=True)
    thread.start()

    async def stop() -> None:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)

    return stop


async def _taken(take: Take, body: bytes, signature: str) -> HTTPStatus:
    return await take(body, signature)
