"""Which columns a table of events needs, known only when all events were seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from cli.events.event import Value
from cli.events.fetching import StoredEvent
from cli.events.fields import AMOUNT, PREFIX, RECEIVED, TIME, Kind, find_kind

ALWAYS = ("id", "type", TIME, "customer_id")
FIELDS = (
    "id",
    "source",
    "type",
    TIME,
    RECEIVED,
    "customer_id",
    "subscription_id",
    AMOUNT,
    "hold_id",
)
PROPERTY_COLUMNS_MAX = 500  # What comes behind them is in one column, as JSON.


class Property(NamedTuple):
    """A property that has a column of its own."""

    key: str
    kind: Kind


@dataclass(slots=True)
class Digits:
    """How many digits the decimals of a column have at most."""

    whole: int = 1
    places: int = 0

    def widen(self, value: Decimal) -> None:
        """Make room for `value`."""
        _, digits, exponent = value.as_tuple()
        assert isinstance(exponent, int)
        self.whole = max(self.whole, len(digits) + exponent)
        self.places = max(self.places, -exponent)


@dataclass(slots=True)
class Columns:
    """The columns that were needed so far."""

    fields: set[str] = field(default_factory=lambda: set(ALWAYS))
    properties: dict[Property, Digits] = field(default_factory=dict)
    amounts: Digits = field(default_factory=Digits)
    has_rest: bool = False  # Whether some properties have no column of their own.

    def see(self, stored: StoredEvent) -> None:
        """Take note of what an event needs."""
        event = stored.event
        if event.time is None:
            self.fields.add(RECEIVED)
        for name in ("source", "subscription_id", "hold_id"):
            if getattr(event, name):
                self.fields.add(name)
        if event.amount is not None:
            self.fields.add(AMOUNT)
            self.amounts.widen(event.amount)
        for key, value in event.properties.items():
            one = Property(key, kind_of(value))
            digits = self.properties.get(one)
            if value == "" or (digits is None and len(self.properties) >= PROPERTY_COLUMNS_MAX):
                self.has_rest = True
                continue
            if digits is None:
                digits = self.properties[one] = Digits()
            if isinstance(value, Decimal):
                digits.widen(value)

    @property
    def field_names(self) -> list[str]:
        """Return the fields that have a column, in their order."""
        return [name for name in FIELDS if name in self.fields]

    @property
    def property_names(self) -> list[Property]:
        """Return the properties that have a column, sorted."""
        return sorted(self.properties, key=lambda one: (one.key, one.kind.value))

    def rest(self, properties: Mapping[str, Value]) -> dict[str, Value]:
        """Return the properties of an event that have no column: empty texts, and the last ones."""
        return {
            key: value
            for key, value in properties.items()
            if value == "" or Property(key, kind_of(value)) not in self.properties
        }


def kind_of(value: Value) -> Kind:
    """Return what a property is."""
    if isinstance(value, str):
        return Kind.TEXT
    return Kind.FLAG if isinstance(value, bool) else Kind.DECIMAL


def column_name(one: Property, *, unnamed: Kind | None) -> str:
    """Return the name of a property's column, with its kind unless that is `unnamed`."""
    plain = one.kind is unnamed and find_kind(one.key) is None
    return PREFIX + one.key + ("" if plain else f":{one.kind.value}")
