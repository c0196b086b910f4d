"""Reading requests of events as columns: what repeats is looked at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import numpy as np

from services.ingest.domain import wire
from services.ingest.domain.columns import Kind
from services.ingest.domain.decimals import UNREADABLE, read_amounts, read_decimals
from services.ingest.domain.event import (
    MICROS_PER_SECOND,
    Event,
    PropertyValue,
    Unreadable,
    parse_time,
)
from services.ingest.domain.number import WHOLE_DIGITS_MAX
from services.ingest.domain.part import SHARED, Part
from services.ingest.domain.properties import SentProperties
from services.ingest.domain.row_form import (
    EVENT_BYTES_MAX,
    KINDS,
    VALUE_BYTES_MAX,
    decimal_text,
    digit_counts,
    order_of,
    write_entry,
    write_event,
)
from services.ingest.domain.sent import sent_number
from services.ingest.domain.sent_columns import CheckedColumns, Form, Places, SentColumns
from services.ingest.domain.texts import Texts, laid_out
from services.ingest.domain.wire import Field, Flags, Ints, Times

NO_VALUE = 0
SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
FORMS = tuple(Form)
INT64_MIN = -(2**63)


@dataclass(frozen=True, slots=True)
class _Values:
    """The values of the properties of all events, as sent, by event and then by key."""

    rows: Ints
    keys: Ints  # Places in `key_texts`.
    key_texts: Sequence[bytes]
    forms: Ints  # Places in FORMS.
    values: Ints  # Places of texts, mantissas, or 0 and 1.
    exponents: Ints

    def are(self, *forms: Form) -> Flags:
        """Tell which values have one of `forms`."""
        chosen = np.array([form in forms for form in FORMS])
        are: Flags = chosen[self.forms]
        return are

    @property
    def content(self) -> tuple[Ints, Ints, Ints]:
        """What two properties have in common that are written alike: a key has one form."""
        return self.keys, self.values, self.exponents

    def as_written(self, chosen: Ints) -> Ints:
        """Return the places of the properties of the events `chosen`, in the order of rows."""
        is_chosen = np.zeros(max(self.rows.max(initial=0), chosen.max(initial=0)) + 1, np.bool_)
        is_chosen[chosen] = True
        places = np.flatnonzero(is_chosen[self.rows])
        by_key = sorted(range(len(self.key_texts)), key=lambda key: order_of(self.key_texts[key]))
        ranks = np.empty(len(by_key), np.int64)
        ranks[by_key] = np.arange(len(by_key))
        return places[np.lexsort((ranks[self.keys[places]], self.rows[places]))]


@dataclass(frozen=True, slots=True)
class SentTable:
    """Events of columns one by one. Places lead into the texts of all their requests."""

    texts: Sequence[bytes]
    ids: Sequence[bytes]
    places: dict[Field, Ints]
    times: Ints
    times_given: Flags
    values: _Values
    read: Ints  # Places of the values that the part has as its properties.

    def event(self, row: int, among: Sequence[int] | None = None) -> Event:
        """Return the event in `row`; what breaks its grammar is Unreadable.

        With the properties `among` these places of the part's, or with all.
        """
        chosen = self._places_of(row) if among is None else self.read[list(among)].tolist()
        text = {field: self._text(field, row).decode() for field in self.places}
        amount = text[Field.AMOUNT]
        return Event(
            id=self.ids[row].decode(),
            source=text[Field.SOURCE],
            type=text[Field.TYPE],
            time=parse_time(*self._time(row)) if self.times_given[row] else None,
            customer_id=text[Field.CUSTOMER_ID],
            subscription_id=text[Field.SUBSCRIPTION_ID],
            properties={
                key.decode(): _value_of(kind, value)
                for key, kind, value in self._properties(chosen)
            },
            amount=sent_number(amount) if amount else None,
            hold_id=text[Field.HOLD_ID],
        )

    def contents(self, rows: Sequence[int]) -> list[bytes]:
        """Return the events in `rows`, ascending, as serialized Events."""
        chosen = np.array(rows, np.int64)
        given = self.times_given[chosen].tolist()
        times = self.times[chosen].tolist()
        of_rows = zip(rows, given, times, self._entries(chosen), strict=True)
        return [
            write_event(
                [
                    (Field.ID, self.ids[row]),
                    *((field, self._text(field, row)) for field in self.places),
                ],
                time if is_given else None,
                entries,
            )
            for row, is_given, time, entries in of_rows
        ]

    def _entries(self, chosen: Ints) -> Iterator[list[bytes]]:
        """Give the properties of each event as a row has them, in that order.

        Equal ones are written once: columns may name the same few 640,000 times.
        """
        values = self.values
        places = values.as_written(chosen)
        like = zip(*(column[places].tolist() for column in values.content), strict=True)
        written: dict[tuple[int, ...], bytes] = {}
        entries = []
        for place, content in zip(places.tolist(), like, strict=True):
            entry = written.get(content)
            if entry is None:
                [named] = self._properties([place])
                entry = written[content] = write_entry(*named)
            entries.append(entry)
        owners = values.rows[places]
        firsts, afters = (np.searchsorted(owners, chosen, side) for side in SIDES)
        for first, after in zip(firsts.tolist(), afters.tolist(), strict=True):
            yield entries[first:after]

    def _text(self, field: Field, row: int) -> bytes:
        place: int = self.places[field][row]
        return self.texts[place]

    def _time(self, row: int) -> tuple[int, int]:
        seconds, micros = divmod(int(self.times[row]), MICROS_PER_SECOND)
        return seconds, micros * 1_000

    def _places_of(self, row: int) -> Iterable[int]:
        first, after = np.searchsorted(self.values.rows, [row, row + 1]).tolist()
        return range(first, after)

    def _properties(self, places: Iterable[int]) -> Iterator[tuple[bytes, wire.Kind, bytes]]:
        """Give key, kind and value of the properties at `places`, as a row has them."""
        values = self.values
        for place in places:
            form, value = FORMS[values.forms[place]], int(values.values[place])
            key = values.key_texts[values.keys[place]]
            match form:
                case Form.NONE:
                    yield key, wire.Kind.NONE, b""
                case Form.TEXTS | Form.DECIMAL_TEXTS:
                    yield key, KINDS[form], self.texts[value]
                case Form.DECIMALS:
                    text = decimal_text(value, int(values.exponents[place]))
                    yield key, wire.Kind.DECIMAL, text.encode()
                case Form.FLAGS:
                    yield key, wire.Kind.FLAG, bytes([value])


def read_columns(requests: Sequence[CheckedColumns], texts: Texts, *, properties_max: int) -> Part:
    """Return the events of `requests`, one request behind the other."""
    sent = _lay_out([one.columns for one in requests])
    values = sent.values
    counts = np.bincount(values.rows, minlength=len(sent.ids))
    too_many = counts > properties_max
    if too_many.any():
        sent = replace(sent, read=np.flatnonzero(~too_many[values.rows]))
    places = _places_of(sent, texts)
    seconds, micros = np.divmod(sent.times, MICROS_PER_SECOND)
    return Part(
        ids=sent.ids,
        sizes=_sizes(sent),
        times=Times(sent.times_given, seconds, micros * 1_000),
        places={
            **{field: places[sent.places[field]] for field in SHARED},
            Field.AMOUNT: _amounts(sent, texts),
        },
        properties=_properties(sent, places, texts),
        unread=np.flatnonzero(too_many),
        sent=sent,
    )


def _lay_out(requests: Sequence[SentColumns]) -> SentTable:
    counts = [len(one.ids) for one in requests]
    texts = [one.texts for one in requests]
    starts = [0, *np.cumsum([len(one) for one in texts]).tolist()]

    def column(field: Field) -> Ints:
        return np.concatenate(
            [
                _spread(one.places[field], count) + start
                for one, count, start in zip(requests, counts, starts, strict=False)
            ]
        )

    given = np.concatenate([one.times_given for one in requests])
    times = np.concatenate(
        [one.times if len(one.times) else np.zeros(len(one.ids), np.int64) for one in requests]
    )
    values = _values_of(requests, starts)
    return SentTable(
        texts=list(chain.from_iterable(texts)),
        ids=list(chain.from_iterable(one.ids for one in requests)),
        places={field: column(field) for field in (*SHARED, Field.AMOUNT)},
        times=times,
        times_given=given,
        values=values,
        read=np.arange(len(values.rows)),
    )


def _spread(places: Places, count: int) -> Ints:
    """Return one place an event: as many as there are, the one for all, or that of ""."""
    if len(places) == count:
        return places.astype(np.int64)
    return np.full(count, places[0] if len(places) else 0, np.int64)


def _values_of(requests: Sequence[SentColumns], text_starts: Sequence[int]) -> _Values:
    """Return the values of all requests, sorted by event; keys come sorted."""
    row_start = 0
    rows, values, exponents = ([np.zeros(0, np.int64)] for _ in range(3))
    keys: list[bytes] = []
    forms: list[int] = []
    for request, text_start in zip(requests, text_starts, strict=False):
        count = len(request.ids)
        for one in sorted(request.properties, key=lambda values: values.key):
            rows.append(one.rows(count) + row_start)
            keys.append(one.key)
            forms.append(FORMS.index(one.form))
            is_text = one.form in (Form.TEXTS, Form.DECIMAL_TEXTS)
            own = one.values.astype(np.int64) + text_start * is_text
            values.append(own if one.form is not Form.NONE else np.full(len(rows[-1]), NO_VALUE))
            exponents.append(
                one.powers() if one.form is Form.DECIMALS else np.zeros(len(rows[-1]), np.int64)
            )
        row_start += count
    lengths = [len(one) for one in rows[1:]]
    owners = np.concatenate(rows)
    order = _order(owners, row_start)
    return _Values(
        rows=owners[order],
        keys=np.repeat(np.arange(len(keys)), lengths)[order],
        key_texts=keys,
        forms=np.repeat(np.array(forms, np.int64), lengths)[order],
        values=np.concatenate(values)[order],
        exponents=np.concatenate(exponents)[order],
    )


def _order(rows: Ints, count: int) -> Ints:
    """Return the places of `rows` in ascending order; equal ones stay in theirs."""
    short = rows.astype(np.uint16) if count <= 1 << 16 else rows  # Sorted by radix.
    return np.argsort(short, kind="stable")


def _places_of(sent: SentTable, texts: Texts) -> Ints:
    """Return the group's places of the texts that columns name as such; 0 for the others."""
    used = np.zeros(len(sent.texts), np.bool_)
    for field in SHARED:
        used[sent.places[field]] = True
    values, read = sent.values, sent.read
    used[values.values[read[values.are(Form.TEXTS)[read]]]] = True
    named = np.flatnonzero(used)
    places = np.zeros(len(used), np.int64)
    places[named] = texts.places_of([sent.texts[place] for place in named.tolist()])
    return places


