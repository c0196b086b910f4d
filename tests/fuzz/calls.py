"""Calls: a method, the bytes to send, and how: with whose token, what metadata, how patiently."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from hypothesis import strategies as st

from libs.wire import TIMESTAMP_SECONDS_MAX, TIMESTAMP_SECONDS_MIN
from tally.ingest.v1.bulk_pb2 import StreamEventsRequest
from tally.internal.v1.test_clock_service_pb2 import SetTimeRequest
from tests.contract.bad_input.requests import World
from tests.fuzz import messages, wire
from tests.fuzz.known import Known
from tests.fuzz.methods import Method

PATIENT_SECONDS = 60.0  # Far above what a service allows itself: longer is a hang.
# What goes on until its caller leaves, or looks at all that there is.
SHORT_SECONDS = {"Watch": 0.3, "Verify": 3.0}
AHEAD_SECONDS = 3_600
HEADERS_FIT = 6 * 1024  # What gRPC takes without asking.
Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a caller may present."""

    tenant: int
    public: str
    internal: str
    other: str
    expired: str


@dataclass(frozen=True, slots=True)
class Call:
    """One RPC to make."""

    method: Method
    payloads: tuple[bytes, ...]
    metadata: Metadata
    seconds: float = PATIENT_SECONDS
    cancel_after: float | None = None
    compression: grpc.Compression | None = None
    oversized: bool = False  # Above what gRPC takes: it answers before our code sees the call.
    kind: str = field(default="", compare=False)

    @property
    def hasty(self) -> bool:
        """Whether it may end before the service has answered."""
        return self.seconds < PATIENT_SECONDS

    def __str__(self) -> str:
        rest = {
            "seconds": self.seconds if self.hasty else None,
            "cancel_after": self.cancel_after,
            "compression": self.compression,
        }
        odd = " ".join(f"{name}={value}" for name, value in rest.items() if value is not None)
        return f"{self.kind} {self.method} {_shown(self)} {_short(self.metadata)} {odd}".rstrip()


@dataclass(frozen=True, slots=True)
class Scene:
    """Among what the calls are made."""

    known: Known
    world: World
    tokens: Tokens
    now: int  # Business time when it all began, seconds since 1970.


def calls_of(method: Method, scene: Scene) -> st.SearchStrategy[Call]:
    """Return calls of one method, of every kind."""
    known, world = scene.known, scene.world
    near = messages.touched(method, known, world).map(_serialized)
    wild = messages.wild(method, known).map(_serialized)
    mutated = wire.mutated(st.one_of(near, near, wild))
    return st.one_of(
        *[_made(method, scene, near, "touched")] * 3,
        _made(method, scene, wild, "wild"),
        _made(method, scene, mutated, "mutated"),
        _made(method, scene, wire.raw, "raw"),
        _odd(method, scene, st.one_of(near, wild)),
    )


def good_metadata(method: Method, tokens: Tokens) -> Metadata:
    """Return the metadata of a call that may be made."""
    if method.internal:
        named = ("tally-tenant", str(tokens.tenant))
        return (("authorization", f"Bearer {tokens.internal}"), named)
    return (("authorization", f"Bearer {tokens.public}"),)


@st.composite
def _made(
    draw: Any, method: Method, scene: Scene, contents: st.SearchStrategy[bytes], kind: str
) -> Call:
    count = draw(st.integers(1, 3)) if method.descriptor.client_streaming else 1
    payloads = tuple(_tame(method, draw(contents), scene.now) for _ in range(count))
    name = method.descriptor.name
    if name == "StreamEvents" and draw(st.integers(0, 3)):
        payloads = tuple(map(_numbered, payloads, range(1, count + 1)))
    short = [seconds for start, seconds in SHORT_SECONDS.items() if name.startswith(start)]
    seconds = short[0] if short else PATIENT_SECONDS
    return Call(method, payloads, good_metadata(method, scene.tokens), seconds, kind=kind)


@st.composite
def _odd(draw: Any, method: Method, scene: Scene, contents: st.SearchStrategy[bytes]) -> Call:
    """A call with strange metadata, little time, a cancellation, or compression."""
    made = draw(_made(method, scene, contents, "odd"))
    metadata, seconds, cancel, compression = made.metadata, made.seconds, None, None
    match draw(st.sampled_from(["token", "tenant", "extra", "headers", "late", "cancel", "gzip"])):
        case "token":
            metadata = draw(_tokens(scene.tokens))
        case "tenant":
            metadata = (metadata[0], ("tally-tenant", draw(st.sampled_from(TENANTS))))
        case "extra":
            metadata = (*metadata, *draw(st.lists(st.sampled_from(EXTRAS), min_size=1, max_size=3)))
        case "headers":
            size = draw(st.sampled_from([1_000, 7_000, 15_000, 70_000]))
            metadata = (*metadata, ("x-giant", "h" * size))
        case "late":
            seconds = draw(st.sampled_from([0.0, 0.001, 0.005, 0.02]))
        case "cancel":
            cancel = draw(st.sampled_from([0.0, 0.001, 0.003, 0.01, 0.05]))
        case "gzip":
            compression = draw(st.sampled_from(COMPRESSIONS))
    size = sum(len(name) + len(value) for name, value in metadata)
    return Call(
        method,
        made.payloads,
        metadata,
        seconds,
        cancel_after=cancel,
        compression=compression,
        oversized=size > HEADERS_FIT,
        kind="odd",
    )


