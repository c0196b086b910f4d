"""Events made to be costly: all of a request at fault, each with as many properties as it may."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from services.ingest.domain.candidates import Submission
from services.ingest.domain.validation import Reason
from services.ingest.domain.verdicts import decide, find_identities
from services.ingest.store.rejected import rows_of_refused
from tally.ingest.v1.event_columns_pb2 import EventColumns, PropertyValues
from tally.ingest.v1.event_pb2 import Event, PropertyValue
from tests.unit.ingest.events import read, sent_as, sent_in_columns

EVENTS, PROPERTIES = 2_000, 64
RUNS = 3
NOTHING, GOOD = PropertyValue(), PropertyValue(decimal="1")


def in_rows(value: PropertyValue) -> Submission:
    properties = {f"p{number}": value for number in range(PROPERTIES)}
    return sent_as(
        [
            Event(id=f"e{number}", type="call", customer_id="acme", properties=properties)
            for number in range(EVENTS)
        ]
    )


def in_columns(value: PropertyValue) -> Submission:
    columns = EventColumns(
        texts=["", "call", "acme"],
        ids=[f"e{number}" for number in range(EVENTS)],
        types=[1],
        customer_ids=[2],
        properties=[PropertyValues(key=f"p{number}") for number in range(PROPERTIES)],
    )
    for one in columns.properties if value == GOOD else ():
        one.decimals.mantissas.extend([1] * EVENTS)
    return sent_in_columns(columns)


def judge(submission: Submission) -> list[Reason]:
    """Read and judge a request, and write down what is refused of it."""
    candidates = read(submission)
    decision = decide([submission], candidates, find_identities(candidates), {})
    kept = rows_of_refused(candidates, decision.refused)
    assert len(kept) in (0, EVENTS)
    return [Reason(row["reason"]) for row in kept]


def processor_seconds(submission: Submission) -> float:
    began = time.process_time()
    judge(submission)
    return time.process_time() - began


# What is at fault is kept as rows, which columns must become first.
@pytest.mark.parametrize(("sent", "times_max"), [(in_rows, 5), (in_columns, 12)])
def test_events_at_fault_cost_little_more_than_good_ones(
    sent: Callable[[PropertyValue], Submission], times_max: float
) -> None:
    good, hostile = sent(GOOD), sent(NOTHING)
    assert judge(good) == []
    assert judge(hostile) == [Reason.PROPERTY_INVALID] * EVENTS
    pairs = [(processor_seconds(hostile), processor_seconds(good)) for _ in range(RUNS)]
    times = min(of_hostile / of_good for of_hostile, of_good in pairs)
    assert times < times_max, f"{times:.1f} times as much as good ones"
