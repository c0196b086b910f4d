"""A batch: several slices as one set of columns, so that they are folded at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from libs.quantity import find_quantity
from services.rating.domain.columns import (
    EXPONENT_MAX,
    EXPONENT_MIN,
    Ints,
    Kind,
    PropertyColumn,
    Slice,
    Strings,
    event_at,
    ints,
    join_decimal,
    split_decimal,
    tuples,
)
from services.rating.domain.event import Moment, UsageEvent
from services.rating.domain.value import text_of

Flags = npt.NDArray[np.bool_]

UNPLACED = -1


@dataclass(frozen=True, slots=True)
class Numbers:
    """A property as numbers, one a row: `mantissas` * 10^`exponents` where `known`.

    Where `odd`, there may be a number, or text, of which only reading it alone can tell.
    """

    mantissas: Ints
    exponents: Ints
    known: Flags
    odd: Flags


class _Moved:
    """The strings of a slice by their places in the batch; each gets one when it is used first."""

    def __init__(self, own: Sequence[str], strings: Strings) -> None:
        self._own = own
        self._strings = strings
        self._places = np.full(len(own), UNPLACED, dtype=np.int64)

    def places(self, column: Ints) -> Ints:
        """Return a column of places in the slice as one of places in the batch."""
        places = self._places[column]
        unplaced = column[places == UNPLACED]
        if not len(unplaced):
            return places
        is_new = np.zeros(len(self._places), dtype=np.bool_)
        is_new[unplaced] = True
        found = np.flatnonzero(is_new)
        self._places[found] = self._strings.place_all([self._own[each] for each in found.tolist()])
        moved: Ints = self._places[column]
        return moved

    def column(self, column: PropertyColumn, offset: int) -> PropertyColumn:
        """Return a column of the slice as one of the batch, in which it begins at `offset`."""
        named = column.kind is Kind.TEXT or column.kind is Kind.LARGE_DECIMAL
        return PropertyColumn(
            name=column.name,
            kind=column.kind,
            rows=column.rows + offset,
            values=self.places(column.values) if named else column.values,
            exponents=column.exponents,
        )


@dataclass(slots=True)
class Batch:
    """The events of `slices`, one a row, in their order; texts by their place in `strings`."""

    slices: Sequence[Slice]
    strings: Strings
    pieces: Ints  # The place of each row's slice in `slices`.
    tenants: Ints
    customers: Ints
    subscriptions: Ints
    types: Ints
    times: Ints
    amounts: Ints
    # Where each event stands in the log: shard, number of the segment, place there.
    log_places: tuple[Ints, Ints, Ints]
    ranked: Sequence[Slice]  # The slices by number.
    ranks: Ints  # The place of each row's slice in `ranked`.
    _offsets: Ints  # The first row of each slice.
    _moved: Sequence[_Moved]  # The strings of each slice.
    _columns: dict[str, list[PropertyColumn]] = field(default_factory=dict)
    _listed: list[str] = field(default_factory=list)
    _texts: dict[str, Ints] = field(default_factory=dict)
    _numbers: dict[str, Numbers] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.tenants)

    def text(self, place: int) -> str:
        """Return a string by its place."""
        return (self._listed if place < len(self._listed) else self.listed())[place]

    def listed(self) -> Sequence[str]:
        """Return all strings there are so far, each at its place."""
        if len(self._listed) < len(self.strings.places):
            self._listed = list(self.strings.places)
        return self._listed

    def columns(self, name: str) -> Sequence[PropertyColumn]:
        """Return the columns of a property, with the rows and strings of the batch.

        What no meter reads is never looked at: it may have a text of its own in every event.
        """
        if name not in self._columns:
            self._columns[name] = [
                moved.column(column, offset)
                for piece, moved, offset in zip(
                    self.slices, self._moved, self._offsets.tolist(), strict=True
                )
                for column in piece.columns.properties
                if column.name == name
            ]
        return self._columns[name]

    def texts(self, name: str) -> Ints:
        """Return a property as `text_of` gives it, one a row: places in the strings."""
        if name not in self._texts:
            self._texts[name] = self.texts_in(self.columns(name))
        return self._texts[name]

    def texts_in(self, columns: Sequence[PropertyColumn]) -> Ints:
        """Return the `columns` of one property as texts, one a row."""
        found = np.zeros(len(self), dtype=np.int64)  # Where there is none, it is "".
        for column in columns:
            found[column.rows] = self._column_texts(column)
        return found

    def numbers(self, name: str) -> Numbers:
        """Return a property as `parse_value` gives it, one a row."""
        if name not in self._numbers:
            self._numbers[name] = self.numbers_in(self.columns(name))
        return self._numbers[name]

    def numbers_in(self, columns: Sequence[PropertyColumn]) -> Numbers:
        """Return the `columns` of one property as numbers, one a row."""
        count = len(self)
        numbers = Numbers(
            np.zeros(count, dtype=np.int64),
            np.zeros(count, dtype=np.int64),
            np.zeros(count, dtype=np.bool_),
            np.zeros(count, dtype=np.bool_),
        )
        for column in columns:
            self._add_numbers(numbers, column)
        return numbers

    def moment(self, row: int) -> Moment:
        """Return where an event stands among all."""
        piece = int(self.pieces[row])
        at = self.slices[piece]
        place = int(at.columns.indexes[row - self._offsets[piece]])
        return Moment(int(self.times[row]), at.shard, at.number, place)

    def moments(self, rows: Ints) -> Iterator[Moment]:
        """Give where the events of `rows` stand among all, one by one."""
        columns = (self.times, *self.log_places)
        return tuples(Moment, *(column[rows].tolist() for column in columns))

    def event(self, row: int) -> UsageEvent:
        """Return an event with all its properties."""
        piece = int(self.pieces[row])
        at = self.slices[piece]
        within = row - int(self._offsets[piece])
        return event_at(at.columns, within, shard=at.shard, number=at.number)

    def _column_texts(self, column: PropertyColumn) -> Ints:
        if column.kind is Kind.TEXT or column.kind is Kind.LARGE_DECIMAL:
            return column.values
        place = self.strings.place
        if column.kind is Kind.FLAG:
            written = ints((place("false"), place("true")))
            return written[column.values]
        assert column.exponents is not None
        pairs = zip(column.values.tolist(), column.exponents.tolist(), strict=True)
        known: dict[tuple[int, int], int] = {}
        return ints(
            known[pair]
            if pair in known
            else known.setdefault(pair, place(text_of(join_decimal(*pair))))
            for pair in pairs
        )

    def _add_numbers(self, numbers: Numbers, column: PropertyColumn) -> None:
        rows = column.rows
        match column.kind:
            case Kind.DECIMAL:
                assert column.exponents is not None
                zero = column.values == 0  # Whatever its exponent was.
                exponents = np.where(zero, 0, column.exponents)
                known = (EXPONENT_MIN <= exponents) & (exponents <= EXPONENT_MAX)
                numbers.mantissas[rows], numbers.exponents[rows] = column.values, exponents
                numbers.known[rows], numbers.odd[rows] = known, ~known
            case Kind.TEXT:
                self._add_written_numbers(numbers, column)
            case Kind.LARGE_DECIMAL:
                numbers.odd[rows] = True
            case Kind.FLAG:
                pass  # No number.

    def _add_written_numbers(self, numbers: Numbers, column: PropertyColumn) -> None:
        """Read each distinct text once."""
        rows = column.rows
        distinct, inverse = np.unique(column.values, return_inverse=True)
        quantities = [find_quantity(self.text(place)) for place in distinct.tolist()]
        splits = [None if each is None else split_decimal(each) for each in quantities]
        numbers.mantissas[rows] = ints(split[0] if split else 0 for split in splits)[inverse]
        numbers.exponents[rows] = ints(split[1] if split else 0 for split in splits)[inverse]
        is_known = np.array([split is not None for split in splits], dtype=np.bool_)
        is_number = np.array([each is not None for each in quantities], dtype=np.bool_)
        numbers.known[rows] = is_known[inverse]
        numbers.odd[rows] = (is_number & ~is_known)[inverse]


def join(slices: Sequence[Slice]) -> Batch:
    """Return the events of `slices` as one batch."""
    strings = Strings()
    counts = [len(each.columns) for each in slices]
    offsets = ints([0, *np.cumsum(counts).tolist()])[:-1] if slices else ints([])
    moved = [_Moved(each.columns.strings, strings) for each in slices]
    parts = [each.columns for each in slices]
    zipped = list(zip(parts, moved, strict=True))
    pieces = np.repeat(np.arange(len(slices)), counts)
    numbers = ints(each.number for each in slices)
    by_number = np.argsort(numbers, kind="stable")
    return Batch(
        slices=slices,
        strings=strings,
        pieces=pieces,
        tenants=_joined([part.tenants for part in parts]),
        customers=_joined([own.places(part.customers) for part, own in zipped]),
        subscriptions=_joined([own.places(part.subscriptions) for part, own in zipped]),
        types=_joined([own.places(part.types) for part, own in zipped]),
        times=_joined([part.times for part in parts]),
        amounts=_joined([own.places(part.amounts) for part, own in zipped]),
        log_places=(
            ints(each.shard for each in slices)[pieces],
            numbers[pieces],
            _joined([part.indexes for part in parts]),
        ),
        ranked=[slices[piece] for piece in by_number.tolist()],
        ranks=np.argsort(by_number)[pieces],
        _offsets=offsets,
        _moved=moved,
    )


def _joined(columns: Sequence[Ints]) -> Ints:
    return np.concatenate(columns) if columns else ints([])
