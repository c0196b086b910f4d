"""Sending to an address that a stranger named: only to public ones, and never for long."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from services.invoicing.domain.webhook import Answer, is_public

SECONDS_MAX = 10
LINE_BYTES_MAX = 16 * 1024
PORTS = {"https": 443, "http": 80}


class AddressRefused(OSError):
    """A host has an address that is not of the internet."""


class NoHttp(ValueError):
    """What answered does not speak HTTP."""


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    private: bool,
    seconds: float = SECONDS_MAX,
) -> Answer:
    """Send `body` and return the status of the answer, or why there is none within `seconds`.

    Redirects are not followed: their status is the answer. Unless `private`, all addresses of
    the host must be public; it is resolved once, and what was checked is connected to, so no
    name can lead elsewhere. What comes after the status is not read.
    """
    try:
        async with asyncio.timeout(seconds):
            status = await _exchange(urlsplit(url), body, headers, private=private)
    except TimeoutError:
        return Answer(0, f"no answer within {seconds} s")
    except (OSError, ValueError, EOFError) as error:  # Also of TLS, and of names that are none.
        return Answer(0, f"{type(error).__name__}: {error}")
    if 200 <= status < 300:
        return Answer(status)
    return Answer(status, f"answered with status {status}")


async def _exchange(
    url: SplitResult, body: bytes, headers: Mapping[str, str], *, private: bool
) -> int:
    target = (url.path or "/") + (f"?{url.query}" if url.query else "")
    fields = {
        "Host": url.netloc,
        "Content-Length": str(len(body)),
        "Connection": "close",
        **headers,
    }
    head = [f"POST {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    reader, writer = await _connect(url, private=private)
    try:
        writer.write("\r\n".join([*head, "", ""]).encode("ascii") + body)
        await writer.drain()
        return await _read_status(reader)
    finally:
        writer.close()


async def _connect(
    url: SplitResult, *, private: bool
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = url.hostname or "", url.port or PORTS[url.scheme]
    tls = ssl.create_default_context() if url.scheme == "https" else None
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    for address in addresses:
        if not private and not is_public(address):
            raise AddressRefused(f"{host} has the address {address}, which is not public")
    for place, address in enumerate(addresses, start=1):
        try:
            return await asyncio.open_connection(
                address,
                port,
                ssl=tls,
                server_hostname=host if tls else None,
                limit=LINE_BYTES_MAX,
            )
        except OSError:
            if place == len(addresses):
                raise
    raise AddressRefused(f"{host} has no address")


async def _read_status(reader: asyncio.StreamReader) -> int:
    """Return the status of the answer, after those from 100 to 199 that only announce it."""
    while True:
        version, _, rest = (await reader.readline()).partition(b" ")
        code = rest[:3]
        if not version.startswith(b"HTTP/1.") or not code.isdigit() or len(code) < 3:
            raise NoHttp("the answer is not HTTP/1.1")
        if not code.startswith(b"1"):
            return int(code)
        while (await reader.readline()).strip():
            pass  # The fields of what only announces.