COMPRESSIONS = [grpc.Compression.Gzip, grpc.Compression.Deflate]
TENANTS = ["", "0", "-1", "1", "2", "999999999", "99999999999999999999", "1.0", "1 2", " 1", "0x1"]
TENANTS += ["1; SET ROLE postgres", "'", "NaN", "1e3"]
EXTRAS: list[tuple[str, str | bytes]] = [
    ("traceparent", "00-" + "f" * 32 + "-" + "f" * 16 + "-01"),
    ("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-00"),
    ("traceparent", "ff-zz-01"),
    ("traceparent", "x" * 1_000),
    ("tracestate", ",".join(f"k{n}=v" for n in range(300))),
    ("tracestate", "=,=,==;"),
    ("baggage", "%ff%00=%,;;==,a=" + "b" * 900),
    ("authorization", "Bearer second"),
    ("authorization-bin", b"\x00\xff"),
    ("tally-tenant-bin", b"\xff\x00"),
    ("traceparent-bin", b"\xff" * 100),
    ("grpc-previous-rpc-attempts", "999999999999"),
    ("grpc-accept-encoding", "x" * 500),
    ("user-agent", "\x20" * 100),
    ("x-empty", ""),
]


def _segment(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _tokens(tokens: Tokens) -> st.SearchStrategy[Metadata]:
    """Return what stands where a token should."""
    head, body, signature = tokens.public.split(".")
    claims = _segment(json.dumps({"scopes": ["internal"], "aud": "tally", "exp": 2**70, "iat": 0}))
    header = json.loads(base64.urlsafe_b64decode(head + "=="))
    heads: list[object] = [
        {**header, "alg": "none"},
        {**header, "alg": ["EdDSA"]},
        {**header, "alg": "HS256"},
        {**header, "kid": ["a"]},
        {**header, "kid": {"a": 1}},
        {**header, "kid": None},
        {**header, "crit": ["x"]},
        {**header, "b64": False},
        {**header, "zip": "DEF"},
        [],
        None,
        "text",
    ]
    bad = [
        tokens.public,
        "",
        " ",
        "a.b.c",
        "....",
        "a" * 4_000,
        tokens.expired,
        tokens.other,
        f"{head}.{body}.",
    ]
    bad += [f"{head}.{claims}.{signature}", f"{_segment('[' * 4_000)}.{body}.{signature}"]
    bad += [f"{_segment('{{' + '9' * 4_000)}.{body}.{signature}", f"é.{body}.{signature}"]
    bad += [f"{_segment(json.dumps(one))}.{body}.{signature}" for one in heads]
    bad = [token for token in bad if token.isascii()]
    schemes = ["Bearer ", "bearer ", "Basic ", "", "Bearer", "Bearer  "]
    presented = st.builds(str.__add__, st.sampled_from(schemes), st.sampled_from(bad))
    return st.one_of(st.just(()), presented.map(lambda text: (("authorization", text),)))


def _serialized(message: Any) -> bytes:
    content: bytes = message.SerializeToString()
    return content


def _numbered(content: bytes, number: int) -> bytes:
    """Make it the batch of that number, or the stream would end at the second one."""
    return content + StreamEventsRequest(batch_number=number).SerializeToString()


def _tame(method: Method, content: bytes, now: int) -> bytes:
    """Keep the test clock near `now`: years of billing at once are no question of bad input."""
    if method.descriptor.name != "SetTime":
        return content
    request = SetTimeRequest()
    try:
        request.ParseFromString(content)
    except DecodeError:
        return content
    seconds = request.now.seconds
    if TIMESTAMP_SECONDS_MIN <= seconds <= TIMESTAMP_SECONDS_MAX and seconds > now:
        request.now.seconds = now + seconds % AHEAD_SECONDS
    return request.SerializeToString()


def _shown(call: Call) -> str:
    """Return the requests as text where they can be read, and always as bytes."""
    shown = []
    for content in call.payloads:
        request = call.method.request_type()
        try:
            request.ParseFromString(content)
            text = str(request).replace("\n", " ")[:1_500]
        except DecodeError:
            text = "unreadable"
        shown.append(f"<{text}> {len(content)} bytes {content[:400].hex()}")
    return "; ".join(shown)


def _short(metadata: Metadata) -> str:
    return ", ".join(f"{name}={value[:60]!r}" for name, value in metadata)
