"""Usage is billed where it belongs, however late it is seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from libs import db
from tally.invoicing.v1.invoice_service_pb2 import LineKind
from tally.rating.v1.plan_service_pb2 import Price, Tier, TieredPrice
from tests.scenario.builders import Line, invoices, lines, record, sell, subscribe, usage
from tests.suite import Suite

JAN_1, FEB_1, MAR_1, APR_1, MAY_1 = (datetime(2026, n, 1, tzinfo=UTC) for n in range(1, 6))
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
        assert again == march
        # 2 more at 10 cents and 3 at a cent.
        assert lines(april) == [Line("calls", "1", 10), Line("calls", "5", 23)]
        adjustment = april.lines[1]
        assert adjustment.kind == LineKind.LINE_KIND_ADJUSTMENT
        assert adjustment.period_id == march.lines[0].period_id
        assert adjustment.period == march.lines[0].period
        assert adjustment.adjustment_sequence == 1
        assert (april.subtotal_minor, april.total_minor) == (33, 33)
