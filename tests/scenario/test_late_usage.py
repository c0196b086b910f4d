"""Usage is billed where it belongs, however late it is seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from cli.client import SuiteClient
from libs import db
from tally.ingest.v1.event_pb2 import Event
from tally.ingest.v1.ingest_service_pb2 import GetEventRequest, ListEventsRequest
from tally.invoicing.v1.invoice_service_pb2 import LineKind
from tally.rating.v1.plan_service_pb2 import Price, Tier, TieredPrice
from tally.rating.v1.usage_service_pb2 import GetUsageRequest, VerifyUsageRequest
from tests.scenario.builders import (
    Line,
    amend,
    document,
    invoices,
    lines,
    record,
    retract,
    sell,
    subscribe,
    usage,
)
from tests.suite import Suite

JAN_1, FEB_1, MAR_1, APR_1, MAY_1 = (datetime(2026, n, 1, tzinfo=UTC) for n in range(1, 6))
JUN_1, JUL_1, AUG_1 = (datetime(2026, n, 1, tzinfo=UTC) for n in (6, 7, 8))
BILLED = timedelta(minutes=11)  # After the collection delay.


async def test_an_event_acknowledged_a_millisecond_before_the_end_is_on_the_invoice(
    suite: Suite,
) -> None:
    await suite.advance(JAN_1)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        await subscribe(client, "acme", JAN_1)
        last = FEB_1 - timedelta(milliseconds=1)
        await suite.advance(last)
        # Rating cannot fold while its positions are locked, as if it were slow.
        engine = db.connect(suite.database_url("rating", "owner"), connections_max=1)
        async with engine.connect() as slow:
            await slow.execute(text("LOCK TABLE applied IN EXCLUSIVE MODE"))
            assert await record(client, [usage("acme", last, "3")]) == ["ACCEPTED"]
            await suite.set_time(FEB_1 + BILLED)
            assert await suite.refuses_to_settle(seconds=2)
            assert await invoices(client) == []
            await slow.rollback()
        await engine.dispose()
        await suite.settle()

        [january] = await invoices(client)
        assert lines(january) == [Line("calls", "3", 3)]


async def test_a_late_event_is_an_adjustment_of_its_period_on_the_next_invoice(
    suite: Suite,
) -> None:
    await suite.advance(MAR_1)
    async with suite.client(suite.new_tenant()) as client:
        # 10 units at 10 cents, then a cent: what is late is priced after what was billed.
        tiers = [Tier(up_to="10", unit_amount="0.10"), Tier(unit_amount="0.01")]
        await sell(client, price=Price(graduated=TieredPrice(tiers=tiers)))
        await subscribe(client, "acme", MAR_1)
        await suite.advance(APR_1 - timedelta(hours=1))
        await record(client, [usage("acme", MAR_1 + timedelta(days=3), "8")])
        await suite.advance(APR_1 + BILLED)
        [march] = await invoices(client)
        assert lines(march) == [Line("calls", "8", 80)]

        late = usage("acme", MAR_1 + timedelta(days=20), "5")
        assert await record(client, [late]) == ["ACCEPTED"]
        await suite.settle()
        await record(client, [usage("acme", APR_1 + timedelta(minutes=1), "1")])
        assert await record(client, [late]) == ["DUPLICATE"]
        assert len(await invoices(client)) == 1
        await suite.advance(MAY_1 + BILLED)

        [again, april] = await invoices(client)
        assert document(again) == document(march)
        # 2 more at 10 cents and 3 at a cent.
        assert lines(april) == [Line("calls", "1", 10), Line("calls", "5", 23)]
        adjustment = april.lines[1]
        assert adjustment.kind == LineKind.LINE_KIND_ADJUSTMENT
        assert adjustment.period_id == march.lines[0].period_id
        assert adjustment.period == march.lines[0].period
        assert adjustment.adjustment_sequence == 1
        assert (april.subtotal_minor, april.total_minor) == (33, 33)


async def test_corrections_of_events_change_usage_and_adjust_what_was_billed(suite: Suite) -> None:
    await suite.advance(JUN_1)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client)
        for customer in ("acme", "blue"):
            await subscribe(client, customer, JUN_1)
        await suite.advance(JUL_1 - timedelta(hours=1))
        wrong, moved, taken = (
            usage("acme", JUN_1 + timedelta(days=day), value)
            for day, value in ((3, "8"), (4, "5"), (5, "2"))
        )
        await record(client, [wrong, moved, taken])
        right = _with(wrong, value="6", day=5)
        await amend(client, right)
        await suite.settle()
        assert await _units(client, "acme") == "13"
        await suite.advance(JUL_1 + BILLED)
        [june] = await invoices(client, "acme")
        assert lines(june) == [Line("calls", "13", 13)]

        await amend(client, _with(moved, value="5", day=4, customer="blue"))
        await retract(client, taken)
        again = [wrong, right, moved, taken, _with(taken, value="9", day=5)]
        assert await record(client, again) == ["DUPLICATE"] * 4 + ["CONFLICT"]
        later = JUL_1 + timedelta(minutes=1)
        await record(client, [usage("acme", later, "10"), usage("blue", later, "1")])
        await suite.advance(AUG_1 + BILLED)
        [again_june, acme] = await invoices(client, "acme")
        assert document(again_june) == document(june)
        assert lines(acme) == [Line("calls", "10", 10)]
        # The 7 that were taken away are a credit note on June, which pays July.
        assert (acme.credit_notes_minor, acme.total_minor) == (7, 3)
        *_, blue = await invoices(client, "blue")
        assert lines(blue) == [Line("calls", "1", 1), Line("calls", "5", 5)]

        stored = (await client.ingest.GetEvent(GetEventRequest(id=taken.id))).event
        assert (stored.retracted, stored.version, stored.event) == (True, 2, taken)
        listed = (await client.ingest.ListEvents(ListEventsRequest(customer_id="acme"))).events
        assert [one.event for one in listed][:1] == [right]
        assert len(listed) == 2
        told = [answer async for answer in client.usage.VerifyUsage(VerifyUsageRequest())]
        assert [answer.WhichOneof("result") for answer in told] == ["verification"]


def _with(event: Event, *, value: str, day: int, customer: str = "acme") -> Event:
    """Return `event` as it should have been."""
    changed = usage(customer, JUN_1 + timedelta(days=day), value)
    changed.id = event.id
    return changed


async def _units(client: SuiteClient, customer_id: str) -> str:
    found = await client.usage.GetUsage(GetUsageRequest(subscription_id=f"{customer_id}-pro"))
    [fee] = found.fees
    return fee.units
