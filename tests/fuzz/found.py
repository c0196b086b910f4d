"""Calls that once broke something: every run makes them again."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence

from tests.contract.bad_input.requests import good_requests
from tests.fuzz.calls import Call, Scene, good_metadata
from tests.fuzz.methods import Method
from tests.fuzz.wire import nested

DEEP_TOKEN = base64.urlsafe_b64encode(b"[" * 4_000).decode() + ".e30.e30"
# Bytes that are no message, each to all methods: those of gRPC itself answered UNKNOWN.
UNREADABLE = (b"\xff", nested(1, 101), b"\x0a\x02\xed\xa0")


def found_calls(methods: Sequence[Method], scene: Scene) -> list[Call]:
    """Return the calls, for the things of `scene`."""
    return [*_unreadable(methods, scene), *_made(methods, scene)]


def _unreadable(methods: Sequence[Method], scene: Scene) -> Iterator[Call]:
    for method in methods:
        for content in UNREADABLE:
            yield Call(method, (content,), good_metadata(method, scene.tokens), kind="found")
        # The JSON of its header is deeper than a reader goes.
        deep = (("authorization", f"Bearer {DEEP_TOKEN}"),)
        if method.ours:
            yield Call(method, (b"",), deep, kind="found")


def _made(methods: Sequence[Method], scene: Scene) -> Iterator[Call]:
    by_key = {method.key: method for method in methods}
    good = good_requests(scene.world)
    plan = good["rating.v1.PlanService.CreatePlan"]
    # More faults than headers hold.
    charges = [{"code": "\u00e9" * 60, "buckets": [{}] * 50}] * 100
    yield _call(by_key, scene, "CreatePlan", {**plan, "version": {"charges": charges}})
    # A base fee that nothing can bill.
    large = {**plan["version"], "base_amount": "1e29"}
    yield _call(by_key, scene, "CreatePlan", {**plan, "version": large})


def _call(methods: dict[str, Method], scene: Scene, name: str, fields: dict[str, object]) -> Call:
    [method] = [one for key, one in methods.items() if key.endswith(f".{name}")]
    content = method.request_type(**fields).SerializeToString()
    return Call(method, (content,), good_metadata(method, scene.tokens), kind="found")
