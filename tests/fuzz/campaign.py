"""Throws calls at a running suite for a while, and tells what it did to it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from cli.running import public_scopes
from libs.auth import INTERNAL_SCOPE
from tests.contract.bad_input.world import make_worlds
from tests.fuzz.caller import Caller, Outcome
from tests.fuzz.calls import Call, Scene, Tokens, calls_of
from tests.fuzz.found import found_calls
from tests.fuzz.judge import find_fault
from tests.fuzz.known import Known
from tests.fuzz.methods import Method, methods_of
from tests.fuzz.values import NOW
from tests.fuzz.watch import vitals_of
from tests.suite import Suite

AT_ONCE = 16
COMMANDS_TIMES = 3  # What changes something can break more.
FAULTS_SHOWN = 40


@dataclass(slots=True)
class Tally:
    """What came back."""

    calls: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)  # By method: answered OK.
    called: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")

    def add(self, call: Call, outcome: Outcome) -> None:
        """Count one call, and note what is wrong with its outcome."""
        self.calls += 1
        self.codes[outcome.code] += 1
        self.called[str(call.method)] += 1
        self.reached[str(call.method)] += outcome.code == "OK"
        self.slowest = max(self.slowest, (outcome.seconds, str(call.method)))
        if fault := find_fault(call, outcome):
            self.faults.append(f"{fault}\n    {call}")

    def __str__(self) -> str:
        codes = ", ".join(f"{count} {code}" for code, count in self.codes.most_common())
        seconds, method = self.slowest
        slowest = f"slowest {seconds:.2f} s, {method}"
        return f"{self.calls} calls of {len(self.called)} RPCs: {codes}; {slowest}"


class Campaign:
    """Fills two tenants of a suite, then calls every RPC again and again.

    A suite has one campaign: it moves the clocks a little.
    """

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self.methods = methods_of(suite.stack)
        self.tally = Tally()
        self.scene = _make_scene(suite)

    def repeat_found(self) -> None:
        """Make the calls that broke something once."""
        asyncio.run(self._make(found_calls(self.methods, self.scene)))

    def run(self, seed_value: int, *, each: int) -> None:
        """Call every RPC about `each` times, as `seed_value` decides."""
        calls = [
            call
            for place, method in enumerate(self.methods)
            for call in generated(
                calls_of(method, self.scene),
                each * (COMMANDS_TIMES if method.changes else 1),
                seed_value * 1_000 + place,
            )
        ]
        # In another order than that of the contracts, the same for the same seed.
        calls.sort(key=lambda call: hash((seed_value, call.payloads)) % 1_000_003)
        asyncio.run(self._make(calls))

    def run_for(self, seconds: float, seed_value: int, say: Callable[[str], None]) -> None:
        """Go on for so long, with seeds from `seed_value` on."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            faults = len(self.tally.faults)
            self.run(seed_value, each=12)
            vitals = vitals_of(self._suite.stack)
            memory = ", ".join(f"{name} {was.resident_mib:.0f}" for name, was in vitals.items())
            say(f"seed {seed_value}: {self.tally}; MiB: {memory}")
            for fault in self.tally.faults[faults : faults + FAULTS_SHOWN]:
                say(f"  {fault}")
            seed_value += 1

    async def _make(self, calls: Sequence[Call]) -> None:
        async with Caller(self._suite.stack.addresses) as caller:
            outcomes = await caller.all(calls, at_once=AT_ONCE)
        for call, outcome in zip(calls, outcomes, strict=True):
            self.tally.add(call, outcome)
            for content in outcome.answers:
                self._learn(call.method, content)

    def _learn(self, method: Method, content: bytes) -> None:
        answer = method.answer_type()
        try:
            answer.ParseFromString(content)
        except DecodeError:
            self.tally.faults.append(f"unreadable answer of {method}")
        if method.ours:
            self.scene.known.learn(answer)


def generated(strategy: st.SearchStrategy[Call], count: int, seed_value: int) -> list[Call]:
    """Return some `count` examples of a strategy, the same for the same seed."""
    made: list[Call] = []

    @seed(seed_value)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def gather(call: Call) -> None:
        made.append(call)

    gather()
    return made


def _make_scene(suite: Suite) -> Scene:
    """Set the clocks, so that they only go forward from here, and fill two tenants.

    They stand in the middle of a month, so that going on a little bills nobody.
    """
    now = datetime.fromtimestamp(NOW, UTC)
    asyncio.run(suite.set_time(now))
    worlds = make_worlds(suite)
    tokens = Tokens(
        tenant=worlds.tenant,
        public=suite.token(worlds.tenant),
        internal=suite.token(None, [INTERNAL_SCOPE]),
        other=suite.token(suite.new_tenant()),
        expired=suite.stack.token(worlds.tenant, public_scopes(), timedelta(hours=-1)),
    )
    return Scene(Known(worlds.mine, worlds.other), worlds.mine, tokens, int(now.timestamp()))
