"""The digest: equal for equal content however it is written, and only then.

Who the event is, its source and id, does not belong to the content.
"""

from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.event import Event
from services.ingest.domain.number import Number
from tests.property.ingest.strategies import events, micros, numbers, texts
from tests.unit.ingest.events import read, submission


def digest(event: Event) -> int:
    return int(read(submission(event)).digests[0])


@given(events, st.randoms())
def test_the_order_of_properties_does_not_matter(event: Event, random: Random) -> None:
    shuffled = list(event.properties.items())
    random.shuffle(shuffled)
    assert digest(event._replace(properties=dict(shuffled))) == digest(event)


@given(events, numbers, st.integers(0, 3))
def test_the_spelling_of_a_decimal_does_not_matter(
    event: Event, number: Number, zeros: int
) -> None:
    longer = Number(number.mantissa * 10**zeros, number.exponent - zeros)
    assert digest(event._replace(amount=number)) == digest(event._replace(amount=longer))
    one = event._replace(properties={"v": number})
    assert digest(one) == digest(event._replace(properties={"v": longer}))


@given(events, st.data())
def test_any_other_content_has_another_digest(event: Event, data: st.DataObject) -> None:
    changes: dict[str, st.SearchStrategy[Any]] = {
        "type": texts,
        "time": st.none() | micros,
        "customer_id": texts,
        "subscription_id": texts,
        "amount": st.none() | numbers,
        "hold_id": texts,
        "properties": st.dictionaries(texts, st.one_of(texts, numbers, st.booleans()), max_size=2),
    }
    field = data.draw(st.sampled_from(sorted(changes)))
    change: dict[str, Any] = {field: data.draw(changes[field])}
    changed = event._replace(**change)
    assert (digest(changed) == digest(event)) == (content(changed) == content(event))


@given(texts, texts)
def test_a_text_is_no_decimal_and_an_absent_time_is_no_time(key: str, text: str) -> None:
    base = Event("e", "", "t", None, "c", "", {}, None, "")
    variants: list[Event] = [
        base,
        base._replace(time=0),
        base._replace(properties={key: "1"}),
        base._replace(properties={key: Number(1, 0)}),
        base._replace(properties={key: True}),
        base._replace(properties={key: ""}),
        base._replace(amount=Number(0, 0)),
    ]
    assert len({digest(variant) for variant in variants}) == len(variants)


def test_values_of_other_keys_and_texts_of_other_fields_are_other_content() -> None:
    base = Event("e", "", "a", None, "b", "", {"k": "x", "l": "y"}, None, "")
    variants = [
        base,
        base._replace(properties={"k": "y", "l": "x"}),
        base._replace(properties={"k": "x", "m": "y"}),
        base._replace(properties={"k": "x"}),
        base._replace(properties={"k": "x", "l": "y", "m": ""}),
        base._replace(type="b", customer_id="a"),
        base._replace(subscription_id="h"),
        base._replace(hold_id="h"),
        base._replace(properties={"k": Number(1, 0), "l": Number(2, 0)}),
        base._replace(properties={"k": Number(2, 0), "l": Number(1, 0)}),
        base._replace(properties={"k": Number(1, 1), "l": Number(2, 0)}),
        base._replace(properties={"k": True, "l": False}),
    ]
    assert len({digest(variant) for variant in variants}) == len(variants)


@given(st.integers(1, 200), st.data())
def test_every_byte_of_a_text_counts(length: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, length - 1))
    base = Event("e", "", "t", None, "c", "", {}, None, "")
    text = "a" * length
    variants = [text, text[:place] + "b" + text[place + 1 :], text[:-1], text + "a"]
    found = {digest(base._replace(properties={"key": variant})) for variant in variants}
    assert len(found) == len(variants)


def content(event: Event) -> object:
    """Return what makes two events the same, by value."""

    def value(item: object) -> object:
        if isinstance(item, Number):
            return ("decimal", item.canonical())
        return (type(item).__name__, item)

    properties = {key: value(item) for key, item in event.properties.items()}
    return event._replace(properties={}, amount=None), value(event.amount), properties
