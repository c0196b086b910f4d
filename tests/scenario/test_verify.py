"""`tally verify` agrees with a suite that did all of it, and names what is broken by hand."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from cli.__main__ import main
from cli.client import SuiteClient
from tally.common.v1.money_pb2 import Money
from tally.common.v1.verification_pb2 import Difference
from tally.invoicing.v1.tax_service_pb2 import CreateTaxRequest, Tax
from tally.invoicing.v1.tenant_service_pb2 import BillingEntity, UpdateBillingEntityRequest
from tally.rating.v1.plan_service_pb2 import Price, Tier, TieredPrice
from tally.rating.v1.usage_service_pb2 import VerifyUsageRequest
from tally.wallet.v1.hold_service_pb2 import AuthorizeRequest, CaptureRequest
from tally.wallet.v1.wallet_service_pb2 import (
    CreateWalletRequest,
    Grant,
    GrantCreditsRequest,
    GrantKind,
    Wallet,
    WalletScope,
)
from tests.corrupting import corrupt
from tests.scenario.builders import invoices, record, sell, subscribe, usage
from tests.suite import Suite

JAN_1, FEB_1, MAR_1 = (datetime(2026, month, 1, tzinfo=UTC) for month in (1, 2, 3))
BILLED = timedelta(minutes=11)  # After the collection delay.


@dataclass(frozen=True, slots=True)
class Told:
    """Two tenants who were billed; what stands of the second must not matter to the first."""

    suite: Suite
    tenant: int
    other: int


@dataclass(frozen=True, slots=True)
class Corruption:
    """A change of one row, how it is taken back, and what is said of it meanwhile."""

    level: str
    database: str
    table: str
    change: str
    undo: str
    kind: str
    field: str


CORRUPTIONS = {
    "a cell": Corruption(
        "usage",
        "rating",
        "cells",
        "UPDATE cells SET total = total + 1 WHERE event_count = 2",
        "UPDATE cells SET total = total - 1 WHERE event_count = 2",
        "cell",
        "total",
    ),
    "a fee": Corruption(
        "usage",
        "rating",
        "closed_fees",
        "UPDATE closed_fees SET amount_minor = amount_minor + 1 WHERE sequence = 1",
        "UPDATE closed_fees SET amount_minor = amount_minor - 1 WHERE sequence = 1",
        "fee",
        "amount_minor",
    ),
    "a line": Corruption(
        "invoices",
        "invoicing",
        "invoice_lines",
        "UPDATE invoice_lines SET units = units + 1 WHERE adjustment_sequence = 1",
        "UPDATE invoice_lines SET units = units - 1 WHERE adjustment_sequence = 1",
        "line",
        "units",
    ),
    "a number": Corruption(
        "invoices",
        "invoicing",
        "invoices",
        "UPDATE invoices SET entity_sequence = 9 WHERE entity_sequence = 2",
        "UPDATE invoices SET entity_sequence = 2 WHERE entity_sequence = 9",
        "number series",
        "next_number",
    ),
    "a period on no invoice": Corruption(
        "invoices",
        "invoicing",
        "invoice_periods",
        "UPDATE invoice_periods SET live = false",
        "UPDATE invoice_periods SET live = true",
        "closed period",
        "invoices",
    ),
    "a balance": Corruption(
        "ledger",
        "wallet",
        "wallets",
        "UPDATE wallets SET held_minor = held_minor + 1",
        "UPDATE wallets SET held_minor = held_minor - 1",
        "wallet",
        "held_minor",
    ),
    "a credit": Corruption(
        "ledger",
        "invoicing",
        "invoice_credits",
        "UPDATE invoice_credits SET captured = NOT captured",
        "UPDATE invoice_credits SET captured = NOT captured",
        "credit",
        "amount_minor",
    ),
}


@pytest.fixture(scope="module")
def told(suite: Suite) -> Told:
    """A suite that has billed late usage, taxes, credits and holds for two tenants."""

    async def tell() -> Told:
        tenant, other = suite.new_tenant(), suite.new_tenant()
        await suite.advance(JAN_1)
        async with suite.client(tenant) as mine, suite.client(other) as theirs:
            clients = (mine, theirs)
            for client in clients:
                await _set_up(client)
            await _use_january(suite, clients)
            for client in clients:
                await record(client, [usage("acme", JAN_1 + timedelta(days=20), "7")])
            await suite.settle()
            await suite.advance(MAR_1 + BILLED)
            # One of a period that no invoice adjusts any more, one of nobody, one of today.
            await record(mine, [usage("acme", FEB_1 + timedelta(days=9), "2")])
            await record(mine, [usage("nobody", MAR_1, "1"), usage("acme", MAR_1, "1")])
            await suite.settle()
            assert [len(one.lines) for one in await invoices(mine, "acme")] == [2, 2]
        return Told(suite, tenant, other)

    return asyncio.run(tell())


async def test_a_suite_that_was_left_alone_agrees_with_itself(told: Told) -> None:
    code, text = await _run(told.suite, "all", "--json")
    found = json.loads(text)
    assert (code, found["differences"]) == (0, [])
    # Two customers in each of two tenants: a base fee and usage for January and February.
    compared = found["compared"]
    assert compared["events"] == 2 * 6 + 3
    assert compared["closed periods"] == 2 * 2 * 4
    assert compared["invoices"] == compared["invoices against the ledger"] == 2 * 2 * 2
    assert compared["closes"] == compared["closed periods"] + 2
    for counted in ("cells", "closed fees", "lines", "ledger transactions", "ledger entries"):
        assert compared[counted] > 0, counted
    [late] = found["unverified"]
    assert (late["kind"], late["tenant"]) == ("period", told.tenant)
    assert "late usage" in late["reason"]


async def test_what_was_compared_is_a_short_table(told: Told) -> None:
    ran = await _tally(told.suite, "all", "--tenant", str(told.other))
    assert ran.exit_code == 0, ran.output
    lines = [line.split() for line in ran.stdout.splitlines()]
    for row in (["events", "6"], ["closed", "periods", "8"], ["invoices", "4"], ["wallets", "1"]):
        assert row in lines
    assert len(lines) < 30


@pytest.mark.parametrize("name", CORRUPTIONS)
async def test_a_row_changed_by_hand_is_named(name: str, told: Told) -> None:
    case = CORRUPTIONS[name]
    owner = told.suite.database_url(case.database, "owner")
    await corrupt(owner, told.tenant, case.table, case.change)
    try:
        broken = await _tally(told.suite, case.level)
        other = await _tally(told.suite, case.level, "--tenant", str(told.other))
    finally:
        await corrupt(owner, told.tenant, case.table, case.undo)
    assert broken.exit_code == 1, broken.output
    said = [line for line in broken.stdout.splitlines() if " recomputed " in line]
    assert any(
        line.startswith(f"{case.level}: {case.kind} ") and f": {case.field} is " in line
        for line in said
    ), broken.output
    assert all(f" of tenant {told.tenant}: " in line for line in said)
    assert other.exit_code == 0, other.output
    again = await _tally(told.suite, case.level)
    assert again.exit_code == 0, again.output


async def test_a_line_tells_both_values(told: Told) -> None:
    owner = told.suite.database_url("rating", "owner")
    cell = CORRUPTIONS["a cell"]
    await corrupt(owner, told.tenant, cell.table, cell.change)
    try:
        broken = await _tally(told.suite, "usage")
    finally:
        await corrupt(owner, told.tenant, cell.table, cell.undo)
    assert (
        f"usage: cell subscription_id=acme-pro meter_code=calls day=2026-01-04 of tenant "
        f"{told.tenant}: total is 9, recomputed 8" in broken.stdout.splitlines()
    )


async def test_usage_agrees_while_it_keeps_coming(told: Told) -> None:
    stopping = asyncio.Event()

    async def keep_recording(client: SuiteClient) -> int:
        batches = 0
        while not stopping.is_set():
            events = [usage("acme", MAR_1 + timedelta(minutes=n), "1") for n in range(50)]
            await record(client, events)
            batches += 1
        return batches

    async with told.suite.client(told.tenant) as client, told.suite.internal() as internal:
        recording = asyncio.create_task(keep_recording(client))
        counted = [await _verified_events(internal) for _ in range(4)]
        stopping.set()
        assert await recording > 0
    assert counted == sorted(counted)
    assert counted[0] < counted[-1]


async def test_a_token_without_the_scope_verifies_nothing(told: Told) -> None:
    token = told.suite.token(told.tenant, ["usage:read"])
    ran = await _tally(told.suite, "usage", "--token", token)
    assert ran.exit_code == 2
    assert "SCOPE_MISSING" in ran.output


async def test_an_admins_token_verifies_its_own_tenant(told: Told) -> None:
    owner = told.suite.database_url("wallet", "owner")
    balance = CORRUPTIONS["a balance"]
    await corrupt(owner, told.tenant, balance.table, balance.change)
    try:
        codes = [
            (await _tally(told.suite, "ledger", "--token", token)).exit_code
            for token in (
                told.suite.token(told.tenant, ["admin"]),
                told.suite.token(told.other, ["admin"]),
            )
        ]
    finally:
        await corrupt(owner, told.tenant, balance.table, balance.undo)
    assert codes == [1, 0]


async def _set_up(client: SuiteClient) -> None:
    """Sell to a customer who has paid ahead."""
    tax = Tax(code="vat", name="VAT", rate_percent="7.5")
    await client.taxes.CreateTax(CreateTaxRequest(request_id=str(uuid4()), tax=tax))
    entity = BillingEntity(name="Seller", default_tax_codes=["vat"])
    await client.tenants.UpdateBillingEntity(
        UpdateBillingEntityRequest(request_id=str(uuid4()), billing_entity=entity)
    )
    tiers = [Tier(up_to="10", unit_amount="0.10"), Tier(unit_amount="0.013")]
    price = Price(graduated=TieredPrice(tiers=tiers))
    await sell(client, price=price, base_amount="9.99")
    await subscribe(client, "acme", JAN_1)
    await _prepay(client, "acme")


async def _use_january(suite: Suite, clients: Sequence[SuiteClient]) -> None:
    """Report usage of both customers; that of one is nobody's until it subscribes."""
    third_day = JAN_1 + timedelta(days=3)
    await suite.advance(third_day)
    for client in clients:
        values = (("acme", "3"), ("acme", "5"), ("late", "4"))
        taken = await record(client, [usage(one, third_day, value) for one, value in values])
        assert set(taken) == {"ACCEPTED"}
    await suite.settle()
    for client in clients:
        await subscribe(client, "late", JAN_1)
    last = FEB_1 - timedelta(seconds=1)
    await suite.advance(last)
    for client in clients:
        await record(client, [usage("acme", last, "0.5"), usage("late", JAN_1, "1.25")])
    await suite.advance(FEB_1 + BILLED)


