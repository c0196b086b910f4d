"""Too many calls, too large ones, and what is no call at all."""

from __future__ import annotations

import random
import socket
from collections import Counter

import grpc
import pytest

from deploy.embedded.health import SERVING, service_health
from libs.rpc import MESSAGE_BYTES_MAX
from tests.fuzz.caller import Caller
from tests.fuzz.calls import Call
from tests.fuzz.methods import Method, methods_of
from tests.fuzz.watch import find_harm, vitals_of
from tests.suite import Suite

CALLS = 1_200  # At once, on one channel: more than gRPC lets wait by itself.
GROWTH_MAX_MIB = 128.0
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture(scope="module")
def list_meters(suite: Suite) -> Method:
    """The RPC that is called here: it reads the database."""
    [method] = [m for m in methods_of(suite.stack) if m.descriptor.name == "ListMeters"]
    return method


async def test_however_many_call_at_once_each_is_answered_or_told_to_come_again(
    suite: Suite, list_meters: Method
) -> None:
    metadata = (("authorization", f"Bearer {suite.token(1)}"),)
    calls = [Call(list_meters, (b"",), metadata, seconds=120.0) for _ in range(CALLS)]
    before = vitals_of(suite.stack)
    async with Caller(suite.stack.addresses) as caller:
        outcomes = await caller.all(calls, at_once=CALLS)
        again = await caller.make(calls[0])
    others = [one for one in outcomes if one.code != "OK"]
    codes = Counter(one.code for one in outcomes)
    assert set(codes) <= {"OK", "RESOURCE_EXHAUSTED"}, codes
    reasons = {one.info.reason if one.info else "" for one in others}
    assert reasons <= {"OVERLOADED"} and all(one.retry for one in others)
    assert codes["OK"] > CALLS // 4
    assert again.code == "OK"
    assert find_harm(suite.stack, before, growth_max_mib=GROWTH_MAX_MIB) == []


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_a_message_above_what_any_method_takes_is_refused_unread(
    suite: Suite, list_meters: Method, compression: grpc.Compression
) -> None:
    """gRPC itself refuses it, also one that only becomes so large when it is unpacked."""
    metadata = (("authorization", f"Bearer {suite.token(1)}"),)
    content = b"\0" * (4 * MESSAGE_BYTES_MAX)
    before = vitals_of(suite.stack)
    async with Caller(suite.stack.addresses) as caller:
        large = Call(list_meters, (content,), metadata, compression=compression)
        said = [(await caller.make(large)).code for _ in range(2)]
    assert said == ["RESOURCE_EXHAUSTED"] * 2
    assert find_harm(suite.stack, before, growth_max_mib=GROWTH_MAX_MIB) == []


def test_what_is_no_call_at_all_disturbs_nobody(suite: Suite) -> None:
    chance = random.Random(7)
    before = vitals_of(suite.stack)
    for address in suite.stack.addresses.values():
        for start in (b"", PREFACE, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x16\x03\x01"):
            for _ in range(5):
                _send(address, start + chance.randbytes(chance.randrange(5_000)))
    for address in suite.stack.addresses.values():
        assert service_health(address, seconds=20) == SERVING
    assert find_harm(suite.stack, before, growth_max_mib=GROWTH_MAX_MIB) == []


def _send(address: str, content: bytes) -> None:
    """Send bytes, and look at what comes back until the server hangs up or has enough."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=0.2) as connection:
        try:
            connection.sendall(content)
            while connection.recv(65_536):
                pass
        except OSError:
            return
