"""Sockets that are in the way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.embedded.ports import HOST


@contextmanager
def taken(port: int | None) -> Iterator[None]:
    """Listen on a port, as another program might while a server is down."""
    assert port is not None
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((HOST, port))
        other.listen(1)
        yield