async def _prepay(client: SuiteClient, customer_id: str) -> None:
    """Give the customer credit for usage, some of it held, some of it captured."""
    wallet = Wallet(
        customer_id=customer_id, currency_code="USD", scope=WalletScope(fee_kinds=["usage"])
    )
    made = await client.wallets.CreateWallet(
        CreateWalletRequest(request_id=str(uuid4()), wallet=wallet)
    )
    wallet_id = made.wallet.wallet_id
    grant = Grant(wallet_id=wallet_id, kind=GrantKind.GRANT_KIND_PURCHASED, amount=_usd(120))
    await client.wallets.GrantCredits(GrantCreditsRequest(request_id=str(uuid4()), grant=grant))
    for purpose in ({"standalone": True}, {"subscription_id": f"{customer_id}-pro"}):
        asked = AuthorizeRequest(
            request_id=str(uuid4()), wallet_id=wallet_id, amount=_usd(30), **purpose
        )
        hold = (await client.holds.Authorize(asked)).hold
        await client.holds.Capture(
            CaptureRequest(request_id=str(uuid4()), hold_id=hold.hold_id, amount=_usd(20))
        )


def _usd(amount_minor: int) -> Money:
    return Money(currency_code="USD", amount_minor=amount_minor)


async def _verified_events(client: SuiteClient) -> int:
    """Verify usage; return how many events it was. Every difference fails."""
    differences: list[Difference] = []
    count = 0
    async for answer in client.usage.VerifyUsage(VerifyUsageRequest()):
        if answer.HasField("difference"):
            differences.append(answer.difference)
        count = {one.name: one.count for one in answer.verification.counts}.get("events", 0)
    assert differences == []
    return count


async def _tally(suite: Suite, *words: str) -> Result:
    """Run `tally verify`, in a thread: a command runs an event loop of its own."""
    env = {"TALLY_HOME": str(suite.stack.folder), "TALLY_TOKEN": ""}
    return await asyncio.to_thread(CliRunner(env=env).invoke, main, ["verify", *words])


async def _run(suite: Suite, *words: str) -> tuple[int, str]:
    """Run `tally verify` as a process; return its exit code and what it printed."""
    env = {**os.environ, "TALLY_HOME": str(suite.stack.folder), "TALLY_TOKEN": ""}
    command: Sequence[str] = (sys.executable, "-m", "cli", "verify", *words)
    process = await asyncio.create_subprocess_exec(
        *command, env=env, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode()
