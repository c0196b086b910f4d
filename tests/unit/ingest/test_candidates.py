"""Candidates out of requests."""

from libs.tenant import Tenant
from services.ingest.api.parsing import make_candidates
from services.ingest.domain.candidate import Rules
from services.ingest.domain.limits import Limits
from services.ingest.domain.validation import Reason
from tally.ingest.v1.event_pb2 import Event, PropertyValue
from tests.unit.ingest.events import NOW

RULES = Rules(Tenant(1), Limits(), NOW, partitions=4, key_secret=b"k" * 32)


def test_of_an_event_that_is_too_large_the_properties_are_not_read() -> None:
    """Five thousand of them: the request as a whole may hold a million."""
    properties = {f"p{number}": PropertyValue(flag=True) for number in range(5_000)}
    sent = Event(id="1", type="calls", customer_id="acme", properties=properties)
    [candidate] = make_candidates([sent], RULES)
    assert candidate.fault is not None and candidate.fault.reason is Reason.EVENT_TOO_LARGE
    assert candidate.event.properties == {}
    assert candidate.content == sent.SerializeToString(deterministic=True)
