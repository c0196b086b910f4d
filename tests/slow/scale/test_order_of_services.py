"""Within one instant it does not matter which service learns of it first."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

from tally.rating.v1.plan_service_pb2 import Timing
from tests.scenario.builders import invoices, lines, record, sell, subscribe, usage
from tests.suite import Suite

COLLECTION_DELAY = timedelta(minutes=10)
ORDERS = list(permutations(("ingest", "rating", "invoicing", "wallet")))


async def test_all_24_orders_bill_the_same(suite: Suite) -> None:
    fences = [datetime(2026 + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in range(25)]
    await suite.advance(fences[0])
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, base_amount="10", base_timing=Timing.TIMING_IN_ARREARS)
        await subscribe(client, "acme", fences[0])
        for order, start, end in zip(ORDERS, fences, fences[1:], strict=False):
            await record(client, [usage("acme", start, "5")])
            await suite.advance(end + COLLECTION_DELAY, order=order)
        found = await invoices(client)
    assert len(found) == len(ORDERS)
    assert [invoice.period.end.ToDatetime(UTC) for invoice in found] == fences[1:]
    assert all(lines(invoice) == lines(found[0]) for invoice in found)
    assert [invoice.number.rsplit("-", 1)[1] for invoice in found] == [
        f"{n:03}" for n in range(1, 25)
    ]
