"""From what a caller says of an event to a row that can be packed: exact, or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from tally_client._error import FieldViolation

PropertyInput = str | int | Decimal | bool
Amount = int | Decimal

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXT_BYTES_MAX = 255
PLACES_MAX = WHOLE_DIGITS_MAX = 30
VALUE_BOUND = 10**WHOLE_DIGITS_MAX
MANTISSA_BOUND = 10**18  # So many digits fit into a column of numbers.
EVENT_SIZE, PROPERTY_SIZE = 128, 16  # Of what every event, or property, has: roughly.
TEXT_FIELDS = ("id", "source", "type", "customer_id", "subscription_id", "hold_id")
REQUIRED = ("type", "customer_id")


class InvalidEvent(ValueError):
    """An event that could not be sent as it is; nothing of it was recorded.

    Attributes:
        field_violations: what is wrong with each field at fault: "properties.tokens", "time".
    """

    def __init__(self, field_violations: tuple[FieldViolation, ...]) -> None:
        super().__init__("; ".join(f"{one.field} {one.description}" for one in field_violations))
        self.field_violations = field_violations


class Scaled(NamedTuple):
    """mantissa * 10^exponent, of up to 18 digits: 1.50 is Scaled(150, -2)."""

    mantissa: int
    exponent: int


class Long(str):
    """A decimal of more digits, as text."""

    __slots__ = ()


Value = str | int | bool | Scaled | Long


class Row(NamedTuple):
    """An event; texts are empty and the time is None where nothing was said."""

    id: str
    source: str
    type: str
    customer_id: str
    subscription_id: str
    amount: str
    hold_id: str
    time: int | None  # Microseconds since 1970.
    properties: dict[str, Value]


new_tuple = tuple.__new__  # What Row() does, in half the time.


def read_event(
    texts: tuple[str, str, str, str, str, str],
    amount: Amount | None,
    time: datetime | None,
    properties: Mapping[str, PropertyInput] | None,
    made_at: int | None,
) -> tuple[Row, int]:
    """Return the event as a row, and about how many bytes it has.

    `texts` are those of TEXT_FIELDS; `made_at`, in microseconds, holds where no time is given.

    Raises:
        InvalidEvent: with all that is wrong.
    """
    id, source, type, customer_id, subscription_id, hold_id = texts
    try:
        # Together they are judged at once; one by one only where something is unusual.
        joined = "".join(texts)
        if not joined.isascii() or len(joined) > TEXT_BYTES_MAX or not type or not customer_id:
            _check_texts(texts)
        said = "" if amount is None else _read_amount(amount)
        at = made_at if time is None else _read_time(time)
        read, size = _read_properties(properties) if properties else ({}, 0)
    except (TypeError, ValueError, AttributeError):
        faults = tuple(_faults(texts, amount, time, properties))
        if not faults:
            raise
        raise InvalidEvent(faults) from None
    row = (id, source, type, customer_id, subscription_id, said, hold_id, at, read)
    return new_tuple(Row, row), EVENT_SIZE + len(joined) + size


def check_size(size: int, size_max: int) -> None:
    """Check that an event is not larger than a batch.

    Raises:
        InvalidEvent: it is.
    """
    if size > size_max:
        fault = f"have about {size} bytes, batch_bytes_max is {size_max}"
        raise InvalidEvent((FieldViolation("properties", fault),))


def read_value(value: object) -> Value:
    """Return the value of a property as it is packed.

    Raises:
        TypeError, ValueError: it has no exact form; with why.
    """
    match value:
        case bool():
            return value
        case str():
            value.encode()  # What is no text at all is refused here.
            return str.__str__(value)
        case int():
            return _read_int(int(value))
        case Decimal():
            return _read_decimal(value)
        case float():
            raise TypeError(f"is a float, {value!r}, which is not exact: give a Decimal")
        case _:
            raise TypeError(f"is of {type(value).__name__}: give str, int, Decimal or bool")


def _read_properties(properties: Mapping[str, PropertyInput]) -> tuple[dict[str, Value], int]:
    """Return the properties, and about how many bytes they have."""
    keys = "".join(properties)
    if not keys.isascii():
        keys.encode()
    size = len(keys) + PROPERTY_SIZE * len(properties)
    read: dict[str, Any] = dict(properties)
    for key, value in read.items():
        # The common kinds first; this is where most of the time goes.
        kind = value.__class__
        if kind is str:
            size += len(value) if value.isascii() else len(value.encode())
        elif kind is int:
            if not -MANTISSA_BOUND < value < MANTISSA_BOUND:
                read[key] = _read_int(value)
        elif kind is Decimal:
            read[key] = _read_decimal(value)
        elif kind is not bool:
            read[key] = read_value(value)
    return read, size


def _read_int(value: int) -> int | Long:
    if -MANTISSA_BOUND < value < MANTISSA_BOUND:
        return value
    if -VALUE_BOUND < value < VALUE_BOUND:
        return Long(value)
    raise ValueError(f"is not below 10^{WHOLE_DIGITS_MAX}")


def _read_decimal(value: Decimal) -> Scaled | Long:
    whole, _, places = str(value).partition(".")
    try:
        mantissa = int(whole + places)
    except ValueError:  # It has an exponent, or is no number.
        return _read_any_decimal(value)
    if -MANTISSA_BOUND < mantissa < MANTISSA_BOUND and len(places) <= PLACES_MAX:
        return new_tuple(Scaled, (mantissa, -len(places)))
    return _read_any_decimal(value)


def _read_any_decimal(value: Decimal) -> Scaled | Long:
    """Read a decimal of any form; superfluous zeros are dropped."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError(f"is {value}, which is no number")
    text = "".join(map(str, digits)).lstrip("0")
    if not text:
        return Scaled(0, 0)
    short = text.rstrip("0")
    exponent += len(text) - len(short)
    if exponent < -PLACES_MAX:
        raise ValueError(f"has {-exponent} places, at most {PLACES_MAX} are allowed")
    if len(short) + exponent > WHOLE_DIGITS_MAX:
        raise ValueError(f"is not below 10^{WHOLE_DIGITS_MAX}")
    mantissa = -int(short) if sign else int(short)
    if -MANTISSA_BOUND < mantissa < MANTISSA_BOUND:
        return Scaled(mantissa, exponent)
    minus = "-" if sign else ""
    if exponent >= 0:
        return Long(f"{minus}{short}{'0' * exponent}")
    short = short.rjust(1 - exponent, "0")
    return Long(f"{minus}{short[:exponent]}.{short[exponent:]}")


