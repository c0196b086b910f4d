"""Amounts, quantities and periods as people read them."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from cli.tables import (
    money_text,
    period_text,
    price_text,
    quantity_text,
    step_text,
    windows_table,
)
from libs.wire import timestamp
from tally.common.v1.period_pb2 import Period
from tally.invoicing.v1.invoice_service_pb2 import LineBreakdownRow
from tally.rating.v1.usage_service_pb2 import QueryUsageResponse, UsageRow


@pytest.mark.parametrize(
    ("currency", "minor", "text"),
    [
        ("USD", 123450, "USD 1,234.50"),
        ("JPY", 1234, "JPY 1,234"),
        ("KWD", 1234, "KWD 1.234"),
        ("EUR", -5, "EUR -0.05"),
    ],
)
def test_money_has_the_places_of_its_currency(currency: str, minor: int, text: str) -> None:
    assert money_text(currency, minor) == text


def test_a_quantity_keeps_every_digit() -> None:
    assert quantity_text("2632014.07844000001455") == "2,632,014.07844000001455"
    assert quantity_text("") == ""


@pytest.mark.parametrize(
    ("start", "end", "zone", "text"),
    [
        ((2013, 12, 31, 13), (2014, 1, 31, 13), "Australia/Melbourne", "Jan 2014"),
        ((2014, 3, 9, 23), (2014, 3, 16, 23), "Europe/Berlin", "2014-03-10 to 2014-03-16"),
        ((2014, 1, 1, 0), (2014, 3, 1, 0), "UTC", "2014-01-01 to 2014-02-28"),
    ],
)
def test_a_period_is_shown_by_its_local_days(
    start: tuple[int, int, int, int], end: tuple[int, int, int, int], zone: str, text: str
) -> None:
    bounds = (timestamp(datetime(*bound, tzinfo=UTC)) for bound in (start, end))
    assert period_text(Period(start=next(bounds), end=next(bounds)), zone) == text


def test_a_step_of_a_price_can_be_checked_by_hand() -> None:
    row = LineBreakdownRow(label="tier", unit_amount="0.095", flat_amount="10", up_to="2000")
    assert (step_text(row), price_text(row)) == ("tier up to 2,000", "0.095 + 10")
    assert step_text(LineBreakdownRow(label="tier"), "2000") == "tier above 2,000"
    days = LineBreakdownRow(label="unbilled", units="15", unit_amount="-50", up_to="31")
    assert (step_text(days), price_text(days)) == ("unbilled of 31 days", "-50")
    in_credits = LineBreakdownRow(label="units", unit_amount="0.5", pricing_unit="credits")
    assert price_text(in_credits) == "0.5 credits"


def test_windows_of_usage_are_rows_with_the_values_of_their_group() -> None:
    window = Period(
        start=timestamp(datetime(2026, 1, 5, 10, tzinfo=UTC)),
        end=timestamp(datetime(2026, 1, 5, 11, tzinfo=UTC)),
    )
    row = UsageRow(window=window, group_values=["[eu]"], units="1234.5", event_count=1_000)
    console = Console(width=120, record=True, file=StringIO())
    console.print(windows_table(QueryUsageResponse(rows=[row]), ["region"]))
    header, _, shown = (line.split() for line in console.export_text().splitlines() if line.strip())
    assert header == ["From", "To", "region", "Events", "Units"]
    assert shown == ["2026-01-05T10:00:00Z", "2026-01-05T11:00:00Z", "[eu]", "1,000", "1,234.5"]
