"""Whatever contradicts itself in the books is found, and nothing else."""

from __future__ import annotations

from collections import Counter as Counting
from uuid import UUID, uuid4

import pytest

from libs.db import Snapshots, begin
from libs.difference import Difference
from libs.period import Period
from libs.wire import Page, parse_uuid
from services.wallet.domain.apply_credits import CreditLine, Invoice, SettledPeriod
from services.wallet.operations.paying import apply_credits
from services.wallet.operations.topping_up import TopUpOrder, settle, top_wallet_up
from services.wallet.operations.verifying import check_invariants, list_applications
from tests.corrupting import corrupt
from tests.servers import Database
from tests.store.wallet.conftest import START, Counter, a_request, usd

MONTH = Period(START, START.replace(month=2))

# A table, a change of it, and what is found then: kind and field.
CORRUPTIONS = [
    (
        "entries",
        "UPDATE entries SET amount_minor = amount_minor + 1 WHERE account = 'revenue'",
        {("transaction", "sum_of_entries"), ("entry", "amount_minor")},
    ),
    (
        "entries",
        "UPDATE entries SET currency = 'EUR'",
        {("entry", "currency_code")},
    ),
    (
        "entries",
        "DELETE FROM entries WHERE account = 'expired'",
        {("transaction", "sum_of_entries"), ("entry", "amount_minor")},
    ),
    (
        "wallets",
        "UPDATE wallets SET available_minor = available_minor + 1",
        {("wallet", "available_minor"), ("wallet", "available_minor_of_grants")},
    ),
    ("wallets", "UPDATE wallets SET due_at = NULL", {("wallet", "due_at")}),
    (
        "grants",
        "UPDATE grants SET captured_minor = 0 WHERE captured_minor > 0",
        {
            ("wallet", "captured_minor_of_grants"),
            ("grant", "captured_minor"),
            ("grant", "captured_minor_of_lots"),
        },
    ),
    (
        "grant_uses",
        "UPDATE grant_uses SET amount_minor = amount_minor + 1 WHERE line_id IS NOT NULL",
        {
            ("entry", "amount_minor"),
            ("grant", "available_minor"),
            ("grant", "captured_minor"),
            ("application", "amount_minor"),
        },
    ),
    (
        "hold_parts",
        "DELETE FROM hold_parts",
        {("grant", "held_minor_of_holds"), ("hold", "left_minor")},
    ),
    ("holds", "UPDATE holds SET captured_minor = 1", {("hold", "left_minor")}),
    (
        "lots",
        "UPDATE lots SET left_minor = left_minor + 1",
        {("grant", "captured_minor_of_lots")},
    ),
    (
        "applications",
        "DELETE FROM applications",
        {("transaction", "invoice_id")},
    ),
    (
        "applications",
        "UPDATE applications SET returned_at = now()",
        {("application", "returned_minor")},
    ),
    ("top_ups", "UPDATE top_ups SET paid_minor = 8", {("top-up", "granted_minor")}),
    ("wallets", "UPDATE wallets SET watched_minor = 3", {("wallet", "watched_minor")}),
]


@pytest.mark.parametrize(("table", "change", "expected"), CORRUPTIONS)
async def test_a_corrupted_row_is_found(
    table: str,
    change: str,
    expected: set[tuple[str, str]],
    counter: Counter,
    wallet_database: Database,
) -> None:
    await _a_busy_wallet(counter)
    await corrupt(wallet_database.owner_url, counter.desk.tenant, table, change)
    found, _ = await checked(counter)
    assert expected <= {(one.kind, one.field) for one in found}
    assert {one.tenant for one in found} == {counter.desk.tenant}
    untouched, _ = await checked(counter.of_tenant(2**31 - 1))
    assert untouched == []


async def test_books_that_were_only_posted_to_agree(counter: Counter) -> None:
    await _a_busy_wallet(counter)
    found, counts = await checked(counter)
    assert found == []
    assert counts == {
        "wallets": 1,
        "grants": 3,
        "holds": 4,
        "ledger transactions": counts["ledger transactions"],
        "ledger entries": counts["ledger entries"],
        "invoices asked to be paid": 1,
    }
    assert counts["ledger entries"] >= 2 * counts["ledger transactions"] > 10


async def test_what_was_paid_of_invoices_is_listed_page_by_page(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    paid = {}
    for amount in (10, 20, 30):
        invoice = _invoice(counter, amount)
        await apply_credits(counter.desk, invoice, b"1" * 32)
        paid[str(invoice.invoice_id)] = amount
    snapshots = Snapshots(counter.desk.engine, counter.worker, counter.desk.tenant)
    token, seen = "", {}
    for _ in paid:
        page = await list_applications(snapshots, invoice_ids=(), page=Page(1, token))
        [one] = page.applications
        [credit] = one.credits
        seen[one.invoice_id] = credit.amount_minor
        assert (one.content_hash, credit.wallet_id) == (b"1" * 32, str(wallet_id))
        token = page.next_page_token
    assert (seen, token) == (paid, "")
    [asked, *_] = paid
    only = [parse_uuid(asked, "invoice_id")]
    page = await list_applications(snapshots, invoice_ids=only, page=Page(5, ""))
    assert [one.invoice_id for one in page.applications] == [asked]


async def _a_busy_wallet(counter: Counter) -> None:
    """Leave a wallet with something of everything: holds, lots, an expiry and a paid invoice."""
    wallet_id = await counter.filled(100)
    await counter.grant(wallet_id, 40, expires_at=START.replace(hour=1))
    standalone = await counter.hold(wallet_id, 10)
    await counter.capture(standalone.hold.hold_id, 4)
    early = await counter.hold(wallet_id, 20, subscription="pro")
    await counter.capture(early.hold.hold_id, 15)
    waiting = await counter.hold(wallet_id, 3, subscription="other")
    await counter.capture(waiting.hold.hold_id, 3)
    counter.clock.move(hours=2)
    # More than was captured, and than the credit that lapsed since its month began.
    await apply_credits(counter.desk, _invoice(counter, 60), b"1" * 32)
    await counter.hold(wallet_id, 5)
    await _topped_up(counter, wallet_id)
    assert (await counter.standing(wallet_id))[1] == 5


async def _topped_up(counter: Counter, wallet_id: UUID) -> None:
    desk = counter.desk
    order = TopUpOrder(wallet_id, usd(7), None, requires_payment=False)
    answer = await top_wallet_up(desk, a_request(), order)
    async with begin(desk.engine, desk.tenant) as conn:
        await settle(conn, desk.tenant, [UUID(answer.top_up.top_up_id)], desk.now())


def _invoice(counter: Counter, amount_minor: int) -> Invoice:
    line = CreditLine(uuid4(), "usage", "calls", amount_minor, MONTH, "pro")
    settled = SettledPeriod("other", MONTH)
    return Invoice(uuid4(), counter.customer_id, "USD", [line], [settled])


async def checked(counter: Counter) -> tuple[list[Difference], Counting[str]]:
    counts: Counting[str] = Counting()
    snapshots = Snapshots(counter.desk.engine, counter.worker, counter.desk.tenant)
    return [one async for one in check_invariants(snapshots, counts)], counts