def _read_amount(amount: Amount) -> str:
    value = read_value(amount)
    match value:
        case Scaled(mantissa, exponent):
            return f"{mantissa}e{exponent}"
        case bool() | str() if type(value) is not Long:
            raise TypeError(f"is of {type(amount).__name__}: give Decimal or int")
        case _:
            return str(value)


def _read_time(time: datetime) -> int:
    if not isinstance(time, datetime):
        raise TypeError(f"is of {type(time).__name__}: give a datetime with a zone")
    try:
        since = time - EPOCH
    except TypeError:
        raise ValueError("has no zone: give an aware datetime, as of datetime.now(UTC)") from None
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _check_texts(texts: tuple[str, ...]) -> None:
    for _ in _faults_of_texts(texts):
        raise ValueError


def _faults(
    texts: tuple[str, ...],
    amount: Amount | None,
    time: datetime | None,
    properties: Mapping[str, PropertyInput] | None,
) -> Iterator[FieldViolation]:
    """Give all that is wrong."""
    yield from _faults_of_texts(texts)
    if amount is not None:
        yield from _fault("amount", _read_amount, amount)
    if time is not None:
        yield from _fault("time", _read_time, time)
    if properties is None:
        return
    if not isinstance(properties, Mapping):
        kind = type(properties).__name__
        yield FieldViolation("properties", f"is of {kind}: give a mapping")
        return
    for key, value in properties.items():
        yield from _fault(f"properties.{key!s}", _read_key, key)
        yield from _fault(f"properties.{key!s}", read_value, value)


def _faults_of_texts(texts: tuple[str, ...]) -> Iterator[FieldViolation]:
    for field, text in zip(TEXT_FIELDS, texts, strict=True):
        if not text and field in REQUIRED:
            yield FieldViolation(field, "is missing")
        else:
            yield from _fault(field, _read_text, text)


def _fault(field: str, read: Callable[[Any], object], given: object) -> Iterator[FieldViolation]:
    try:
        read(given)
    except UnicodeEncodeError as error:
        yield FieldViolation(field, f"is no text: {error.reason}")
    except (TypeError, ValueError) as error:
        yield FieldViolation(field, str(error))


def _read_text(text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(f"is of {type(text).__name__}: give str")
    size = len(text.encode())
    if size > TEXT_BYTES_MAX:
        raise ValueError(f"has {size} bytes, at most {TEXT_BYTES_MAX} are allowed")


def _read_key(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"has a key of {type(key).__name__}: give str")
    key.encode()
