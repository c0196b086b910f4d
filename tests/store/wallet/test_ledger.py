"""The ledger in the database: balanced, never changed, and equal to the running balances."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from libs.db import begin, begin_worker
from libs.period import Period
from services.wallet.domain.apply_credits import CreditLine, Invoice, SettledPeriod
from services.wallet.operations import paying
from tests.store.wallet.conftest import Counter

OWN = "('available', 'held', 'captured')"
DISAGREEMENTS = {
    "balances are the sums of entries": """
        SELECT w.wallet_id FROM wallets w LEFT JOIN entries e USING (tenant, wallet_id)
        GROUP BY w.tenant, w.wallet_id
        HAVING coalesce(sum(e.amount_minor) FILTER (WHERE account = 'available'), 0)
               <> w.available_minor
            OR coalesce(sum(e.amount_minor) FILTER (WHERE account = 'held'), 0) <> w.held_minor
            OR coalesce(sum(e.amount_minor) FILTER (WHERE account = 'captured'), 0)
               <> w.captured_minor""",
    "balances are the sums of grants": """
        SELECT w.wallet_id FROM wallets w JOIN grants g USING (tenant, wallet_id)
        GROUP BY w.tenant, w.wallet_id
        HAVING sum(g.available_minor) <> w.available_minor
            OR sum(g.held_minor) <> w.held_minor
            OR sum(g.captured_minor) <> w.captured_minor""",
    "what is left of a grant is the sum of its uses": f"""
        SELECT g.grant_id FROM grants g JOIN grant_uses u USING (tenant, grant_id)
        GROUP BY g.tenant, g.grant_id
        HAVING g.available_minor + g.held_minor + g.captured_minor
            <> coalesce(sum(u.amount_minor) FILTER (WHERE u.target IN {OWN}), 0)
             - coalesce(sum(u.amount_minor) FILTER (WHERE u.source IN {OWN}), 0)""",
    "what is captured is what lots have left": """
        SELECT g.grant_id FROM grants g LEFT JOIN lots l USING (tenant, grant_id)
        GROUP BY g.tenant, g.grant_id
        HAVING g.captured_minor <> coalesce(sum(l.left_minor), 0)""",
    "what is held is what open holds reserve": """
        SELECT g.grant_id FROM grants g LEFT JOIN hold_parts p USING (tenant, grant_id)
        GROUP BY g.tenant, g.grant_id
        HAVING g.held_minor <> coalesce(sum(p.held_minor), 0)""",
}
UPDATES = {
    "transactions": "UPDATE transactions SET reason = 'HOLD'",
    "entries": "UPDATE entries SET amount_minor = amount_minor + 1",
    "grant_uses": "UPDATE grant_uses SET amount_minor = amount_minor + 1",
}


@pytest.mark.parametrize("table", UPDATES)
@pytest.mark.parametrize("statement", ["update", "delete", "truncate"])
async def test_rows_of_the_ledger_are_never_changed(
    counter: Counter, table: str, statement: str
) -> None:
    await counter.filled(100)
    sql = {
        "update": UPDATES[table],
        "delete": f"DELETE FROM {table}",
        "truncate": f"TRUNCATE {table} CASCADE",
    }
    rows = f"SELECT * FROM {table} AS t ORDER BY t::text"
    before = await counter.query(rows)
    with pytest.raises(Exception, match="are only ever inserted|permission denied"):
        async with begin_worker(counter.worker) as conn:
            await conn.execute(text(sql[statement]))
    assert await counter.query(rows) == before


async def test_entries_that_do_not_sum_to_zero_are_refused_at_the_commit(counter: Counter) -> None:
    wallet_id = await counter.filled(100)
    with pytest.raises(IntegrityError, match="do not sum to zero"):
        async with begin(counter.desk.engine, counter.desk.tenant) as conn:
            values = {
                "tenant": counter.desk.tenant,
                "transaction": uuid4(),
                "wallet": wallet_id,
                "at": counter.clock.now(),
            }
            await conn.execute(
                text(
                    "INSERT INTO transactions (tenant, transaction_id, wallet_id, reason, "
                    "reference, created_at) VALUES (:tenant, :transaction, :wallet, 'GRANT', "
                    "'', :at)"
                ),
                values,
            )
            await conn.execute(
                text(
                    "INSERT INTO entries (tenant, transaction_id, account, wallet_id, currency, "
                    "amount_minor) VALUES (:tenant, :transaction, 'available', :wallet, 'USD', 5)"
                ),
                {name: values[name] for name in ("tenant", "transaction", "wallet")},
            )


@pytest.mark.parametrize("account", ["available", "held", "captured"])
async def test_no_account_of_a_wallet_goes_below_zero(counter: Counter, account: str) -> None:
    wallet_id = await counter.filled(100)
    with pytest.raises(IntegrityError, match="no_account_below_zero"):
        async with begin(counter.desk.engine, counter.desk.tenant) as conn:
            await conn.execute(
                text(f"UPDATE wallets SET {account}_minor = -1 WHERE wallet_id = :wallet"),
                {"wallet": wallet_id},
            )


async def test_balances_grants_and_entries_agree_after_everything(counter: Counter) -> None:
    wallet_id = await counter.open()
    await counter.grant(wallet_id, 300, expires_at=counter.clock.now().replace(day=9))
    await counter.grant(wallet_id, 500)
    sale = await counter.hold(wallet_id, 50)
    early = await counter.hold(wallet_id, 120, subscription="s")
    await counter.hold(wallet_id, 40)  # Lapses.
    await counter.release((await counter.hold(wallet_id, 5)).hold.hold_id)
    await counter.capture(sale.hold.hold_id, 30)
    await counter.capture(early.hold.hold_id, 100, final=False)
    counter.clock.move(days=9)
    assert await counter.standing(wallet_id) == (500, 0, 100)
    period = Period(counter.clock.now().replace(day=1), counter.clock.now())
    line = CreditLine(uuid4(), "usage", "calls", 130, period, "s")
    invoice = Invoice(uuid4(), counter.customer_id, "USD", [line], [SettledPeriod("s", period)])
    await paying.apply_credits(counter.desk, invoice, b"1" * 32)
    # Beside what was captured, 30 of the credit that lapsed since the line's time began.
    assert await counter.standing(wallet_id) == (500, 0, 0)
    assert await accounts(counter) == {
        "purchased": -800,
        "available": 500,
        "revenue": 160,
        "expired": 140,
    }
    await check(counter)


async def accounts(counter: Counter) -> dict[str, int]:
    rows = await counter.query("SELECT account, sum(amount_minor) AS n FROM entries GROUP BY 1")
    return {row.account: int(row.n) for row in rows if row.n}


async def check(counter: Counter) -> None:
    """Compare every running number with the rows that it sums up."""
    for what, sql in DISAGREEMENTS.items():
        assert await counter.query(sql) == [], what
