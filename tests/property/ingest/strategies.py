"""Events as hypothesis makes them."""

from hypothesis import strategies as st

from libs.tenant import Tenant
from services.ingest.domain.event import Event, LoggedEvent
from services.ingest.domain.number import Number, parse_number

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
properties = st.dictionaries(texts, st.one_of(texts, numbers, st.booleans()), max_size=6)
events = st.builds(
    Event,
    id=texts,
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
    """Events of a slice, by their places in the segment: one at least."""
    places = sorted(draw(st.sets(st.integers(0, 9_999), min_size=1, max_size=12)))
    return [
        LoggedEvent(Tenant(draw(st.integers(1, 3))), place, draw(events), draw(micros))
        for place in places
    ]
