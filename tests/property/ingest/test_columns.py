"""Columns: what goes in comes out, and a selection chooses what a filter would."""

from hypothesis import given
from hypothesis import strategies as st

from libs.tenant import Tenant
from services.ingest.domain.columns import Selection, decode
from services.ingest.domain.event import Event, LoggedEvent
from services.ingest.domain.number import Number
from services.ingest.store.slice_content import pack_content, unpack_content
from tests.property.ingest.strategies import micros, segments
from tests.unit.ingest.events import columns_of


@given(segments())
def test_encoding_loses_nothing(logged: list[LoggedEvent]) -> None:
    packed = pack_content(columns_of(logged))
    assert comparable(decode(unpack_content(packed))) == comparable(logged)


@given(segments())
def test_the_same_events_give_the_same_bytes(logged: list[LoggedEvent]) -> None:
    packed = pack_content(columns_of(logged))
    assert pack_content(columns_of(decode(unpack_content(packed)))) == packed


@given(segments(), st.data())
def test_a_selection_chooses_what_a_filter_would(
    logged: list[LoggedEvent], data: st.DataObject
) -> None:
    events = [entry.event for entry in logged]

    def maybe(values: list[str]) -> st.SearchStrategy[str | None]:
        return st.none() | st.sampled_from([*values, "other"])

    chosen = Selection(
        tenant=Tenant(data.draw(st.integers(1, 3))),
        customer_id=data.draw(maybe([event.customer_id for event in events])),
        type=data.draw(maybe([event.type for event in events])),
        start=data.draw(st.none() | micros),
        end=data.draw(st.none() | micros),
        after_index=data.draw(st.integers(-1, 9_999)),
        rows_max=data.draw(st.none() | st.integers(1, 3)),
    )
    expected = [entry for entry in logged if matches(entry, chosen)][: chosen.rows_max]
    assert comparable(decode(columns_of(logged), chosen)) == comparable(expected)


def matches(entry: LoggedEvent, chosen: Selection) -> bool:
    return (
        entry.tenant == chosen.tenant
        and entry.place > chosen.after_index
        and chosen.customer_id in (None, entry.event.customer_id)
        and chosen.type in (None, entry.event.type)
        and (chosen.start is None or entry.time >= chosen.start)
        and (chosen.end is None or entry.time < chosen.end)
    )


def comparable(logged: list[LoggedEvent]) -> list[object]:
    """Return `logged` with its numbers as values, whatever their digits."""
    return [
        (entry.tenant, entry.place, entry.received, entry.time, fields(entry.event))
        for entry in logged
    ]


def fields(event: Event) -> object:
    properties = {
        key: (type(value), value.canonical() if isinstance(value, Number) else value)
        for key, value in event.properties.items()
    }
    texts = (event.id, event.source, event.type, event.customer_id, event.subscription_id)
    return texts, event.time, event.amount, event.hold_id, properties
