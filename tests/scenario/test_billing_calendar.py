"""Months and weeks that begin on the day of a subscription, through the changes of clocks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from libs.wire import timestamp
from tally.rating.v1.plan_service_pb2 import IntervalUnit, Timing
from tally.rating.v1.subscription_service_pb2 import BillingTime, TerminateSubscriptionRequest
from tests.scenario.builders import Line, invoices, lines, record, sell, subscribe, usage
from tests.suite import Suite

ANNIVERSARY = BillingTime.BILLING_TIME_ANNIVERSARY
BILLED, INSTANT = timedelta(minutes=11), timedelta(microseconds=1)
NEW_YORK = "America/New_York"

# Its clock is 5 hours behind until 8 March and from 1 November on, and 4 between.
POSTS = [
    datetime(2026, month, number, hour, tzinfo=UTC)
    for month, number, hour in (
        (2, 28, 5),
        (3, 31, 4),
        (4, 30, 4),
        (5, 31, 4),
        (6, 30, 4),
        (7, 31, 4),
        (8, 31, 4),
        (9, 30, 4),
        (10, 31, 4),
        (11, 30, 5),
        (12, 31, 5),
    )
]
POSTS.append(datetime(2027, 1, 31, 5, tzinfo=UTC))


async def test_a_year_of_months_from_31_january_is_twelve_whole_ones(suite: Suite) -> None:
    start = datetime(2026, 1, 31, 15, tzinfo=UTC)
    await suite.advance(start)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, base_amount="30", base_timing=Timing.TIMING_IN_ADVANCE)
        await subscribe(client, "acme", start, time_zone=NEW_YORK, billing_time=ANNIVERSARY)
        await suite.settle()
        for number, post in enumerate(POSTS):
            await suite.advance(post)
            at_the_end, at_the_start = str(1 + number), "100"
            events = [
                usage("acme", post - INSTANT, at_the_end),
                usage("acme", post, at_the_start),
            ]
            assert await record(client, events) == ["ACCEPTED", "ACCEPTED"]
            await suite.advance(post + BILLED)
        first, *monthly = await invoices(client)
    assert lines(first) == [Line("", "1", 3000)]
    assert len(monthly) == 12
    for number, invoice in enumerate(monthly):
        called = (100 if number else 0) + 1 + number  # A cent each.
        assert sorted(lines(invoice), key=lambda line: line.code) == [
            Line("", "1", 3000),
            Line("calls", str(called), called),
        ]
        [calls] = [line for line in invoice.lines if line.charge_code]
        assert calls.period.start == timestamp(POSTS[number - 1] if number else start)
        assert calls.period.end == timestamp(POSTS[number])


async def test_weeks_from_a_saturday_end_on_saturdays_until_the_last_one_is_cut(
    suite: Suite,
) -> None:
    saturday = datetime(2027, 3, 6, 23, tzinfo=UTC)  # 18:00 in New York.
    await suite.advance(saturday)
    async with suite.client(suite.new_tenant()) as client:
        await sell(client, base_amount="7", interval=IntervalUnit.INTERVAL_UNIT_WEEK)
        await subscribe(client, "acme", saturday, time_zone=NEW_YORK, billing_time=ANNIVERSARY)
        spring = datetime(2027, 3, 13, 5, tzinfo=UTC)  # The clock goes forward on the 14th.
        await suite.advance(spring)
        await record(client, [usage("acme", spring - INSTANT, "1"), usage("acme", spring, "2")])
        summer = datetime(2027, 3, 20, 4, tzinfo=UTC)
        await suite.advance(summer)
        await record(client, [usage("acme", summer - INSTANT, "4"), usage("acme", summer, "8")])
        tuesday = datetime(2027, 3, 30, 16, tzinfo=UTC)
        await suite.advance(tuesday)
        await client.subscriptions.TerminateSubscription(
            TerminateSubscriptionRequest(request_id=str(uuid4()), subscription_id="acme-pro")
        )
        await suite.advance(tuesday + BILLED)
        found = [
            sorted((one.code, one.amount_minor) for one in lines(each))
            for each in await invoices(client)
        ]
    assert found == [
        [("", 700), ("calls", 1)],
        [("", 700), ("calls", 6)],
        [("", 700), ("calls", 8)],
        [("", 400)],  # Saturday to Tuesday.
    ]
