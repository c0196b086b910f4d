"""What the names of a file mean: each is a field of events, a property, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cli.events.event import Event, FileFault, Row, RowFault, Value, parse_time
from libs.quantity import find_quantity

TEXTS = ("id", "source", "type", "customer_id", "subscription_id", "hold_id")
TIME, AMOUNT, PROPERTIES, RECEIVED = "time", "amount", "properties", "received_at"
NAMES = frozenset([*TEXTS, TIME, AMOUNT, PROPERTIES, RECEIVED])
PREFIX = "properties."
PLAIN = frozenset([str, bool, Decimal])  # What needs no reading as a property.
ID_BYTES = 16


class Kind(Enum):
    """What a property is said to be; without it, values tell by themselves."""

    TEXT = "text"
    DECIMAL = "decimal"
    FLAG = "flag"


KINDS = frozenset(kind.value for kind in Kind)


class Target(NamedTuple):
    """Where a value goes: to a field, or to the property `key`; nowhere if both are empty."""

    name: str
    key: str = ""
    kind: Kind | None = None


@dataclass(frozen=True, slots=True)
class Rules:
    """How rows are read.

    `renamed` leads from names in the file to names of fields, `constants` are what rows hold that
    say nothing else; both as "customer_id" or "properties.model".
    """

    renamed: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, Kind] = field(default_factory=dict)  # By property.
    zone: ZoneInfo | None = None
    skips_unknown: bool = False
    ids_from_content: bool = False
    received_as_time: bool = False


class Reading:
    """Makes events of rows, by rules; remembers what each name means."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._plain = not rules.renamed and not rules.constants
        self._targets: dict[str, Target] = {}
        self._constants = [(_target(name), text) for name, text in rules.constants.items()]

    def check_names(self, names: list[str]) -> None:
        """Check the names that all rows of a file have.

        Raises:
            FileFault: some mean nothing, or two mean the same.
        """
        seen: dict[Target, str] = {}
        unknown: list[str] = []
        for name in names:
            try:
                target = self.target(name)
            except RowFault:
                unknown.append(name)
                continue
            if target.name and target in seen:
                raise FileFault(f"{seen[target]!r} and {name!r} both give {_said(target)}")
            seen[target] = name
        if unknown:
            raise FileFault(_unknown(unknown))

    def target(self, name: str) -> Target:
        """Return what a name of the file means.

        Raises:
            RowFault: nothing.
        """
        found = self._targets.get(name)
        if found is None:
            found = self._targets[name] = self._find_target(name)
        return found

    def event(self, row: Row) -> Event:
        """Return the event that a row is.

        Raises:
            RowFault: it is none.
        """
        properties: dict[str, Value] = {}
        if self._plain and row.values.keys() <= NAMES:  # A short way for most files.
            self._put_all(properties, row.values.get(PROPERTIES))
            return self._made(row.line, row.values, properties)
        given: dict[str, object] = {}
        known = self._targets
        for name, value in row.values.items():
            field_name, key, kind = known.get(name) or self.target(name)
            if key:
                _put(properties, key, self._value(key, kind, value))
            elif field_name == PROPERTIES:
                self._put_all(properties, value)
            elif field_name in given:
                raise RowFault(f"{field_name} is given twice")
            elif field_name:
                given[field_name] = value
        for target, text in self._constants:
            if target.key and target.key not in properties:
                properties[target.key] = self._value(target.key, target.kind, text)
            elif not target.key and given.get(target.name) in (None, ""):
                given[target.name] = text
        return self._made(row.line, given, properties)

    def _made(self, line: int, given: Mapping[str, object], properties: dict[str, Value]) -> Event:
        time, amount = given.get(TIME), given.get(AMOUNT)
        if time in (None, "") and self._rules.received_as_time:
            time = given.get(RECEIVED)
        event = Event(
            _text("id", given.get("id")),
            _text("source", given.get("source")),
            _text("type", given.get("type")),
            None if time in (None, "") else parse_time(time, self._rules.zone),
            _text("customer_id", given.get("customer_id")),
            _text("subscription_id", given.get("subscription_id")),
            properties,
            None if amount in (None, "") else _decimal(AMOUNT, amount),
            _text("hold_id", given.get("hold_id")),
        )
        if event.id:
            return event
        if not self._rules.ids_from_content:
            raise RowFault("id: missing, and without one a repeat would count twice; see --help")
        if event.time is None:
            raise RowFault("time: missing, and --ids-from-content needs it to tell events apart")
        return event._replace(id=content_id(event, line))

    def _find_target(self, name: str) -> Target:
        if name in self._rules.renamed:
            return _target(self._rules.renamed[name])
        if is_name(name) and name not in self._rules.renamed.values():
            return _target(name)
        if self._rules.skips_unknown:
            return Target("")
        raise RowFault(_unknown([name]))

    def _put_all(self, properties: dict[str, Value], value: object) -> None:
        if value is None:
            return
        if not isinstance(value, Mapping):
            raise RowFault("properties: not an object")
        if self._rules.kinds or properties:
            for key, each in value.items():
                _put(properties, key, self._value(key, None, each))
            return
        for key, each in value.items():  # Most files: short, for it is most of the work.
            properties[key] = each if type(each) in PLAIN else self._value(key, None, each)

    def _value(self, key: str, kind: Kind | None, value: object) -> Value:
        kind = self._rules.kinds.get(key, kind)
        if kind is None or (kind is Kind.TEXT and isinstance(value, str)):
            if isinstance(value, str | bool | Decimal):
                return value
            if isinstance(value, int):
                return Decimal(value)
            raise RowFault(f"{PREFIX}{key}: {_shown(value)} is no text, number, true or false")
        return READERS[kind](f"{PREFIX}{key}", value)