def _amounts(sent: SentTable, texts: Texts) -> Ints:
    named, places = np.unique(sent.places[Field.AMOUNT], return_inverse=True)
    return read_amounts([sent.texts[place] for place in named.tolist()], texts)[places]


def _sizes(sent: SentTable) -> Ints:
    """Return how many bytes each event has as a row at most."""
    lengths = np.fromiter(map(len, sent.texts), np.int64, len(sent.texts))
    sizes = EVENT_BYTES_MAX + np.fromiter(map(len, sent.ids), np.int64, len(sent.ids))
    for places in sent.places.values():
        sizes += lengths[places]
    values = sent.values
    if len(values.rows):
        keys = np.array([len(key) for key in values.key_texts], np.int64)
        is_text = values.are(Form.TEXTS, Form.DECIMAL_TEXTS)
        of_texts = np.where(is_text, lengths[np.where(is_text, values.values, 0)], 0)
        of_values = keys[values.keys] + of_texts + VALUE_BYTES_MAX
        new = np.flatnonzero(np.diff(values.rows, prepend=-1))
        sizes[values.rows[new]] += np.add.reduceat(of_values, new)
    return sizes


def _properties(sent: SentTable, places: Ints, texts: Texts) -> SentProperties:
    """Return the properties that are read; `places` are those of texts in the group."""
    values = sent.values
    names = np.array([texts.place(key) for key in values.key_texts], np.int64)
    kinds = np.full(len(values.rows), UNREADABLE, np.int64)
    own, exponents = np.zeros_like(values.values), np.zeros_like(values.values)
    chosen = values.are(Form.TEXTS)
    kinds[chosen], own[chosen] = Kind.TEXT, places[values.values[chosen]]
    chosen = values.are(Form.FLAGS)
    kinds[chosen], own[chosen] = Kind.FLAG, values.values[chosen]
    chosen = values.are(Form.DECIMALS)
    if chosen.any():
        decimals = _decimals(values.values[chosen], values.exponents[chosen], texts)
        kinds[chosen], own[chosen], exponents[chosen] = decimals
    chosen = values.are(Form.DECIMAL_TEXTS)
    if chosen.any():
        decimals = _decimal_texts(sent.texts, values.values[chosen], texts)
        kinds[chosen], own[chosen], exponents[chosen] = decimals
    found = SentProperties(values.rows, names[values.keys], kinds, own, exponents)
    return found if len(sent.read) == len(kinds) else found.at(sent.read)


