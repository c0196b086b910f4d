"""Events as columns, as a client sends them: tally.ingest.v1.EventColumns, ready to be computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.ingest.domain.wire import Field, Ints, Octets

Places = NDArray[np.uint32]


class Form(Enum):
    """The forms in which the values of a property come, by the contract's names."""

    NONE = ""
    TEXTS = "texts"
    DECIMALS = "decimals"
    DECIMAL_TEXTS = "decimal_texts"
    FLAGS = "flags"


@dataclass(frozen=True, slots=True)
class SentValues:
    """The values of one property, for the events at `indexes`, or for all if there are none.

    `values` are places of texts, mantissas or flags; none at all where they have no form.
    """

    key: bytes
    indexes: Places
    form: Form
    values: NDArray[Any]
    exponents: Octets  # Of mantissas: zigzag varints, all of one byte if they are within bounds.

    def rows(self, events: int) -> Ints:
        """Return whose values they are, of so many events."""
        return self.indexes.astype(np.int64) if len(self.indexes) else np.arange(events)

    def powers(self) -> Ints:
        """Return an exponent for each mantissa."""
        if not len(self.exponents):
            return np.zeros(len(self.values), np.int64)
        coded = self.exponents.astype(np.int64)
        return np.broadcast_to((coded >> 1) ^ -(coded & 1), self.values.shape)


@dataclass(frozen=True, slots=True)
class SentColumns:
    """One event an id. A column of places has one an event, one for all, or none: "" for all."""

    texts: Sequence[bytes]
    ids: Sequence[bytes]
    places: dict[Field, Places]
    times: Ints  # Microseconds since 1970; none at all if no event has a time.
    untimed: Places
    properties: Sequence[SentValues]

    @property
    def times_given(self) -> NDArray[np.bool_]:
        """Whether each event has a time."""
        given = np.full(len(self.ids), len(self.times) > 0)
        given[self.untimed] = False
        return given


@dataclass(frozen=True, slots=True)
class CheckedColumns:
    """Columns that fit each other, and about how many bytes their events have as rows."""

    columns: SentColumns
    size: int
