"""The stories are told in time, and what is wrong with an invoice is seen before it is shown."""

from datetime import timedelta

import pytest

from demo.checks import check_open_usage, check_story, find_faults
from demo.failure import DemoFailed
from demo.stories import stories
from demo.story import Story, stamp
from demo.telling import timeline
from tally.common.v1.period_pb2 import Period
from tally.invoicing.v1.invoice_service_pb2 import Invoice, InvoiceLine, InvoiceTax
from tally.rating.v1.billing_period_pb2 import Fee
from tally.rating.v1.usage_service_pb2 import GetUsageResponse

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def told() -> dict[str, Story]:
    """The stories by name."""
    return {story.name: story for story in stories()}


def good_invoice() -> Invoice:
    """Two lines of 100 and 50, a tax of 15, 30 paid from credits."""
    return Invoice(
        number="INV-202601-001",
        lines=[
            InvoiceLine(amount_minor=100, tax_share_minor=10, credits_minor=30),
            InvoiceLine(amount_minor=50, tax_share_minor=5),
        ],
        taxes=[InvoiceTax(amount_minor=15)],
        subtotal_minor=150,
        tax_minor=15,
        credits_minor=30,
        total_minor=135,
        trace_id=TRACE,
    )


def test_every_event_has_an_identity_of_its_own(told: dict[str, Story]) -> None:
    for story in told.values():
        events = [event for window in story.windows for event in window.events]
        identities = {event.id for event in (*events, *story.open_events)}
        assert len(identities) == story.event_count


def test_ids_are_the_same_in_every_run(told: dict[str, Story]) -> None:
    again = {story.name: story for story in stories()}
    for name, story in told.items():
        assert story.windows[0].events[:50] == again[name].windows[0].events[:50]


def test_steps_are_in_order_and_events_no_hour_ahead(told: dict[str, Story]) -> None:
    steps = timeline(list(told.values()))
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    begun: set[str] = set()
    for step in steps:
        if step.window is None:
            begun.add(step.story.name)
            continue
        assert step.story.name in begun
        latest = max(event.time.ToNanoseconds() for event in step.window.events)
        assert latest <= stamp(step.at + timedelta(hours=1)).ToNanoseconds()


def test_the_months_of_the_year_have_their_readings(told: dict[str, Story]) -> None:
    # January lacks the source's first hour; April has an hour twice, October lacks one.
    counts = [len(window.events) for window in told["electricity"].windows]
    assert counts == [1486, 1344, 1488, 1442, 1488, 1440, 1488, 1488, 1440, 1486, 1440, 1488]
    assert len(told["electricity"].open_events) == 2


def test_a_good_invoice_has_no_faults() -> None:
    assert find_faults(good_invoice()) == []


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("subtotal_minor", 151, "the subtotal is 151"),
        ("tax_minor", 16, "tax 16"),
        ("credits_minor", 31, "the invoice 31"),
        ("total_minor", 136, "the total is 136"),
        ("trace_id", "", "no trace id"),
    ],
)
def test_a_sum_that_does_not_hold_is_a_fault(field: str, value: object, fault: str) -> None:
    invoice = good_invoice()
    setattr(invoice, field, value)
    assert any(fault in found for found in find_faults(invoice))


def test_a_missing_invoice_ends_the_demo(told: dict[str, Story]) -> None:
    story = told["ai-text"]
    invoices = []
    for place, window in enumerate(story.windows, start=1):
        invoice = good_invoice()
        invoice.number = f"INV-202601-{place:03}"
        invoice.period.CopyFrom(Period(end=stamp(window.end)))
        invoices.append(invoice)
    check_story(story, invoices)
    with pytest.raises(DemoFailed, match="there are 2 invoices .* not 3"):
        check_story(story, invoices[:2])
    invoices[1].number = "INV-202601-004"
    with pytest.raises(DemoFailed, match="gaps"):
        check_story(story, invoices)


def test_usage_missing_from_the_open_period_ends_the_demo(told: dict[str, Story]) -> None:
    story = told["electricity"]
    check_open_usage(story, GetUsageResponse(fees=[Fee(charge_code="readings", event_count=2)]))
    with pytest.raises(DemoFailed, match="not 2 events"):
        check_open_usage(story, GetUsageResponse(fees=[Fee(charge_code="readings", event_count=1)]))
