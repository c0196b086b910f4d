"""Candidates out of requests."""

from services.ingest.domain.validation import Reason
from tally.ingest.v1.event_pb2 import Event, PropertyValue
from tests.unit.ingest.events import event, message, read, sent_as

FIVE_THOUSAND = {f"p{number}": PropertyValue(flag=True) for number in range(5_000)}


def test_of_an_event_that_is_too_large_the_properties_are_not_read() -> None:
    """Five thousand of them: the request as a whole may hold a million."""
    sent = Event(id="1", type="calls", customer_id="acme", properties=FIVE_THOUSAND)
    candidates = read(sent_as([message(event("good")), sent]))
    assert candidates.faults[1].reason is Reason.EVENT_TOO_LARGE
    assert len(candidates.properties.rows) < 100
    assert candidates.content(1) == sent.SerializeToString(deterministic=True)


def test_of_an_event_with_far_too_many_properties_the_last_ones_are_not_read() -> None:
    properties = dict(list(FIVE_THOUSAND.items())[:500])
    sent = Event(id="1", type="calls", customer_id="acme", properties=properties, hold_id="std_1")
    candidates = read(sent_as([sent]))
    assert candidates.faults[0].reason is Reason.PROPERTIES_TOO_MANY
    assert len(candidates.properties.rows) < 100
