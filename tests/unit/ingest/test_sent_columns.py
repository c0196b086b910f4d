"""Columns of requests: what fits, what is refused whole, and how large it may become."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from google.protobuf.descriptor import Descriptor

from libs.errors import FieldInvalid, FieldsInvalid
from services.ingest.domain.limits import BatchTooLarge, Limits
from services.ingest.domain.validation import Reason
from tally.ingest.v1.event_columns_pb2 import EventColumns, PropertyValues
from tally.ingest.v1.event_pb2 import Event, PropertyValue
from tally.internal.v1.packed_columns_pb2 import PackedEventColumns
from tests.columns import columns_of, short
from tests.unit.ingest.events import event, message, read, sent_as, sent_in_columns

SENT = [
    message(event("a", subscription_id="s")),
    message(event("b", properties={"model": "small"}, time=None)),
    message(event("c", type="other")),
]


def faults_of(columns: EventColumns) -> list[str]:
    """Return the fields at fault, in order."""
    with pytest.raises((FieldInvalid, FieldsInvalid)) as caught:
        sent_in_columns(columns)
    assert isinstance(caught.value, FieldInvalid | FieldsInvalid)
    return [fault.field for fault in caught.value.faults]


def model_of(columns: EventColumns) -> PropertyValues:
    return next(one for one in columns.properties if one.key == "model")


CHANGES: list[tuple[str, Callable[[EventColumns], object]]] = [
    ("texts", lambda columns: columns.texts.insert(0, "a")),
    ("sources", lambda columns: columns.sources.pop()),
    ("types", lambda columns: columns.types.append(0)),
    ("customer_ids", lambda columns: columns.customer_ids.__setitem__(1, len(columns.texts))),
    ("amounts", lambda columns: columns.amounts.__setitem__(2, 2**32 - 1)),
    ("times", lambda columns: columns.times.pop()),
    ("untimed", lambda columns: columns.untimed.append(0)),
    ("untimed", lambda columns: columns.untimed.append(3)),
    ("untimed", lambda columns: columns.untimed.append(1)),
    ("properties[1].indexes", lambda columns: columns.properties[1].indexes.__setitem__(0, 3)),
    ("properties[1].indexes", lambda columns: columns.properties[1].indexes.reverse()),
]


@pytest.mark.parametrize(("field", "change"), CHANGES)
def test_columns_that_do_not_fit_each_other_are_refused(
    field: str, change: Callable[[EventColumns], object]
) -> None:
    columns = columns_of(SENT)
    change(columns)
    assert f"columns.{field}" in faults_of(columns)


def test_every_column_at_fault_is_named_at_once() -> None:
    columns = columns_of(SENT)
    columns.types.append(0)
    columns.times.pop()
    columns.properties.add(key="model", indexes=[2]).flags.flags.append(True)
    columns.properties.add(key="n").decimals.mantissas.extend([1, 2])
    columns.properties[-1].decimals.exponents.extend([0, 40, 0])
    last = len(columns.properties) - 1
    assert faults_of(columns) == [
        "columns.types",
        "columns.times",
        f"columns.properties[{last}].decimals.exponents",
        f"columns.properties[{last}].decimals.mantissas",
        f"columns.properties[{last - 1}].key",
    ]


def test_what_columns_leave_out_holds_for_all() -> None:
    whole, shortened = columns_of(SENT), short(columns_of(SENT))
    assert len(shortened.SerializeToString()) < len(whole.SerializeToString())
    of_whole, of_short = (read(sent_in_columns(one)) for one in (whole, shortened))
    assert of_short.digests.tolist() == of_whole.digests.tolist()
    assert of_short.times_given.tolist() == [True, False, True]


def test_the_time_of_an_untimed_event_says_nothing() -> None:
    columns = columns_of(SENT)
    columns.times[1] = 2**63 - 1
    of_columns, of_rows = read(sent_in_columns(columns)), read(sent_as(SENT))
    assert not of_columns.faults
    assert of_columns.times.tolist() == of_rows.times.tolist()
    assert of_columns.content(1) == of_rows.content(1)


def test_numbers_that_a_client_splits_are_read_as_one_column() -> None:
    """Protobuf joins the parts of a packed field; bytes it would replace."""
    whole = columns_of(SENT)
    head, tail = EventColumns.FromString(whole.SerializeToString()), EventColumns()
    tail.types.append(head.types.pop())
    split = EventColumns.FromString(head.SerializeToString() + tail.SerializeToString())
    assert read(sent_in_columns(split)).digests.tolist() == read(sent_as(SENT)).digests.tolist()


def test_few_bytes_do_not_become_millions_of_values() -> None:
    columns = EventColumns(texts=["", "x"], ids=map(str, range(10_000)), types=[1])
    columns.properties.extend(PropertyValues(key=f"p{n}") for n in range(65))
    with pytest.raises(BatchTooLarge, match="650000 values"):
        sent_in_columns(columns)
    columns.properties.extend(PropertyValues(key=f"q{n}") for n in range(960))
    assert faults_of(columns) == ["columns.properties"]


def test_texts_that_no_column_could_name_are_refused() -> None:
    columns = columns_of(SENT)
    columns.texts.extend(["x"] * 100)
    assert faults_of(columns) == ["columns.texts"]


def test_one_text_named_again_and_again_is_as_large_as_in_rows() -> None:
    """32 MiB: four times what a request has."""
    columns = EventColumns(texts=["", "t", "v" * 1_000], ids=map(str, range(10_000)))
    columns.types.append(1)
    columns.customer_ids.append(1)
    for number in range(4):
        columns.properties.add(key=f"p{number}").texts.places.extend([2] * 10_000)
    with pytest.raises(BatchTooLarge, match="one by one"):
        sent_in_columns(columns)
    del columns.properties[3:]
    assert sent_in_columns(columns).size > 30_000_000
    with pytest.raises(BatchTooLarge, match="one by one"):
        sent_in_columns(columns, limits=Limits(request_bytes_max=4_000_000))


def test_the_size_as_rows_is_about_that_of_rows() -> None:
    """It decides who fits into a group."""
    of_columns, of_rows = sent_in_columns(columns_of(SENT)), sent_as(SENT)
    assert abs(of_columns.size - of_rows.size) < 0.25 * of_rows.size


def test_an_event_is_too_large_by_what_it_is_as_a_row() -> None:
    sent = message(event("a", properties={"p": "v" * 100}))
    size = len(sent.SerializeToString())
    for limit, faults in ((size, []), (size - 1, [Reason.EVENT_TOO_LARGE])):
        limits = Limits(event_bytes_max=limit)
        found = read(sent_in_columns(columns_of([sent]), limits=limits)).faults
        assert [fault.reason for fault in found.values()] == faults


def test_an_event_with_too_many_properties_is_rejected_alone() -> None:
    many = Event(id="1", type="t", customer_id="c")
    for number in range(65):
        many.properties[f"p{number:02}"].flag = True
    candidates = read(sent_in_columns(columns_of([many, *SENT])))
    [(row, fault)] = candidates.faults.items()
    assert (row, fault.reason) == (0, Reason.PROPERTIES_TOO_MANY)
    assert 0 not in candidates.properties.rows
    assert candidates.content(0) == many.SerializeToString(deterministic=True)


def test_a_rejected_event_is_kept_as_the_bytes_that_a_row_has() -> None:
    """Protobuf writes the key "p10" before "p1"."""
    keys = ["p1", "p10", "p2", "", "é"]
    sent = Event(id="", source="s", properties={key: PropertyValue(flag=True) for key in keys})
    sent.time.seconds = -1
    columns, rows = read(sent_in_columns(columns_of([sent]))), read(sent_as([sent]))
    assert columns.content(0) == rows.content(0)
    assert columns.faults == rows.faults


def test_the_packed_twin_has_the_fields_of_columns() -> None:
    assert shape(PackedEventColumns.DESCRIPTOR) == shape(EventColumns.DESCRIPTOR)


def shape(message: Descriptor) -> object:
    """Return the numbers and names of fields, of inner messages too."""
    return {
        (field.number, field.name, field.containing_oneof and field.containing_oneof.name): (
            field.message_type and shape(field.message_type)
        )
        for field in message.fields
    }
