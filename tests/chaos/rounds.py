"""A round: load, a kill at a random moment, recovery, and the comparison of everything."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import grpc

from cli.client import SuiteClient
from deploy.embedded.nats import NatsFailed
from deploy.embedded.postgres import PostgresFailed
from deploy.embedded.service import ServiceFailed
from libs import testclock
from libs.errors import TallyError
from libs.wire import timestamp
from tally.internal.v1.test_clock_service_pb2 import GetIdleRequest, SetTimeRequest
from tests.chaos.calling import Caller, GaveUp, Strange, pause
from tests.chaos.comparing import compare_billing, compare_log
from tests.chaos.comparing_early import compare_early, early_lines
from tests.chaos.comparing_ledger import compare_ledger
from tests.chaos.expected import WEEK
from tests.chaos.flooding import Flood, open_flood
from tests.chaos.killing import Killer
from tests.chaos.ledger import find_unbalanced
from tests.chaos.logs import find_errors, sizes
from tests.chaos.outcome import Outcome
from tests.chaos.paying import Payer
from tests.chaos.raising import Raiser
from tests.chaos.reading import read_books, read_log
from tests.chaos.reporting import Reporter
from tests.chaos.spending import Spender
from tests.chaos.verifying import verify
from tests.chaos.world import World, furnish
from tests.suite import Suite

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
CUSTOMERS = 6
REPORTERS, SPENDERS = 3, 3
Client = Reporter | Spender | Payer | Raiser
MINUTE = timedelta(minutes=1)
MIDWEEK = timedelta(days=2, hours=12)
BILLED = 11 * MINUTE  # After the longest collection delay of a world.
SETTLE_SECONDS = 180  # Instant charges are priced slice by slice, which takes a busy machine long.
KILL_SECONDS = (0.15, 1.4)  # After the load began.
BILLING_SECONDS = (0.1, 0.4)
STEP_SECONDS = (0.05, 0.25)  # The clock moves so often, two minutes at a time.
DOWN_SECONDS_MAX = 0.4
AFTER_SECONDS = 0.2  # The load goes on once all is back.
ASK_SECONDS = 0.2


# How a round may end early.
FAILURES = (
    GaveUp,
    NatsFailed,
    PostgresFailed,
    ServiceFailed,
    Strange,
    TallyError,
    grpc.aio.AioRpcError,
)


@dataclass(slots=True)
class Rounds:
    """Rounds on one suite, one after the other; each has a tenant and two weeks of its own."""

    suite: Suite
    customers: int = CUSTOMERS
    monday: datetime = MONDAY

    async def play(self, target: str, seed: int) -> Outcome:
        """Play one round; never raises for what the suite does."""
        outcome, begun = Outcome(target, seed), time.monotonic()
        tenant, logged = self.suite.new_tenant(), sizes(self.suite.stack.logs)
        async with self.suite.client(tenant) as client, self.suite.internal() as internal:
            world = World(tenant, self.monday, random.Random(seed), client, self.customers)
            self.monday += 3 * WEEK
            try:
                await Round(self.suite, world, internal, outcome).play()
            except* FAILURES as failed:
                outcome.differences += [f"{type(one).__name__}: {one}" for one in flat(failed)]
            outcome.differences += [*world.caller.strange, *find_errors(logged)]
        outcome.took = time.monotonic() - begun
        return outcome


@dataclass(slots=True)
class Round:
    """One round as it is played."""

    suite: Suite
    world: World
    internal: SuiteClient
    outcome: Outcome
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    reporters: list[Reporter] = field(default_factory=list)

    async def play(self) -> None:
        """Play it to the end; what is wrong is in the outcome."""
        world = self.world
        await self._set_clock(world.start)
        await furnish(world)
        await self._begin(world.start + MIDWEEK)
        await self._set_clock(world.start + WEEK - 60 * MINUTE)
        async with open_flood(self.suite, world.start, random.Random(world.rng.random())) as flood:
            await self._load_and_kill(flood)
            await self._settle()
            self.outcome.differences += await flood.compare()
        log = await read_log(world)
        self.outcome.differences += compare_log(world.terms, world.known, log)
        await self._set_clock(world.end + BILLED)
        await self._settle()
        url = self.suite.database_url("wallet", "worker")
        books = await read_books(world, await find_unbalanced(url, world.tenant))
        self.outcome.differences += compare_billing(world.terms, log, books)
        self.outcome.differences += compare_early(world.terms, world.known, log, books)
        self.outcome.differences += compare_ledger(world.known, books)
        self.outcome.differences += await verify(world.client)
        lines = [line for invoice in books.invoices for line in invoice.lines]
        late = sum(1 for line in lines if line.adjustment)
        self.outcome.counts = (
            f"{len(log.events)} + {len(flood.memory.acknowledged)} events,"
            f" {len(books.invoices)} invoices of {len(lines)} lines"
            f" ({late} late, {len(early_lines(books))} early), {len(books.notes)} credit notes,"
            f" {len(books.fees)} fees"
            f" ({sum(one.payment == 'succeeded' for one in books.fees)} paid),"
            f" {sum(len(one) for one in books.units.values())} unit changes,"
            f" {sum(len(one.entries) for one in books.wallets)} entries,"
            f" {world.caller.unanswered} of {world.caller.calls} calls unanswered"
        )

    async def _begin(self, now: datetime) -> None:
        """Let units be changed and fees be there to be paid before the load begins."""
        await self._set_clock(now)
        await Raiser(self.world, self.world.rng).change_all()
        reporter = Reporter(self.world, self.world.rng)
        reporter.now = now
        await reporter.begin()
        await testclock.settle(self.internal.clocks, deadline_seconds=SETTLE_SECONDS)

    async def _load_and_kill(self, flood: Flood) -> None:
        rng = self.world.rng
        killer = Killer(self.suite.stack, random.Random(rng.random()))
        billing_at, killed_at = rng.uniform(*BILLING_SECONDS), rng.uniform(*KILL_SECONDS)
        clients = self._hire(rng)
        async with asyncio.TaskGroup() as tasks:
            for client in clients:
                tasks.create_task(client.run(self.stopping))
            tasks.create_task(flood.run(self.stopping))
            billing = tasks.create_task(self._bill(billing_at, random.Random(rng.random())))
            try:
                await self._kill(killer, killed_at, rng.uniform(0, DOWN_SECONDS_MAX))
                await billing
                await pause(AFTER_SECONDS)
            finally:
                self.stopping.set()

    def _hire(self, rng: random.Random) -> Sequence[Client]:
        seeds = [rng.random() for _ in range(REPORTERS + SPENDERS)]
        self.reporters = [Reporter(self.world, random.Random(seed)) for seed in seeds[:REPORTERS]]
        spenders = [Spender(self.world, random.Random(seed)) for seed in seeds[REPORTERS:]]
        for reporter in self.reporters:
            reporter.now = self.world.start + WEEK - 60 * MINUTE
        payer = Payer(self.world, random.Random(rng.random()))
        return [*self.reporters, *spenders, payer, Raiser(self.world, random.Random(rng.random()))]

    async def _bill(self, after: float, rng: random.Random) -> None:
        """Move the clock over the end of the first week: at each step some periods are due."""
        await pause(after)
        now = self.world.start + WEEK
        while now < self.world.start + WEEK + BILLED:
            await self._set_clock(now)
            for reporter in self.reporters:
                reporter.now = now
            await pause(rng.uniform(*STEP_SECONDS))
            now += 2 * MINUTE

    async def _kill(self, killer: Killer, after: float, down: float) -> None:
        await pause(after)
        target, outcome = self.outcome.target, self.outcome
        outcome.in_flight = [self.world.caller.busy_with(), *await self._busy()]
        outcome.special = await killer.kill(target)
        killed = time.monotonic()
        outcome.killed_at = after
        await pause(down)
        await killer.bring_back(target)
        outcome.back = time.monotonic() - killed

    async def _busy(self) -> list[str]:
        """Return what the services work on at this moment, as far as they tell in time."""
        asked = [
            clock.GetIdle(GetIdleRequest(), timeout=ASK_SECONDS)
            for clock in self.internal.clocks.values()
        ]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return [
            reason
            for answer in answers
            if not isinstance(answer, BaseException)
            for reason in answer.busy
        ]

    async def _set_clock(self, now: datetime) -> None:
        self.world.known.now = now  # Before the first of them goes there.
        caller = Caller(strange=self.world.caller.strange)
        for name in testclock.ORDER:
            request = SetTimeRequest(now=timestamp(now))
            await caller.ask(self.internal.clocks[name].SetTime, request)

    async def _settle(self) -> None:
        begun = time.monotonic()
        await testclock.settle(self.internal.clocks, deadline_seconds=SETTLE_SECONDS)
        self.outcome.settled += time.monotonic() - begun


def flat(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    """Return what is in a group and in the groups in it."""
    found: list[BaseException] = []
    for one in group.exceptions:
        found += flat(one) if isinstance(one, BaseExceptionGroup) else [one]
    return found
