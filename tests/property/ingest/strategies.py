"""Events as hypothesis makes them."""

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st

from libs.tenant import Tenant
from services.ingest.domain.event import Event, LoggedEvent
from services.ingest.domain.number import Number, parse_number
from tally.ingest.v1 import event_pb2 as pb
from tally.ingest.v1.event_pb2 import PropertyValue
from tests.unit.ingest.events import NOW, SECOND

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
micros = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
decimal_texts = st.from_regex(r"\A[+-]?[0-9]{1,25}(\.[0-9]{1,25})?([eE][+-]?[0-4])?\Z")


def _number(text: str) -> Number:
    number = parse_number(text)
    assert number is not None
    return number


def _canonical(number: Number) -> Number:
    return _number(number.canonical())


numbers = decimal_texts.filter(lambda text: parse_number(text) is not None).map(_number)
uuids = st.uuids().map(str)
hexadecimal = st.text("0123456789abcdef", min_size=36, max_size=36)
near_uuids = st.one_of(
    uuids.map(str.upper),
    uuids.map(str.title),
    hexadecimal,
    st.builds(
        lambda uuid, place, other: uuid[:place] + other + uuid[place + 1 :],
        uuids,
        st.integers(0, 35),
        st.sampled_from("-0gG/:`@é"),
    ),
    uuids.map(lambda uuid: uuid.replace("-", "")),
    uuids.map(lambda uuid: uuid + "0"),
    uuids.map(lambda uuid: uuid[1:]),
)
ids = st.one_of(uuids, near_uuids, texts)
properties = st.dictionaries(texts, st.one_of(texts, numbers, st.booleans()), max_size=6)
events = st.builds(
    Event,
    id=ids,
    source=texts,
    type=texts,
    time=st.none() | micros,
    customer_id=texts,
    subscription_id=texts,
    properties=properties,
    amount=st.none() | numbers.map(_canonical),
    hold_id=texts,
)


@st.composite
def segments(draw: st.DrawFn) -> list[LoggedEvent]:
    """Events of a slice, by their places in the segment: one at least.

    Often all of them have the same properties, as they have in life, and ids of one kind.
    """
    places = sorted(draw(st.sets(st.integers(0, 9_999), min_size=1, max_size=12)))
    ids_alike = draw(st.sampled_from([ids, uuids, near_uuids]))
    shared = draw(st.none() | properties)
    made = [
        LoggedEvent(Tenant(draw(st.integers(1, 3))), place, draw(events), draw(micros))
        for place in places
    ]
    return [
        one._replace(
            event=one.event._replace(
                id=draw(ids_alike),
                properties=one.event.properties if shared is None else shared,
            )
        )
        for one in made
    ]


anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)  # NUL, too.
sent_texts = st.one_of(anything, st.sampled_from(["", "x" * 256, "é" * 128, "std_1", "a" * 255]))
sent_values = st.one_of(
    st.just(PropertyValue()),
    st.builds(PropertyValue, text=st.one_of(anything, st.just("v" * 1_025))),
    st.builds(PropertyValue, decimal=st.one_of(decimal_texts, anything)),
    st.builds(PropertyValue, flag=st.booleans()),
)
sent_times = st.builds(
    Timestamp,
    seconds=st.one_of(
        st.integers(-(2**63), 2**63 - 1), st.integers(NOW // SECOND - 10**8, NOW // SECOND + 10**4)
    ),
    nanos=st.one_of(st.integers(-(2**31), 2**31 - 1), st.just(0), st.just(1_000)),
)
sent_properties = st.one_of(
    st.dictionaries(sent_texts, sent_values, max_size=4),
    st.integers(3, 65).map(lambda count: {f"p{n}": PropertyValue(flag=True) for n in range(count)}),
)
sent_events = st.builds(
    pb.Event,
    id=sent_texts | st.uuids(version=4).map(str),
    source=st.just("") | sent_texts,
    type=sent_texts,
    time=st.none() | sent_times,
    customer_id=sent_texts,
    subscription_id=sent_texts,
    properties=sent_properties,
    amount=st.just("") | anything | decimal_texts,
    hold_id=sent_texts,
)