def is_name(name: str) -> bool:
    """Tell whether it names a field of events, or a property."""
    return name in NAMES or (name.startswith(PREFIX) and name != PREFIX)


def content_id(event: Event, line: int) -> str:
    """Return an id that the same event on the same line of a file always gets."""
    content = repr((line, event._replace(properties=dict(sorted(event.properties.items())))))
    return "row-" + blake2b(content.encode(), digest_size=ID_BYTES).hexdigest()


def find_kind(key: str) -> Kind | None:
    """Return the kind that a name says at its end: "tokens:decimal"."""
    name, _, kind = key.rpartition(":")
    return Kind(kind) if name and kind in KINDS else None


def _target(name: str) -> Target:
    """Read "customer_id", "properties.model", "properties.tokens:decimal"."""
    if not name.startswith(PREFIX):
        return Target(name)
    key = name.removeprefix(PREFIX)
    kind = find_kind(key)
    return Target("", key if kind is None else key.rpartition(":")[0], kind)


def _put(properties: dict[str, Value], key: str, value: Value) -> None:
    if key in properties:
        raise RowFault(f"{PREFIX}{key} is given twice")
    properties[key] = value


def _text(name: str, value: object) -> str:
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RowFault(f"{name}: {_shown(value)} is no text")


def _as_text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, Decimal) else _text(name, value)


def _decimal(name: str, value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    found = find_quantity(value) if isinstance(value, str) else None
    if found is None:
        raise RowFault(f"{name}: {_shown(value)} is no decimal")
    return found


def _flag(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise RowFault(f"{name}: {_shown(value)} is neither true nor false")
    return value == "true"


READERS: Mapping[Kind, Callable[[str, object], Value]] = {
    Kind.TEXT: _as_text,
    Kind.DECIMAL: _decimal,
    Kind.FLAG: _flag,
}


def _shown(value: object) -> str:
    match value:
        case None:
            return "null"
        case Mapping():
            return "an object"
        case list():
            return "an array"
        case _:
            text = repr(value) if isinstance(value, str) else str(value)
            return text if len(text) <= 80 else text[:79] + "…"


def _said(target: Target) -> str:
    return PREFIX + target.key if target.key else target.name


def _unknown(names: list[str]) -> str:
    listed = ", ".join(map(repr, names[:8])) + (" and others" if len(names) > 8 else "")
    return (
        f"{listed}: not a field of events. --map customer_id={names[0]} says what it is,"
        " --skip-unknown leaves such fields out"
    )
