"""Ports for servers on the loopback interface."""

from __future__ import annotations

import random
import socket
from pathlib import Path

HOST = "127.0.0.1"
RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
LOWEST = 10_000

_taken: set[int] = set()


class NoPort(RuntimeError):
    """Every port that was tried is in use."""


def choose_port(preferred: int | None = None) -> int:
    """Return a port nobody listens on: `preferred` if it is free, and no port twice.

    From below the range that outgoing connections take theirs from: one of those could otherwise
    sit on the port in the moment before its server listens.
    """
    if preferred is not None and is_free(preferred):
        return preferred
    for _ in range(1000):
        port = random.randrange(LOWEST, _first_ephemeral())
        if port not in _taken and is_free(port):
            _taken.add(port)
            return port
    raise NoPort(f"no free port was found between {LOWEST} and {_first_ephemeral()}")


def free_ports(count: int) -> list[int]:
    """Return so many ports that nobody listens on."""
    return [choose_port() for _ in range(count)]


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _first_ephemeral() -> int:
    try:
        first = int(RANGE_FILE.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 32_768
    return first if first >= LOWEST + 5_000 else 65_536
