"""Holds on hot wallets, beside the cheapest thing that could be done: one statement a debit."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from uuid import uuid4

import asyncpg

from cli.client import SuiteClient
from tally.common.v1.money_pb2 import Money
from tally.wallet.v1.hold_service_pb2 import AuthorizeRequest, CaptureRequest
from tally.wallet.v1.wallet_service_pb2 import (
    CreateWalletRequest,
    GetBalanceRequest,
    Grant,
    GrantCreditsRequest,
    GrantKind,
    Wallet,
)

ROUNDS = 3
SECONDS = 3.0
CONNECTIONS = 16  # Of the debits: more of them wait longer for the row.
CALLERS = 128
MANY = 10_000
CREDIT_MINOR = 1_000_000_000
CENT = Money(currency_code="USD", amount_minor=1)
DEBIT = "UPDATE debited SET balance = balance - 1 WHERE id = $1 AND balance >= 1"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of a hold and its capture a second, and single-statement debits, in turns."""

    pairs_per_s: Sequence[float]
    debits_per_s: Sequence[float]

    @property
    def over_debit(self) -> float:
        """The median of the rounds' ratios: both sides of one share what else the machine did."""
        return median(p / d for p, d in zip(self.pairs_per_s, self.debits_per_s, strict=True))


async def measure(client: SuiteClient, database_url: str) -> dict[str, float]:
    """Return what pairs are beside debits, on one wallet and on 10,000, and what holds wait."""
    [hot] = await open_wallets(client, 1)
    one = await measure_pairs(client, database_url, [hot])
    pairs_per_s = median(one.pairs_per_s)
    waits = await authorize_seconds(client, hot, pairs_per_s / 2)
    assert await spent_of(client, hot) > len(waits)
    many = await measure_pairs(client, database_url, await open_wallets(client, MANY))
    return {
        "hold_capture_per_s": round(pairs_per_s),
        "debits_per_s": round(median(one.debits_per_s)),
        "hold_capture_over_debit": round(one.over_debit, 2),
        "hold_capture_many_over_debit": round(many.over_debit, 2),
        "authorize_p99_ms": round(waits[int(0.99 * len(waits))] * 1_000, 1),
    }


async def measure_pairs(
    client: SuiteClient, database_url: str, wallet_ids: Sequence[str], *, rounds: int = ROUNDS
) -> Pairs:
    """Let debits on rows and pairs on as many wallets take turns."""
    pairs, debits = [], []
    for _ in range(rounds):
        debits.append(await debits_per_s(database_url, len(wallet_ids)))
        pairs.append(await pairs_per_s(client, wallet_ids))
    return Pairs(pairs, debits)


async def pairs_per_s(client: SuiteClient, wallet_ids: Sequence[str]) -> float:
    """Authorize and capture a cent, 128 callers at a time, on one wallet after the other."""
    turns = itertools.cycle(wallet_ids)
    started = time.perf_counter()

    async def caller() -> int:
        done = 0
        while time.perf_counter() - started < SECONDS:
            await authorize(client, next(turns))
            done += 1
        return done

    done = sum(await asyncio.gather(*(caller() for _ in range(CALLERS))))
    return done / (time.perf_counter() - started)


async def authorize(client: SuiteClient, wallet_id: str) -> float:
    """Authorize and capture a cent; return the seconds that the first took."""
    wanted = AuthorizeRequest(
        request_id=str(uuid4()), wallet_id=wallet_id, amount=CENT, standalone=True
    )
    started = time.perf_counter()
    hold = (await client.holds.Authorize(wanted)).hold
    waited = time.perf_counter() - started
    capture = CaptureRequest(request_id=str(uuid4()), hold_id=hold.hold_id, amount=CENT)
    await client.holds.Capture(capture)
    return waited


async def authorize_seconds(client: SuiteClient, wallet_id: str, per_s: float) -> list[float]:
    """Begin `per_s` pairs a second on one wallet, whoever waits; return what holds took."""
    running: list[asyncio.Task[float]] = []
    started = time.perf_counter()
    while (at := len(running) / per_s) < SECONDS:
        await asyncio.sleep(max(0.0, started + at - time.perf_counter()))
        running.append(asyncio.create_task(authorize(client, wallet_id)))
    return sorted(await asyncio.gather(*running))


async def debits_per_s(database_url: str, rows: int) -> float:
    """Debit rows one after the other by one committed statement each, 16 callers at a time."""
    async with asyncpg.create_pool(
        database_url, min_size=CONNECTIONS, max_size=CONNECTIONS
    ) as pool:
        await pool.execute("DROP TABLE IF EXISTS debited")
        await pool.execute("CREATE TABLE debited (id int PRIMARY KEY, balance bigint NOT NULL)")
        await pool.execute(
            f"INSERT INTO debited SELECT n, {CREDIT_MINOR} FROM generate_series(1, {rows}) n"
        )
        turns = itertools.cycle(range(1, rows + 1))
        started = time.perf_counter()

        async def caller() -> int:
            done = 0
            async with pool.acquire() as conn:
                debit = await conn.prepare(DEBIT)
                while time.perf_counter() - started < SECONDS:
                    await debit.fetch(next(turns))
                    done += 1
            return done

        done = sum(await asyncio.gather(*(caller() for _ in range(CONNECTIONS))))
        elapsed = time.perf_counter() - started
        await pool.execute("DROP TABLE debited")
    return done / elapsed


async def open_wallets(client: SuiteClient, count: int) -> list[str]:
    """Open wallets with credit in each."""
    gate = asyncio.Semaphore(CALLERS)

    async def one() -> str:
        async with gate:
            wallet = Wallet(customer_id="holder", currency_code="USD")
            opened = await client.wallets.CreateWallet(
                CreateWalletRequest(request_id=str(uuid4()), wallet=wallet)
            )
            credit = Grant(
                wallet_id=opened.wallet.wallet_id,
                kind=GrantKind.GRANT_KIND_PURCHASED,
                amount=Money(currency_code="USD", amount_minor=CREDIT_MINOR),
            )
            grant = GrantCreditsRequest(request_id=str(uuid4()), grant=credit)
            await client.wallets.GrantCredits(grant)
            return opened.wallet.wallet_id

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def spent_of(client: SuiteClient, wallet_id: str) -> int:
    """Return how many cents were taken from a wallet of which nothing is held."""
    asked = GetBalanceRequest(wallet_id=wallet_id)
    balance = (await client.wallets.GetBalance(asked)).balance
    assert balance.held.amount_minor == 0
    return CREDIT_MINOR - balance.available.amount_minor
