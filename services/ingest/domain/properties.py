"""The properties of many events, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.ingest.domain import wire
from services.ingest.domain.columns import Kind
from services.ingest.domain.decimals import UNREADABLE, read_decimals
from services.ingest.domain.texts import Texts
from services.ingest.domain.wire import Fields, Flags, Ints


@dataclass(frozen=True, slots=True)
class SentProperties:
    """Properties as a reader finds them: as `Properties` has them, in any order."""

    rows: Ints
    names: Ints
    kinds: Ints  # Or UNREADABLE.
    values: Ints
    exponents: Ints

    @staticmethod
    def joined(parts: Sequence[SentProperties]) -> SentProperties:
        """Return the properties of `parts`, one part behind the other."""
        columns = [
            (part.rows, part.names, part.kinds, part.values, part.exponents) for part in parts
        ]
        return SentProperties(*map(np.concatenate, zip(*columns, strict=True)))

    def at(self, places: Ints) -> SentProperties:
        """Return the properties at `places`."""
        columns = (self.rows, self.names, self.kinds, self.values, self.exponents)
        return SentProperties(*(column[places] for column in columns))

    def moved(self, rows: Ints, start: int) -> SentProperties:
        """Return them as those of other events: row 0 becomes `rows[start]`."""
        return replace(self, rows=rows[self.rows + start])


@dataclass(frozen=True, slots=True)
class Properties:
    """One value each, by event and then by the bytes of its name.

    `values` holds the place of a TEXT or LARGE_DECIMAL, the mantissa of a DECIMAL, 0 or 1 for a
    FLAG; `exponents` those of a DECIMAL, else 0. `names` are places of texts, and `ranks` put
    them in their order.
    """

    rows: Ints
    names: Ints
    ranks: Ints
    kinds: Ints
    values: Ints
    exponents: Ints

    @property
    def are_texts(self) -> Flags:
        """Whether each value is a place in the texts."""
        are_texts: Flags = (self.kinds == Kind.TEXT) | (self.kinds == Kind.LARGE_DECIMAL)
        return are_texts

    def at(self, places: Ints | slice) -> Properties:
        """Return the properties at `places`."""
        columns = (self.rows, self.names, self.ranks, self.kinds, self.values, self.exponents)
        return Properties(*(column[places] for column in columns))


def read_properties(fields: Fields, texts: Texts) -> SentProperties:
    """Return the properties of serialized events; names, texts and large decimals get places."""
    found = fields.properties
    names = texts.places(fields.data, fields.octets, found.keys)
    kinds, values, exponents = _read_values(fields, texts)
    return SentProperties(found.rows, names, kinds, values, exponents)


def sort_properties(sent: SentProperties, texts: Sequence[bytes]) -> Properties:
    """Return properties by event and then by the bytes of their names."""
    ranks = ranks_of(sent.names, texts)
    properties = Properties(sent.rows, sent.names, ranks, sent.kinds, sent.values, sent.exponents)
    # Most come sorted.
    places = sent.rows * (int(ranks.max(initial=0)) + 1) + ranks
    if (places[1:] > places[:-1]).all():
        return properties
    return properties.at(np.argsort(places, kind="stable"))


def ranks_of(names: Ints, texts: Sequence[bytes]) -> Ints:
    """Return the ranks of `names`, places in `texts`, in the order of their bytes."""
    ranks = np.zeros(len(texts), np.int64)
    ranks[names] = 1
    distinct = sorted(np.flatnonzero(ranks).tolist(), key=texts.__getitem__)
    ranks[distinct] = np.arange(len(distinct))
    return ranks[names]


def _read_values(fields: Fields, texts: Texts) -> tuple[Ints, Ints, Ints]:
    sent, spans = fields.properties.kinds, fields.properties.values
    kinds, values = np.full_like(sent, UNREADABLE), np.zeros_like(sent)
    exponents = np.zeros_like(sent)
    chosen = np.flatnonzero(sent == wire.Kind.TEXT)
    kinds[chosen] = Kind.TEXT
    values[chosen] = texts.places(fields.data, fields.octets, spans.at(chosen))
    chosen = np.flatnonzero(sent == wire.Kind.FLAG)
    kinds[chosen] = Kind.FLAG
    values[chosen] = fields.octets[spans.starts[chosen]]
    chosen = np.flatnonzero(sent == wire.Kind.DECIMAL)
    decimals = read_decimals(fields.data, fields.octets, spans.at(chosen), texts)
    kinds[chosen], values[chosen], exponents[chosen] = decimals
    return kinds, values, exponents
