"""Many events read at once are what protobuf and the plain rules make of each alone."""

from dataclasses import fields, is_dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.partition import partition_of
from services.ingest.domain.columns import Kind
from services.ingest.domain.decimals import UNREADABLE, read_decimals
from services.ingest.domain.event import Event, PropertyValue, Unreadable, parse_time
from services.ingest.domain.identity import event_key
from services.ingest.domain.limits import Limits
from services.ingest.domain.number import Number, parse_number
from services.ingest.domain.sent import read_events
from services.ingest.domain.texts import GROUPED_MIN, Texts, cut
from services.ingest.domain.validation import find_fault
from services.ingest.domain.wire import PADDING, Octets, Spans, find_events, read_fields
from services.ingest.domain.wire_few import read_few_fields
from tally.ingest.v1 import event_pb2 as pb
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tests.property.ingest.strategies import decimal_texts, sent_events
from tests.unit.ingest.events import NOW, SECRET, TENANT, read, sent_as

OTHER = Limits(max_age_seconds=10, properties_max=8, key_bytes_max=2, value_bytes_max=3)
requests = st.lists(st.lists(sent_events, min_size=1, max_size=4), min_size=1, max_size=3)
decimals_and_others = st.one_of(
    decimal_texts, st.from_regex(r"\A[0-9.+e-]{0,21}\Z"), st.from_regex(r"\A[0-9]{1,20}\.?\Z")
)
# Many that are equal, some that differ only far behind or in how many NUL they end in.
repeating = st.lists(
    st.sampled_from([b"", b"a", b"a\0", b"a\0\0", b"x" * 24, b"x" * 25, b"x" * 24 + b"y"])
    | st.binary(max_size=3)
    | st.integers(0, 9).map(lambda number: b"customer-%07d" % number),
    min_size=GROUPED_MIN,
    max_size=3 * GROUPED_MIN,
)


@given(requests)
def test_fields_are_what_protobuf_reads(sent: list[list[pb.Event]]) -> None:
    candidates = read(*(sent_as(request) for request in sent))
    expected = [event_of(message) for request in sent for message in request]
    assert [candidates.event(row) for row in range(len(expected))] == expected
    assert [candidates.content(row) for row in range(len(expected))] == [
        message.SerializeToString(deterministic=True) for request in sent for message in request
    ]


@given(requests, st.integers(0, 5))
def test_few_events_are_read_as_many_are(sent: list[list[pb.Event]], properties_max: int) -> None:
    data, events = find_events([content_of(request) for request in sent])
    few = read_few_fields(data, events, properties_max=properties_max)
    many = read_fields(data, events, properties_max=properties_max)
    assert plainly(few) == plainly(many)


def content_of(request: list[pb.Event]) -> bytes:
    return RecordEventsRequest(events=request).SerializeToString(deterministic=True)


def plainly(found: object) -> object:
    """Return arrays, in whatever they lie, as their types and values."""
    if isinstance(found, np.ndarray):
        return str(found.dtype), found.tolist()
    if isinstance(found, dict):
        return {key: plainly(value) for key, value in found.items()}
    if is_dataclass(found):
        return {field.name: plainly(getattr(found, field.name)) for field in fields(found)}
    return found


@given(st.lists(sent_events, max_size=4))
def test_events_that_were_kept_are_read_as_they_were_sent(sent: list[pb.Event]) -> None:
    contents = [message.SerializeToString(deterministic=True) for message in sent]
    assert read_events(contents) == [event_of(message) for message in sent]


@given(requests)
def test_screening_misses_no_fault(sent: list[list[pb.Event]]) -> None:
    """The last request's tenant has limits of its own."""
    limits = [*[Limits()] * (len(sent) - 1), OTHER]
    group = [sent_as(one, limits=of_one) for one, of_one in zip(sent, limits, strict=True)]
    expected = [
        find_fault(event_of(message), message.ByteSize(), received=NOW, limits=of_one)
        for request, of_one in zip(sent, limits, strict=True)
        for message in request
    ]
    faults = read(*group).faults
    assert faults == {row: fault for row, fault in enumerate(expected) if fault is not None}


@given(requests)
def test_keys_and_partitions_are_those_of_each_event(sent: list[list[pb.Event]]) -> None:
    candidates = read(*(sent_as(request) for request in sent))
    messages = [message for request in sent for message in request]
    assert [key.tobytes() for key in candidates.keys] == [
        event_key(message.source, message.id, SECRET) for message in messages
    ]
    assert candidates.partitions.tolist() == [
        partition_of(TENANT, message.customer_id, 4) for message in messages
    ]


@given(st.lists(decimals_and_others, min_size=1, max_size=20))
def test_decimals_are_what_each_alone_is(sent: list[str]) -> None:
    texts = Texts()
    kinds, values, exponents = read_decimals(*laid_out([text.encode() for text in sent]), texts)
    for text, kind, value, exponent in zip(sent, kinds, values, exponents, strict=True):
        number = parse_number(text)
        fitting = None if number is None else number.fitting()
        if number is None:
            assert kind == UNREADABLE, text
        elif fitting is None:
            assert kind == Kind.LARGE_DECIMAL, text
            assert texts.all()[value] == number.canonical().encode()
        else:
            assert (kind, value, exponent) == (Kind.DECIMAL, *fitting), text


@settings(max_examples=25)  # Each is of hundreds of texts.
@given(repeating)
def test_equal_texts_have_one_place_and_others_another(sent: list[bytes]) -> None:
    texts = Texts()
    places = texts.places(*laid_out(sent))
    known = texts.all()
    assert [known[place] for place in places] == sent
    assert sorted(known) == sorted({b"", *sent})


def laid_out(sent: list[bytes]) -> tuple[bytes, Octets, Spans]:
    """Return texts one behind the other, and where each lies."""
    data = b"".join(sent) + PADDING
    ends = np.cumsum([len(text) for text in sent])
    spans = Spans(ends - [len(text) for text in sent], ends)
    assert cut(data, spans) == sent
    return data, np.frombuffer(data, np.uint8), spans


def event_of(message: pb.Event) -> Event:
    """Read a message field by field."""
    time = None
    if message.HasField("time"):
        time = parse_time(message.time.seconds, message.time.nanos)
    return Event(
        id=message.id,
        source=message.source,
        type=message.type,
        time=time,
        customer_id=message.customer_id,
        subscription_id=message.subscription_id,
        properties={key: value_of(message.properties[key]) for key in sorted(message.properties)},
        amount=number_of(message.amount) if message.amount else None,
        hold_id=message.hold_id,
    )


def value_of(value: pb.PropertyValue) -> PropertyValue:
    match value.WhichOneof("kind"):
        case "text":
            return value.text
        case "decimal":
            return number_of(value.decimal)
        case "flag":
            return value.flag
        case _:
            return Unreadable("the property has no value")


def number_of(text: str) -> Number | Unreadable:
    problem = "is not a decimal of at most 64 characters, below 10^30 with at most 30 places"
    return parse_number(text) or Unreadable(f"{text[:70]!r} {problem}")
