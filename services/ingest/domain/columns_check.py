"""Whether the columns of a request fit each other: if not, nothing of it can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from libs.errors import FieldInvalid, FieldsInvalid
from services.ingest.domain.limits import Limits, check_written_out
from services.ingest.domain.row_form import written_size
from services.ingest.domain.sent_columns import (
    CheckedColumns,
    Form,
    Places,
    SentColumns,
    SentValues,
)
from services.ingest.domain.wire import Field, Flags

NAMES = {
    Field.SOURCE: "sources",
    Field.TYPE: "types",
    Field.CUSTOMER_ID: "customer_ids",
    Field.SUBSCRIPTION_ID: "subscription_ids",
    Field.AMOUNT: "amounts",
    Field.HOLD_ID: "hold_ids",
}
EXPONENT_MAX = 30
CODED_EXPONENT_MAX = 2 * EXPONENT_MAX  # As a zigzag varint; one above 127 takes several bytes.


def check_columns(columns: SentColumns, limits: Limits, path: str) -> CheckedColumns:
    """Return columns that fit each other; `path` leads to them in the request.

    Raises:
        FieldInvalid: one column is at fault.
        FieldsInvalid: several are.
        BatchTooLarge: as rows the events would be too large.
    """
    faults = [
        FieldInvalid(f"{path}.{field}" if field else path, problem)
        for field, problem in _faults(columns)
    ]
    if len(faults) == 1:
        raise faults[0]
    if faults:
        raise FieldsInvalid(faults)
    size = written_size(columns)
    check_written_out(limits, size=size)
    return CheckedColumns(columns, size)


def _faults(columns: SentColumns) -> Iterator[tuple[str, str]]:
    events, texts = len(columns.ids), len(columns.texts)
    if not events:
        yield "ids", "is missing"
    if not texts or columns.texts[0]:
        yield "texts", 'must begin with ""'
    for name, places in ((NAMES[field], places) for field, places in columns.places.items()):
        if len(places) not in (0, 1, events):
            yield name, f"has {len(places)} values for {events} events: one each, one, or none"
        yield from _faults_of_places(name, places, texts)
    if len(columns.times) not in (0, events):
        yield "times", f"has {len(columns.times)} values for {events} events: one each, or none"
    yield from _faults_of_indexes("untimed", columns.untimed, events)
    for number, values in enumerate(columns.properties):
        for name, problem in _faults_of_values(values, events, texts):
            yield f"properties[{number}].{name}", problem
    yield from _faults_of_keys(columns)


def _faults_of_values(values: SentValues, events: int, texts: int) -> Iterator[tuple[str, str]]:
    yield from _faults_of_indexes("indexes", values.indexes, events)
    wanted = len(values.indexes) or events
    match values.form:
        case Form.NONE:
            return
        case Form.TEXTS | Form.DECIMAL_TEXTS:
            name = f"{values.form.value}.places"
            yield from _faults_of_places(name, values.values, texts)
        case Form.DECIMALS:
            name = "decimals.mantissas"
            yield from _faults_of_exponents(values, wanted)
        case Form.FLAGS:
            name = "flags.flags"
    if len(values.values) != wanted:
        yield name, f"has {len(values.values)} values for {wanted} events"


def _faults_of_exponents(values: SentValues, wanted: int) -> Iterator[tuple[str, str]]:
    coded = values.exponents
    if len(coded) and coded.max() > CODED_EXPONENT_MAX:
        yield "decimals.exponents", f"must be from -{EXPONENT_MAX} to {EXPONENT_MAX}"
    elif len(coded) not in (0, 1, wanted):
        problem = f"has {len(coded)} values for {wanted} mantissas: one each, one, or none"
        yield "decimals.exponents", problem


def _faults_of_places(name: str, places: Places, texts: int) -> Iterator[tuple[str, str]]:
    if len(places) and places.max() >= texts:
        yield name, f"names text {places.max()} of {texts}"


def _faults_of_indexes(name: str, indexes: Places, events: int) -> Iterator[tuple[str, str]]:
    if not len(indexes):
        return
    if indexes.max() >= events:
        yield name, f"names event {indexes.max()} of {events}"
    if (indexes[1:] <= indexes[:-1]).any():
        yield name, "must be ascending"


def _faults_of_keys(columns: SentColumns) -> Iterator[tuple[str, str]]:
    """Find values of a key that an event has a value of already."""
    events = len(columns.ids)
    times = Counter(values.key for values in columns.properties)
    taken: dict[bytes, Flags] = {}
    for number, values in enumerate(columns.properties):
        if times[values.key] == 1 or (values.indexes >= events).any():
            continue
        rows = values.rows(events)
        before = taken.setdefault(values.key, np.zeros(events, np.bool_))
        twice = rows[before[rows]]
        if len(twice):
            problem = f"event {twice[0]} has a value of {values.key.decode()[:70]!r} already"
            yield f"properties[{number}].key", problem
        before[rows] = True
