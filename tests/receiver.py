"""A small HTTP server on the loopback that webhooks are sent to."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    path: str
    body: bytes
    signature: str

    def signed_by(self, secret: str) -> bool:
        """Tell whether one of the signatures is by `secret`."""
        timestamp, *signatures = self.signature.split(",")
        signed = timestamp.removeprefix("t=").encode() + b"." + self.body
        return f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}" in signatures


@dataclass(slots=True)
class Receiver:
    """What was sent, by path: /hangs never answers, /redirects leads to /reached, /fails fails.

    /recovers answers 500 once and 204 from then on, and so does any other path at once.
    """

    url: str = ""
    received: list[Received] = field(default_factory=list)
    ending: Event = field(default_factory=Event)

    def at(self, path: str) -> list[Received]:
        """Return what was sent to a path, in order."""
        return [one for one in self.received if one.path == path]

    def status(self, path: str) -> int:
        """Return what to answer."""
        recovering = path == "/recovers" and len(self.at(path)) == 1
        return {"/redirects": 302, "/fails": 500}.get(path, 500 if recovering else 204)


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Serve until the end of the context."""
    served = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            served.received.append(Received(self.path, body, self.headers["Tally-Signature"]))
            if self.path == "/hangs":
                served.ending.wait(60)
                return
            self.send_response(served.status(self.path))
            self.send_header("Location", f"{served.url}/reached")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.ending.set()
        server.shutdown()
        server.server_close()
        thread.join()
