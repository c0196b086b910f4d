"""Columns: what goes in comes out, and a selection chooses what a filter would."""

import re
from decimal import Decimal
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from libs.tenant import Tenant
from services.ingest.domain.columns import Selection, decode
from services.ingest.domain.event import Event, LoggedEvent, Unreadable
from services.ingest.domain.number import Number
from services.ingest.domain.texts import laid_out
from services.ingest.domain.uuids import find_uuids, uuid_texts
from services.ingest.store.slice_content import pack_content, unpack_content
from services.rating.domain.columns import event_at
from services.rating.domain.event import Moment, UsageEvent
from services.rating.events import read_slice
from tally.ingest.v1 import segment_pb2
from tests.property.ingest.strategies import ids, micros, segments
from tests.unit.ingest.events import columns_of

CANONICAL = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@given(segments())
def test_encoding_loses_nothing(logged: list[LoggedEvent]) -> None:
    packed = pack_content(columns_of(logged))
    assert comparable(decode(unpack_content(packed))) == comparable(logged)


@given(segments())
def test_the_same_events_give_the_same_bytes(logged: list[LoggedEvent]) -> None:
    packed = pack_content(columns_of(logged))
    assert pack_content(columns_of(decode(unpack_content(packed)))) == packed


@given(segments())
def test_rating_reads_the_events_that_ingest_wrote(logged: list[LoggedEvent]) -> None:
    content = pack_content(columns_of(logged))
    columns = read_slice(segment_pb2.Slice(shard=0, number=1, content=content)).columns
    read = [event_at(columns, row, shard=0, number=1) for row in range(len(columns))]
    assert read == [
        UsageEvent(
            tenant=one.tenant,
            customer_id=one.event.customer_id,
            subscription_id=one.event.subscription_id,
            type=one.event.type,
            moment=Moment(one.time, 0, 1, one.place),
            properties={key: value_of(value) for key, value in one.event.properties.items()},
            amount=None if one.event.amount is None else decimal_of(one.event.amount),
        )
        for one in logged
    ]


@given(st.lists(ids, max_size=20))
def test_ids_are_the_16_bytes_that_python_reads_in_them(texts: list[str]) -> None:
    are_uuids, uuids = find_uuids(*laid_out([text.encode() for text in texts])[1:])
    expected = [UUID(text).bytes if CANONICAL.fullmatch(text) else None for text in texts]
    assert are_uuids.tolist() == [uuid is not None for uuid in expected]
    assert [uuid.tobytes() for uuid in uuids] == [uuid or bytes(16) for uuid in expected]
    assert uuid_texts(uuids[are_uuids]) == [text for text in texts if CANONICAL.fullmatch(text)]


@given(segments(), st.data())
def test_a_selection_chooses_what_a_filter_would(
    logged: list[LoggedEvent], data: st.DataObject
) -> None:
    events = [entry.event for entry in logged]

    def maybe(values: list[str]) -> st.SearchStrategy[str | None]:
        return st.none() | st.sampled_from([*values, "other"])

    chosen = Selection(
        tenant=Tenant(data.draw(st.integers(1, 3))),
        id=data.draw(maybe([event.id for event in events])),
        hidden=frozenset(data.draw(st.sets(st.sampled_from([one.place for one in logged])))),
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
        and entry.place not in chosen.hidden
        and chosen.id in (None, entry.event.id)
        and chosen.customer_id in (None, entry.event.customer_id)
        and chosen.type in (None, entry.event.type)
        and (chosen.start is None or entry.time >= chosen.start)
        and (chosen.end is None or entry.time < chosen.end)
    )


def value_of(value: object) -> object:
    return decimal_of(value) if isinstance(value, Number) else value


def decimal_of(number: Number | Unreadable) -> Decimal:
    assert not isinstance(number, Unreadable)
    return Decimal(number.canonical())


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
