"""Two billing runs at once: each invoice is made once, numbered without gaps, and paid once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import text

from cli.client import SuiteClient
from libs import db
from libs.auth import InternalToken
from libs.clock import SystemClock
from libs.peer import channel
from libs.wire import timestamp
from services.invoicing.loops import Finalizer, Parts
from services.invoicing.operations.peers import Rating, Wallet
from tally.common.v1.money_pb2 import Money
from tally.internal.v1.test_clock_service_pb2 import SetTimeRequest
from tally.invoicing.v1.events_pb2 import InvoiceFinalized
from tally.invoicing.v1.invoice_service_pb2 import InvoiceStatus, ListInvoicesRequest
from tally.wallet.v1 import wallet_service_pb2 as wallets
from tests.scenario.builders import invoices, record, sell, subscribe, usage
from tests.suite import Suite
from tests.wait import until

JAN_1, FEB_1 = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
BILLED = FEB_1 + timedelta(minutes=11)  # After the collection delay.
CUSTOMERS = [f"c{place:02}" for place in range(16)]
PREPAID = CUSTOMERS[::2]
SUBTOTAL_MINOR, CREDIT_MINOR = 1100, 500  # A base fee of $10, and a hundred calls at a cent.


async def test_two_billing_runs_make_and_number_each_invoice_once(suite: Suite) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        await prepare(client)
        await suite.settle()
        await make_due_for_all_but_invoicing(suite)
        await until(lambda: count_drafts(client), seconds=60)
        async with billing_run(suite) as one, billing_run(suite) as other:
            async with asyncio.timeout(60):
                await asyncio.gather(bill_all(one, client), bill_all(other, client))
            assert one.steps and other.steps, "one of them found nothing to do"
        made = await invoices(client)
        await suite.set_time(BILLED)
        await suite.settle()
        assert await invoices(client) == made, "the service itself finds nothing left to do"

    assert Counter(one.customer_id for one in made) == Counter(CUSTOMERS)
    numbers = sorted(int(one.number.rpartition("-")[2]) for one in made)
    assert numbers == list(range(1, len(CUSTOMERS) + 1))
    for invoice in made:
        credit = CREDIT_MINOR if invoice.customer_id in PREPAID else 0
        billed = (invoice.subtotal_minor, invoice.total_minor)
        assert billed == (SUBTOTAL_MINOR, SUBTOTAL_MINOR - credit)
    assert await announced(suite) == Counter(one.invoice_id for one in made)


@dataclass(slots=True)
class Clock(SystemClock):
    """Stands where the billing run is due."""

    def now(self) -> datetime:
        return BILLED


@dataclass(slots=True)
class BillingRun:
    """A finalizer as another process of invoicing would run it, and how often it sought work."""

    finalizer: Finalizer
    steps: int = 0


@asynccontextmanager
async def billing_run(suite: Suite) -> AsyncIterator[BillingRun]:
    """Give a finalizer with connections to the database and to its peers of its own."""
    engine = db.connect(suite.database_url("invoicing", "app"), connections_max=4)
    worker = db.connect(suite.database_url("invoicing", "worker"), connections_max=1)
    token = InternalToken(str(suite.stack.keys.internal_token))
    rating, wallet = (channel(suite.stack.address(peer), token) for peer in ("rating", "wallet"))

    parts = Parts(engine, worker, Clock(), Rating(rating), Wallet(wallet), lambda: None)
    yield BillingRun(Finalizer(parts))
    for peer in (rating, wallet):
        await peer.close()
    for connections in (engine, worker):
        await connections.dispose()


async def bill_all(run: BillingRun, client: SuiteClient) -> None:
    """Finalize until every customer has an invoice."""
    asked = ListInvoicesRequest(status=InvoiceStatus.INVOICE_STATUS_FINALIZED)
    while len((await client.invoices.ListInvoices(asked)).invoices) < len(CUSTOMERS):
        run.steps += 1
        await run.finalizer.step()


async def prepare(client: SuiteClient) -> None:
    """Subscribe all customers from January on, give some of them credit, and record usage."""
    await sell(client, base_amount="10")
    for customer in CUSTOMERS:
        await subscribe(client, customer, JAN_1)
    for customer in PREPAID:
        wallet = wallets.Wallet(customer_id=customer, currency_code="USD")
        opened = await client.wallets.CreateWallet(
            wallets.CreateWalletRequest(request_id=str(uuid4()), wallet=wallet)
        )
        grant = wallets.Grant(
            wallet_id=opened.wallet.wallet_id,
            kind=wallets.GRANT_KIND_PURCHASED,
            amount=Money(currency_code="USD", amount_minor=CREDIT_MINOR),
        )
        await client.wallets.GrantCredits(
            wallets.GrantCreditsRequest(request_id=str(uuid4()), grant=grant)
        )
    await record(client, [usage(customer, JAN_1, "100") for customer in CUSTOMERS])


async def make_due_for_all_but_invoicing(suite: Suite) -> None:
    """Let January end for all others: invoicing drafts, and only goes on with what others began."""
    async with suite.internal() as internal:
        for service in ("ingest", "rating", "wallet"):
            await internal.clocks[service].SetTime(SetTimeRequest(now=timestamp(BILLED)))


async def count_drafts(client: SuiteClient) -> bool:
    found = (await client.invoices.ListInvoices(ListInvoicesRequest())).invoices
    assert len(found) == len(CUSTOMERS)
    return True


async def announced(suite: Suite) -> Counter[str]:
    """Return how often each invoice was announced as finalized."""
    worker = db.connect(suite.database_url("invoicing", "worker"), connections_max=1)
    query = text("SELECT payload FROM outbox WHERE subject = :subject")
    async with db.begin_worker(worker) as conn:
        rows = await conn.execute(query, {"subject": InvoiceFinalized.DESCRIPTOR.full_name})
        found = Counter(InvoiceFinalized.FromString(row.payload).invoice.invoice_id for row in rows)
    await worker.dispose()
    return found