def _decimals(mantissas: Ints, exponents: Ints, texts: Texts) -> tuple[Ints, Ints, Ints]:
    """Return kind, value and exponent of each decimal, as `read_decimals` does."""
    good = digit_counts(mantissas) + exponents <= WHOLE_DIGITS_MAX
    good |= mantissas == 0
    kinds = np.where(good, np.int64(Kind.DECIMAL), UNREADABLE)
    powers = np.where(mantissas == 0, 0, exponents)
    large = np.flatnonzero(mantissas == INT64_MIN)  # Alone in not having its negative.
    if len(large):
        written = [decimal_text(INT64_MIN, power) for power in exponents[large].tolist()]
        data, octets, spans = laid_out([text.encode() for text in written])
        found = read_decimals(data, octets, spans, texts)
        mantissas = mantissas.copy()
        kinds[large], mantissas[large], powers[large] = found
    return kinds, mantissas, powers


def _decimal_texts(sent: Sequence[bytes], places: Ints, texts: Texts) -> tuple[Ints, Ints, Ints]:
    """Return kind, value and exponent of the decimals at `places`; each text is read once."""
    named, rows = np.unique(places, return_inverse=True)
    data, octets, spans = laid_out([sent[place] for place in named.tolist()])
    kinds, values, exponents = read_decimals(data, octets, spans, texts)
    return kinds[rows], values[rows], exponents[rows]


def _value_of(kind: wire.Kind, value: bytes) -> PropertyValue:
    match kind:
        case wire.Kind.NONE:
            return Unreadable("the property has no value")
        case wire.Kind.TEXT:
            return value.decode()
        case wire.Kind.DECIMAL:
            return sent_number(value.decode())
        case wire.Kind.FLAG:
            return value == b"\1"
