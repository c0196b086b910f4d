"""Values between protobuf and Python. Parsing refuses bad input by field name."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any, Protocol, TypeVar
from uuid import UUID
from zoneinfo import available_timezones

import msgspec
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from libs.errors import FieldInvalid, FieldsInvalid, InvalidInput
from libs.money import Money, is_currency
from libs.quantity import find_quantity
from libs.requests import Request
from tally.common.v1.money_pb2 import Money as MoneyMessage
from tally.common.v1.period_pb2 import CivilDate, DayPeriod
from tally.common.v1.period_pb2 import Period as PeriodMessage

CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}", re.ASCII)
PAGE_SIZE_MAX = 1_000
PAGE_SIZE_DEFAULT = 100
PAGE_BYTES_MAX = 3 * 1024 * 1024  # Below the 4 MiB that gRPC clients take by default.
INT64_MAX = 2**63 - 1
CODES_MAX = 10  # In a list of taxes.
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DATE_YEAR_MIN, DATE_YEAR_MAX = 1_900, 9_000  # Far from where dates begin and end.
TIMESTAMP_SECONDS_MIN, TIMESTAMP_SECONDS_MAX = -62_135_596_800, 253_402_300_799

Value = TypeVar("Value")
Listed = TypeVar("Listed", bound=Message)


class PageTokenInvalid(InvalidInput):
    reason = "PAGE_TOKEN_INVALID"


class EnumType(Protocol):
    """An enum that protoc made."""

    def Name(self, number: Any) -> str: ...
    def keys(self) -> Sequence[str]: ...
    def values(self) -> Sequence[Any]: ...


@dataclass(frozen=True, slots=True)
class Page:
    """A page asked for: at most `size` things, after those that `token` names ("": the first)."""

    size: int
    token: str


class Faults:
    """Gathers the faults of a request, so that the caller sees all of them at once."""

    def __init__(self) -> None:
        self._faults: list[FieldInvalid] = []

    def __bool__(self) -> bool:
        return bool(self._faults)

    def add(self, field: str, problem: str) -> None:
        """Note that `field` cannot be read."""
        self._faults.append(FieldInvalid(field, problem))

    @contextmanager
    def gathered(self, above: str = "") -> Iterator[None]:
        """Note a FieldInvalid or FieldsInvalid raised inside, and go on behind the block.

        Its paths are of fields below `above`, like "candidates[2]".
        """
        try:
            yield
        except (FieldInvalid, FieldsInvalid) as error:
            for fault in error.faults:
                self.add(f"{above}.{fault.field}" if above else fault.field, fault.problem)

    def check(self) -> None:
        """Raise what was gathered, if anything.

        Raises:
            FieldInvalid: one fault.
            FieldsInvalid: several.
        """
        if len(self._faults) == 1:
            raise self._faults[0]
        if self._faults:
            raise FieldsInvalid(self._faults)


def parse_uuid(text: str, field: str) -> UUID:
    """Read a UUID in its 36-character form."""
    try:
        if len(text) == 36:
            return UUID(text)
    except ValueError:
        pass
    raise FieldInvalid(field, f"{text[:50]!r} is not a UUID" if text else "is missing")


def parse_uuids(texts: Sequence[str], field: str) -> list[UUID]:
    """Read up to 1,000 UUIDs."""
    if len(texts) > PAGE_SIZE_MAX:
        raise FieldInvalid(field, f"are {len(texts)}, at most {PAGE_SIZE_MAX} are allowed")
    return [parse_uuid(text, f"{field}[{place}]") for place, text in enumerate(texts)]


def parse_request(message: Message, request_id: str) -> Request:
    """Return what makes a retry of `message` recognisable: its type, id and content."""
    content = message.SerializeToString(deterministic=True)
    return Request(
        method=message.DESCRIPTOR.full_name,
        request_id=parse_uuid(request_id, "request_id"),
        digest=hashlib.sha256(content).digest(),
    )


def parse_text(text: str, field: str, *, bytes_max: int = 255, required: bool = True) -> str:
    """Read text of 1 (0 if not `required`) to `bytes_max` bytes without control characters."""
    if required and not text:
        raise FieldInvalid(field, "is missing")
    if (size := len(text.encode())) > bytes_max:
        raise FieldInvalid(field, f"has {size} bytes, at most {bytes_max} are allowed")
    if "\x00" in text:
        raise FieldInvalid(field, "holds a NUL character")
    return text


def check_size(message: Message, field: str, *, bytes_max: int) -> None:
    """Check that `message` has at most `bytes_max` bytes."""
    if (size := message.ByteSize()) > bytes_max:
        raise FieldInvalid(field, f"has {size} bytes, at most {bytes_max} are allowed")


def parse_code(text: str, field: str) -> str:
    """Read a code: 1 to 128 of letters, digits and _ . : - with a letter or digit first."""
    if not text:
        raise FieldInvalid(field, "is missing")
    if not CODE.fullmatch(text):
        rule = "1 to 128 of A-Z a-z 0-9 _ . : - with a letter or digit first"
        raise FieldInvalid(field, f"{text[:50]!r} is not a code: {rule}")
    return text


def check_codes(
    codes: Iterable[str], field: str, faults: Faults, *, at_most: int = CODES_MAX
) -> None:
    """Check that `codes` are codes, few, and each named once; what is wrong goes to `faults`."""
    named = list(codes)
    if len(named) > at_most:
        faults.add(field, f"{len(named)} codes, at most {at_most}")
    if len(set(named)) < len(named):
        faults.add(field, "names one twice")
    for place, code in enumerate(named[:at_most]):
        with faults.gathered():
            parse_code(code, f"{field}[{place}]")


def parse_decimal(
    text: str, field: str, *, at_least: Decimal | None = None, above: Decimal | None = None
) -> Decimal:
    """Read a decimal by the grammar in money.proto; never through a binary float.

    Its digits stay as they were sent: "1.50" gives Decimal("1.50").
    """
    if not text:
        raise FieldInvalid(field, "is missing")
    value = find_quantity(text)
    if value is None:
        rule = "of at most 64 characters, below 10^30, with at most 30 places"
        raise FieldInvalid(field, f"{text[:70]!r} is not a decimal {rule}")
    if at_least is not None and value < at_least:
        raise FieldInvalid(field, f"{text} is below {at_least}")
    if above is not None and value <= above:
        raise FieldInvalid(field, f"{text} is not above {above}")
    return value


def parse_currency(text: str, field: str) -> str:
    """Read an ISO 4217 code."""
    if not text:
        raise FieldInvalid(field, "is missing")
    if not re.fullmatch("[A-Z]{3}", text) or not is_currency(text):
        raise FieldInvalid(field, f"{text[:20]!r} is not an ISO 4217 code")
    return text


def parse_money(message: MoneyMessage, field: str) -> Money:
    """Read an amount of money."""
    currency = parse_currency(message.currency_code, f"{field}.currency_code")
    return Money(currency, message.amount_minor)


def money_message(money: Money) -> MoneyMessage:
    """Write an amount of money."""
    return MoneyMessage(currency_code=money.currency, amount_minor=money.amount_minor)


def optional_time(instant: datetime | None) -> Timestamp | None:
    """Write an instant, absent if there is none."""
    return None if instant is None else timestamp(instant)


def parse_timestamp(message: Timestamp, field: str) -> datetime:
    """Read an instant, in UTC and to the microsecond; finer digits are refused."""
    if not TIMESTAMP_SECONDS_MIN <= message.seconds <= TIMESTAMP_SECONDS_MAX:
        raise FieldInvalid(field, f"{message.seconds} s lie outside the years 1 to 9999")
    if not 0 <= message.nanos < 1_000_000_000 or message.nanos % 1_000:
        raise FieldInvalid(field, f"{message.nanos} ns are not whole microseconds of a second")
    return EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1_000)


def timestamp(instant: datetime) -> Timestamp:
    """Write an instant, exactly."""
    since = instant - EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * 1_000)


def parse_zone(text: str, field: str, *, default: str = "") -> str:
    """Read the IANA name of a time zone; an empty one is `default`."""
    name = text or default
    if not name:
        raise FieldInvalid(field, "is missing")
    if name in _zones():
        return name
    raise FieldInvalid(field, f"{name[:70]!r} is not the IANA name of a time zone")


@cache
def _zones() -> frozenset[str]:
    """Return the zones of the world, without names that only this machine gives a meaning."""
    return frozenset(available_timezones() - {"localtime", "Factory"})


def parse_enum(value: int, enum: EnumType, field: str, *, prefix: str) -> str:
    """Read an enum value; return its name without `prefix`, in lower case.

    AGGREGATION_SUM gives "sum". UNSPECIFIED and unknown numbers are refused.
    """
    if value == 0 or value not in enum.values():
        names = [name.removeprefix(prefix) for name in enum.keys()[1:]]
        raise FieldInvalid(field, f"must be one of {', '.join(names)}")
    return enum.Name(value).removeprefix(prefix).lower()


def civil_date(day: date) -> CivilDate:
    """Write a day of the calendar."""
    return CivilDate(year=day.year, month=day.month, day=day.day)


def day_period(first_day: date, end_day: date, time_zone: str) -> DayPeriod:
    """Write whole local days."""
    return DayPeriod(
        first_day=civil_date(first_day), end_day=civil_date(end_day), time_zone=time_zone
    )


def read_date(message: CivilDate) -> date:
    """Read a day that another service wrote."""
    return date(message.year, message.month, message.day)


def parse_date(message: CivilDate, field: str) -> date:
    """Read a day of the years 1900 to 9000, as its caller wrote it."""
    year, month = message.year, message.month
    if not DATE_YEAR_MIN <= year <= DATE_YEAR_MAX:
        problem = f"is {year}, must be {DATE_YEAR_MIN} to {DATE_YEAR_MAX}"
        raise FieldInvalid(f"{field}.year", problem)
    if not 1 <= month <= 12:
        raise FieldInvalid(f"{field}.month", f"is {month}, must be 1 to 12")
    last = monthrange(year, month)[1]
    if not 1 <= message.day <= last:
        raise FieldInvalid(f"{field}.day", f"is {message.day}, must be 1 to {last}")
    return read_date(message)


def period_message(start: datetime, end: datetime) -> PeriodMessage:
    """Write the instants from `start` to `end`."""
    return PeriodMessage(start=timestamp(start), end=timestamp(end))


def parse_page(page_size: int, token: str) -> Page:
    """Read a page's size (0: 100) and token."""
    if not 0 <= page_size <= PAGE_SIZE_MAX:
        raise FieldInvalid("page_size", f"is {page_size}, must be 0 to {PAGE_SIZE_MAX}")
    return Page(size=page_size or PAGE_SIZE_DEFAULT, token=token)


