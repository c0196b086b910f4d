"""Candidates as the columns of slices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from libs.planes import to_planes
from services.ingest.domain.candidates import Candidates
from services.ingest.domain.columns import (
    INT8,
    INT32,
    INT64,
    UINT8,
    UINT32,
    UUID,
    Columns,
    Kind,
    PropertyColumn,
)
from services.ingest.domain.properties import Properties
from services.ingest.domain.wire import Field, Ints


def encode(candidates: Candidates, rows: Ints, indexes: Ints) -> Columns:
    """Return the columns of the events in `rows`, one at least; none of them is at fault.

    `indexes` are their places in the segment, ascending. The same events give the same columns.
    """
    return encode_parts(candidates, [rows], [indexes])[0]


def encode_parts(
    candidates: Candidates, parts: Sequence[Ints], indexes: Sequence[Ints]
) -> list[Columns]:
    """Return the columns of each of several parts, as `encode` does; no two share a row."""
    properties = _properties_of(candidates, parts)
    return [
        _encode(candidates, rows, places, own)
        for rows, places, own in zip(parts, indexes, properties, strict=True)
    ]


def _encode(candidates: Candidates, rows: Ints, indexes: Ints, properties: Properties) -> Columns:
    strings = _Strings(candidates, rows, properties)
    are_uuids = candidates.are_uuids[rows]
    others = np.flatnonzero(~are_uuids)

    def places(field: Field) -> bytes:
        return strings.places(candidates.places[field][rows])

    return Columns(
        event_count=len(rows),
        strings=strings.texts,
        indexes=to_planes(indexes, INT32),
        tenants=to_planes(candidates.tenants[rows], INT32),
        uuids=to_planes(candidates.uuids[rows[are_uuids]].view(UUID).reshape(-1), UUID),
        ids=tuple(candidates.ids[row].decode() for row in rows[others].tolist()),
        id_rows=_rows(others, len(rows)),
        sources=places(Field.SOURCE),
        types=places(Field.TYPE),
        customer_ids=places(Field.CUSTOMER_ID),
        subscription_ids=places(Field.SUBSCRIPTION_ID),
        amounts=places(Field.AMOUNT),
        hold_ids=places(Field.HOLD_ID),
        times=to_planes(candidates.times[rows], INT64),
        times_given=to_planes(candidates.times_given[rows], UINT8),
        received_times=to_planes(candidates.received[rows], INT64),
        properties=tuple(_property_columns(candidates, properties, strings, len(rows))),
    )


def _rows(rows: Ints, events: int) -> bytes:
    """Return `rows`, ascending; nothing if they are all there are."""
    return b"" if len(rows) == events else to_planes(rows, INT32)


class _Strings:
    """The texts of a slice by their places in it: "" first, the others in the group's order."""

    def __init__(self, candidates: Candidates, rows: Ints, properties: Properties) -> None:
        used = np.zeros(len(candidates.texts), np.bool_)
        used[0] = True
        for of_field in candidates.places.values():
            used[of_field[rows]] = True
        used[properties.values[properties.are_texts]] = True
        self._places = (np.cumsum(used) - 1).astype(UINT32)
        self.texts = tuple(
            candidates.texts[place].decode() for place in np.flatnonzero(used).tolist()
        )

    def places(self, of_group: Ints) -> bytes:
        """Return the places in the slice, as uint32, of places in the group."""
        return to_planes(self._places[of_group], UINT32)


def _properties_of(candidates: Candidates, parts: Sequence[Ints]) -> list[Properties]:
    """Return the properties of each part, by name, kind and event; rows are places in the part."""
    properties = candidates.properties
    part_of = np.full(len(candidates.ids), len(parts))
    positions = np.zeros(len(candidates.ids), np.int64)
    for number, rows in enumerate(parts):
        part_of[rows] = number
        positions[rows] = np.arange(len(rows))
    owners = part_of[properties.rows]
    if owners.max(initial=0) == len(parts):  # Some events are in none.
        chosen = np.flatnonzero(owners < len(parts))
        properties, owners = properties.at(chosen), owners[chosen]
    columns = (int(properties.ranks.max(initial=0)) + 1) * len(Kind)
    codes = owners * columns + properties.ranks * len(Kind) + properties.kinds - 1
    short = len(parts) * columns <= 1 << 16
    order = np.argsort(codes.astype(np.uint16) if short else codes, kind="stable")  # Radix.
    ordered = replace(properties.at(order), rows=positions[properties.rows[order]])
    bounds = np.searchsorted(owners[order], np.arange(len(parts) + 1)).tolist()
    return [ordered.at(slice(first, after)) for first, after in pairwise(bounds)]


def _property_columns(
    candidates: Candidates, properties: Properties, strings: _Strings, events: int
) -> Iterator[PropertyColumn]:
    """Cut at every new name or kind."""
    names, kinds = properties.names, properties.kinds
    new = (names[1:] != names[:-1]) | (kinds[1:] != kinds[:-1])
    cuts = [0, *(np.flatnonzero(new) + 1).tolist(), len(names)]
    for first, after in pairwise(cuts):
        run = properties.at(slice(first, after))
        if not len(run.rows):
            return  # There are no properties at all.
        name = candidates.texts[run.names[0]].decode()
        kind, rows = Kind(run.kinds[0]), _rows(run.rows, events)
        match kind:
            case Kind.TEXT | Kind.LARGE_DECIMAL:
                yield PropertyColumn(name, kind, rows, strings.places(run.values))
            case Kind.DECIMAL:
                mantissas = to_planes(run.values, INT64)
                exponents = to_planes(run.exponents, INT8)
                yield PropertyColumn(name, kind, rows, mantissas, exponents)
            case Kind.FLAG:
                yield PropertyColumn(name, kind, rows, to_planes(run.values, UINT8))
