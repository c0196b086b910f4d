"""Requests of events, in either form, as what is recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from libs.errors import FieldInvalid
from services.ingest.domain.candidates import Rules, Submission
from services.ingest.domain.columns_check import NAMES, check_columns
from services.ingest.domain.limits import (
    PROPERTY_COLUMNS_MAX,
    Limits,
    check_batch,
    check_values,
)
from services.ingest.domain.sent_columns import Form, Places, SentColumns, SentValues
from tally.ingest.v1 import bulk_pb2, event_columns_pb2, event_pb2
from tally.ingest.v1 import ingest_service_pb2 as pb
from tally.internal.v1 import packed_columns_pb2 as packed

Rows = pb.RecordEventsRequest | bulk_pb2.EventBatch  # Their events are the same field.

COLUMNS = "columns"
NOTHING = np.zeros(0, np.uint8)


def rows_of(rules: Rules, batch: Rows, *, atomic: bool, path: str = "events") -> Submission:
    """Return events one by one, at `path` of the request, as what is recorded.

    Frees them of unknown fields.

    Raises:
        FieldInvalid: there are none.
        BatchTooLarge: there are too many, or they are too large.
    """
    if not batch.events:
        raise FieldInvalid(path, "is missing")
    check_batch(rules.limits, events=len(batch.events))
    batch.DiscardUnknownFields()
    # Deterministic, so that a rejected event is recognised when it is sent again.
    content = batch.SerializeToString(deterministic=True)
    check_batch(rules.limits, events=len(batch.events), size=len(content))
    return Submission(rules, atomic, len(batch.events), content)


def row_of(rules: Rules, event: event_pb2.Event) -> Submission:
    """Return one event as what is recorded, however large it is: that is a rule of events."""
    batch = pb.RecordEventsRequest(events=[event])
    batch.DiscardUnknownFields()
    return Submission(rules, False, 1, batch.SerializeToString(deterministic=True))


def columns_of(
    rules: Rules, columns: event_columns_pb2.EventColumns, *, atomic: bool
) -> Submission:
    """Return columns as what is recorded, and free them of unknown fields.

    Raises:
        FieldInvalid: there are no events, or a column does not fit the others.
        FieldsInvalid: several do not.
        BatchTooLarge: they are too large, as they are or as events one by one.
    """
    check_batch(rules.limits, events=len(columns.ids), size=columns.ByteSize())
    _check_extent(columns, rules.limits)
    columns.DiscardUnknownFields()
    content = packed.PackedEventColumns.FromString(columns.SerializeToString())
    checked = check_columns(_sent(content), rules.limits, COLUMNS)
    return Submission(rules, atomic, len(checked.columns.ids), checked)


def _check_extent(columns: event_columns_pb2.EventColumns, limits: Limits) -> None:
    """Check what few bytes can make large: no events, columns of one property, texts of no use."""
    events = len(columns.ids)
    if len(columns.properties) > PROPERTY_COLUMNS_MAX:
        problem = f"are {len(columns.properties)}, at most {PROPERTY_COLUMNS_MAX} are allowed"
        raise FieldInvalid(f"{COLUMNS}.properties", problem)
    values = sum(len(one.indexes) or events for one in columns.properties)
    check_values(limits, values=values)
    texts_max = 1 + len(NAMES) * max(events, 1) + values
    if len(columns.texts) > texts_max:
        problem = f"are {len(columns.texts)}, more than these columns can name"
        raise FieldInvalid(f"{COLUMNS}.texts", problem)


def _sent(columns: packed.PackedEventColumns) -> SentColumns:
    return SentColumns(
        texts=list(columns.texts),
        ids=list(columns.ids),
        places={field: _places(getattr(columns, name)) for field, name in NAMES.items()},
        times=np.frombuffer(columns.times, "<i8"),
        untimed=_places(columns.untimed),
        properties=[_values(one) for one in columns.properties],
    )


def _values(sent: packed.PackedPropertyValues) -> SentValues:
    form = Form(sent.WhichOneof("values") or "")
    values: NDArray[Any] = NOTHING
    exponents = NOTHING
    match form:
        case Form.TEXTS:
            values = _places(sent.texts.places)
        case Form.DECIMAL_TEXTS:
            values = _places(sent.decimal_texts.places)
        case Form.DECIMALS:
            values = np.frombuffer(sent.decimals.mantissas, "<i8")
            exponents = np.frombuffer(sent.decimals.exponents, np.uint8)
        case Form.FLAGS:
            values = np.frombuffer(sent.flags.flags, np.uint8)
        case Form.NONE:
            pass
    return SentValues(sent.key, _places(sent.indexes), form, values, exponents)


def _places(content: bytes) -> Places:
    return np.frombuffer(content, "<u4")