def fitting(messages: Sequence[Listed]) -> Sequence[Listed]:
    """Return the first of `messages`, at least one, that an answer of 3 MiB holds together."""
    size = 0
    for place, message in enumerate(messages):
        size += message.ByteSize()
        if place and size > PAGE_BYTES_MAX:
            return messages[:place]
    return messages


def page_token(*keys: object) -> str:
    """Make the opaque token of a keyset page from the sort keys of the last thing on it."""
    return base64.urlsafe_b64encode(msgspec.json.encode(keys)).decode().rstrip("=")


def parse_page_token(token: str, *types: Callable[..., object]) -> tuple[object, ...]:
    """Return the keys in `token`, which must be of `types`; () for an empty token.

    Raises:
        PageTokenInvalid: the token was not made for this list.
    """
    if not token:
        return ()
    try:
        if len(token) <= 2_048:
            content = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
            keys: tuple[object, ...] = msgspec.json.decode(
                content, type=tuple.__class_getitem__(types)
            )
            if all(map(_storable, keys)):
                return keys
    except (msgspec.MsgspecError, binascii.Error, ValueError, OverflowError):
        pass
    raise PageTokenInvalid("page_token was not made by this list: start from the first page")


def _storable(key: object) -> bool:
    """Tell whether the database can compare with `key`, which anyone may have written."""
    match key:
        case int():
            return abs(key) <= INT64_MAX
        case str():
            return "\x00" not in key
        case datetime():
            return key.tzinfo is not None and key.astimezone(UTC) is not None
    return True
