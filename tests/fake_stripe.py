"""A small server that speaks the part of Stripe's API that is used, on the loopback."""

from __future__ import annotations

import hashlib
import hmac
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl

from tests.suite import Suite

SECRET = "whsec_test"  # What the messages of this Stripe are signed with.


@dataclass(slots=True)
class FakeStripe:
    """What was asked for, and how cards behave: `cards` by payment method, "succeeded" if absent.

    A card is "succeeded", "processing", "away" (no answer but 503) or a decline code.
    """

    url: str = ""
    cards: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    intents: list[dict[str, Any]] = field(default_factory=list)  # Those that were made, once each.
    _answers: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def create(self, form: dict[str, str], key: str) -> tuple[int, dict[str, Any]]:
        """Make and confirm a PaymentIntent, or say again what was said for the key."""
        with self._lock:
            self.asked += 1
            card = self.cards.get(form["payment_method"], "succeeded")
            if card == "away":
                return 503, {"error": {"type": "api_error", "message": "away"}}
            if key not in self._answers:
                self._answers[key] = self._made(form, card)
            return self._answers[key]

    def _made(self, form: dict[str, str], card: str) -> tuple[int, dict[str, Any]]:
        labels = {k[9:-1]: v for k, v in form.items() if k.startswith("metadata[")}
        declined = card not in ("succeeded", "processing")
        intent = {
            "id": f"pi_{len(self.intents) + 1}_{labels['tally_payment_id'][:8]}",
            "object": "payment_intent",
            "amount": int(form["amount"]),
            "currency": form["currency"],
            "customer": form["customer"],
            "status": "requires_payment_method" if declined else card,
            "metadata": labels,
        }
        self.intents.append(intent)
        if not declined:
            return 200, intent
        error = {
            "type": "card_error",
            "code": "card_declined",
            "decline_code": card,
            "message": "Your card was declined.",
            "payment_intent": intent,
        }
        return 402, {"error": error}


@contextmanager
def fake_stripe() -> Iterator[FakeStripe]:
    """Serve until the end of the context."""
    fake = FakeStripe()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            form = dict(parse_qsl(self.rfile.read(length).decode()))
            assert self.path == "/v1/payment_intents", self.path
            status, answer = fake.create(form, self.headers["Idempotency-Key"])
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass(frozen=True)
class Stripe:
    """A fake of Stripe, and where invoicing takes its messages."""

    fake: FakeStripe
    events_address: str


@contextmanager
def charging(suite: Suite) -> Iterator[Stripe]:
    """Start a suite's invoicing anew, so that it charges by a fake of Stripe."""
    with socket.socket() as free, fake_stripe() as fake:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        suite.stack.stop_service("invoicing")
        suite.stack.start_service(
            "invoicing",
            extra_env={
                "INVOICING_STRIPE_API_KEY": "sk_test_1",
                "INVOICING_STRIPE_BASE_URL": fake.url,
                "INVOICING_STRIPE_WEBHOOK_SECRET": SECRET,
                "INVOICING_PROVIDER_EVENTS_ADDRESS": address,
            },
        )
        yield Stripe(fake, address)


def message(kind: str, about: dict[str, Any], *, created: int | None = None) -> bytes:
    """Return the body of a message of a webhook."""
    at = int(time.time()) if created is None else created
    return json.dumps(
        {"id": "evt_1", "object": "event", "type": kind, "created": at, "data": {"object": about}}
    ).encode()


def signature(body: bytes, *, secret: str = SECRET, at: int | None = None) -> str:
    """Return the signature header of a body, as of now."""
    signed_at = int(time.time()) if at is None else at
    signed = f"{signed_at}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return f"t={signed_at},v1={digest}"


def send(address: str, body: bytes, header: str) -> int:
    """Send a message to host:port and return the status of the answer."""
    connection = HTTPConnection(address, timeout=30)
    try:
        connection.request("POST", "/", body, {"Stripe-Signature": header})
        return connection.getresponse().status
    finally:
        connection.close()
