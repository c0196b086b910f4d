"""When a customer is asked again for what is overdue, and for how much at least."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from services.invoicing.domain.dunning import Campaign, allot, next_step_at, steps_passed

CAMPAIGN = Campaign((3, 7), {"USD": 1_000, "EUR": 0})
DUE = date(2026, 1, 10)
ZONE = "Australia/Melbourne"  # Eleven hours ahead.
FIRST, SECOND = (datetime(2026, 1, day, 13, tzinfo=UTC) for day in (12, 16))


def test_steps_come_at_midnight_in_the_customers_zone_so_many_days_after_the_due_date() -> None:
    second = timedelta(seconds=1)
    instants = (FIRST - second, FIRST, SECOND - second, SECOND, SECOND + 90 * 86_400 * second)
    passed = [steps_passed(CAMPAIGN, DUE, ZONE, now=at) for at in instants]
    assert passed == [0, 1, 1, 2, 2]
    following = [next_step_at(CAMPAIGN, DUE, ZONE, passed=n) for n in (0, 1, 2)]
    assert following == [FIRST, SECOND, None]
    assert next_step_at(Campaign(), DUE, ZONE, passed=0) is None


def test_less_than_the_threshold_of_the_currency_is_not_asked_for() -> None:
    assert [CAMPAIGN.asks_for("USD", owed) for owed in (999, 1_000)] == [False, True]
    assert CAMPAIGN.asks_for("EUR", 1)
    assert not CAMPAIGN.asks_for("GBP", 10_000)


def test_an_amount_pays_what_is_due_in_its_order() -> None:
    assert allot(70, [50, 0, 50]) == [50, 0, 20]
    assert allot(100, [50, 50]) == [50, 50]
    assert allot(10, [50, 50]) == [10, 0]
