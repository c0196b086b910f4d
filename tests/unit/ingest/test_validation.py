"""Every rule of the log, with the field it names and the limit in its detail."""

import pytest

from services.ingest.domain.event import Event, Unreadable, parse_time
from services.ingest.domain.limits import BatchTooLarge, Limits, check_batch
from services.ingest.domain.number import Number
from services.ingest.domain.validation import Reason, find_fault
from tests.unit.ingest.events import GOOD, NOW, SECOND, event

DAY = 86_400 * SECOND
LONG = "é" * 128  # 256 bytes.


@pytest.mark.parametrize(
    ("sent", "reason", "field", "detail"),
    [
        (event(""), Reason.ID_MISSING, "id", "missing"),
        (event(type=""), Reason.TYPE_MISSING, "type", "missing"),
        (event(customer_id=""), Reason.CUSTOMER_MISSING, "customer_id", "missing"),
        (event(LONG), Reason.FIELD_TOO_LARGE, "id", "256 bytes, at most 255"),
        (event(source=LONG), Reason.FIELD_TOO_LARGE, "source", "255"),
        (event(type=LONG), Reason.FIELD_TOO_LARGE, "type", "255"),
        (event(customer_id=LONG), Reason.FIELD_TOO_LARGE, "customer_id", "255"),
        (event(subscription_id=LONG), Reason.FIELD_TOO_LARGE, "subscription_id", "255"),
        (event(hold_id=LONG), Reason.FIELD_TOO_LARGE, "hold_id", "255"),
        (event("a\0b"), Reason.TEXT_INVALID, "id", "NUL"),
        (event(customer_id="\0"), Reason.TEXT_INVALID, "customer_id", "NUL"),
        (event(properties={"k": "\0"}), Reason.TEXT_INVALID, "properties.k", "NUL"),
        (event(hold_id="std_1"), Reason.ALREADY_PAID, "hold_id", "std_1"),
        (event(time=Unreadable("1 ns")), Reason.TIME_INVALID, "time", "1 ns"),
        (event(time=NOW + 3_601 * SECOND), Reason.TIME_TOO_NEW, "time", "max_ahead is 3600 s"),
        (event(time=NOW - 400 * DAY - 1), Reason.TIME_TOO_OLD, "time", "max_age is 34560000 s"),
        (event(amount=Unreadable("'x'")), Reason.AMOUNT_INVALID, "amount", "'x'"),
        (
            event(properties={f"k{n}": True for n in range(65)}),
            Reason.PROPERTIES_TOO_MANY,
            "properties",
            "properties_max, which is 64",
        ),
        (event(properties={"": True}), Reason.PROPERTY_KEY_INVALID, "properties", "empty"),
        (event(properties={"k" * 65: 1}), Reason.PROPERTY_KEY_INVALID, "properties", "is 64"),
        (event(properties={"a\0": True}), Reason.PROPERTY_KEY_INVALID, "properties", "NUL"),
        (
            event(properties={"k": "x" * 1_025}),
            Reason.PROPERTY_TOO_LARGE,
            "properties.k",
            "1025 bytes, value_bytes_max is 1024",
        ),
        (
            event(properties={"k": Unreadable("no value")}),
            Reason.PROPERTY_INVALID,
            "properties.k",
            "no value",
        ),
    ],
)
def test_a_broken_rule_is_named(sent: Event, reason: Reason, field: str, detail: str) -> None:
    fault = find_fault(sent, 100, received=NOW, limits=Limits())
    assert fault is not None
    assert (fault.reason, fault.field) == (reason, field)
    assert detail in fault.detail


def test_an_event_above_16_kib_is_too_large() -> None:
    fault = find_fault(GOOD, 16_385, received=NOW, limits=Limits())
    assert fault is not None and fault.reason is Reason.EVENT_TOO_LARGE
    assert "16385 bytes, event_bytes_max is 16384" in fault.detail


@pytest.mark.parametrize(
    "sent",
    [
        GOOD,
        event("é" * 127),
        event(time=None),
        event(time=NOW + 3_600 * SECOND),
        event(time=NOW - 400 * DAY),
        event(hold_id="sub_1"),
        event(amount=Number(1, -2)),
        event(properties={f"k{n}": "" for n in range(64)}),
        event(properties={"k" * 64: "x" * 1_024}),
    ],
)
def test_a_limit_itself_is_allowed(sent: Event) -> None:
    assert find_fault(sent, 16_384, received=NOW, limits=Limits()) is None


def test_a_tenant_may_have_limits_of_its_own() -> None:
    tight = Limits(max_ahead_seconds=0, properties_max=2)
    ahead = find_fault(event(time=NOW + 1, properties={}), 1, received=NOW, limits=tight)
    assert ahead is not None and ahead.reason is Reason.TIME_TOO_NEW
    assert "0.000001 s ahead, max_ahead is 0 s" in ahead.detail
    many = find_fault(GOOD, 1, received=NOW, limits=tight)
    assert many is not None and many.reason is Reason.PROPERTIES_TOO_MANY


def test_times_are_whole_microseconds_of_the_years_1_to_9999() -> None:
    assert parse_time(1, 5_000) == 1_000_005
    assert parse_time(-1, 999_999_000) == -1
    for seconds, nanos in [(1, 1), (1, -1_000), (1, 10**9), (253_402_300_800, 0), (-(2**62), 0)]:
        assert isinstance(parse_time(seconds, nanos), Unreadable)


@pytest.mark.parametrize(("events", "size"), [(10_001, 1), (1, 8 * 1024 * 1024 + 1)])
def test_a_batch_above_a_limit_is_too_large(events: int, size: int) -> None:
    check_batch(Limits(), events=10_000, size=8 * 1024 * 1024)
    with pytest.raises(BatchTooLarge):
        check_batch(Limits(), events=events, size=size)
