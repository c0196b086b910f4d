"""`tally verify` agrees with a suite that did all of it, and names what is broken by hand."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result

from cli.__main__ import main
from cli.client import SuiteClient
from tally.common.v1.verification_pb2 import Difference
from tally.rating.v1.usage_service_pb2 import VerifyUsageRequest
from tests.corrupting import corrupt
from tests.scenario.billed import MAR_1, Told, tell
from tests.scenario.builders import record, usage
from tests.suite import Suite


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
    "an adjustment that was given back": Corruption(
        "invoices",
        "invoicing",
        "adjustments",
        "UPDATE adjustments SET covered_minor = 1 WHERE outcome = 'note'",
        "UPDATE adjustments SET covered_minor = 0 WHERE outcome = 'note'",
        "adjustment",
        "given_back_minor",
    ),
    "a credit note": Corruption(
        "invoices",
        "invoicing",
        "credit_notes",
        "UPDATE credit_notes SET balance_minor = balance_minor - 1",
        "UPDATE credit_notes SET balance_minor = balance_minor + 1",
        "credit note",
        "balance_minor",
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

    return asyncio.run(tell(suite))


async def test_a_suite_that_was_left_alone_agrees_with_itself(told: Told) -> None:
    code, text = await _run(told.suite, "all", "--json")
    found = json.loads(text)
    assert (code, found["differences"]) == (0, [])
    # In each of two tenants: three customers with a base fee and usage for January and February,
    # and one with usage on another plan, whose January came on an invoice of its own.
    compared = found["compared"]
    assert compared["events"] == 2 * 7 + 3
    assert compared["closed periods"] == 2 * (3 * 4 + 2)
    assert compared["invoices"] == compared["invoices against the ledger"] == 2 * (3 * 2 + 1)
    # Usage of January that came late, and usage that went to the other plan.
    assert compared["closes"] == compared["closed periods"] + 2 * 2
    for counted in ("cells", "closed fees", "lines", "ledger transactions", "ledger entries"):
        assert compared[counted] > 0, counted
    [late] = found["unverified"]
    assert (late["kind"], late["tenant"]) == ("period", told.tenant)
    assert "late usage" in late["reason"]


async def test_what_was_compared_is_a_short_table(told: Told) -> None:
    ran = await _tally(told.suite, "all", "--tenant", str(told.other))
    assert ran.exit_code == 0, ran.output
    lines = [line.split() for line in ran.stdout.splitlines()]
    for row in ("events 7", "closed periods 14", "invoices 7", "wallets 1"):
        assert row.split() in lines
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
