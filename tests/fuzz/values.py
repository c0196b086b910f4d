"""Values that are good at breaking things, by the type and the name of a field."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid5

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import strategies as st

from libs.wire import TIMESTAMP_SECONDS_MAX, TIMESTAMP_SECONDS_MIN, page_token
from tests.fuzz.known import Known

MIB = 1024 * 1024
NAMESPACE = UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8")
# The middle of this month: where the suite's clock stands.
NOW = int(datetime.now(UTC).replace(day=15, hour=12, minute=0, second=0).timestamp())
YEAR = 365 * 86_400

TEXTS = (
    ["", " ", "\x00", "a\x00b", "\n\r\t", "\x01\x1b[31m\x7f", "a" * 64, "a" * 65, "a" * 128]
    + ["a" * 255, "a" * 256, "é" * 128, "😀" * 63, "😀" * 256, "\u202eabc\u200f"]
    + ["\u0633\u0644\u0627\u0645", "\ufeffa", "\ufffe", "\uffff", "\u2028"]
    + ["e" + "\u0301" * 120, "x" * MIB, "Ω" * 65_536]
    + ["'; DROP TABLE wallets; --", "%s%n%(x)s", "../../etc/passwd", "{}", "[" * 500, "null"]
    + ['#import "x"', "$x^2$", "\\", '"', "<b>&amp;", "{0}", "{:d}", "usage", "base", "main", "*"]
)  # fmt: skip
DECIMALS = (
    ["0", "-0", "0.0", "1", "-1", "1.50", "+.5", "5.", ".", "e5", "1e5", "1E+5", "1e-30", "1e-31"]
    + ["1e29", "1e30", "-1e29", "9" * 30, "9" * 64, "9" * 65, "0." + "0" * 29 + "1", "100.01"]
    + ["9" * 30 + "." + "9" * 30, "1e999999", "1e-999999", "0e99999999999999999999", "NaN"]
    + ["sNaN", "Infinity", "-inf", "1_000", "\u0663", "0x10", "1,5", " 1", "1 ", "1\x00", "１"]
    + ["0.01", "0.001", "10", "100", "12345.6789", "92233720368547758.07", "92233720368547758.08"]
)
ZONES = (
    ["UTC", "Australia/Lord_Howe", "Pacific/Kiritimati", "Pacific/Apia", "Pacific/Niue"]
    + ["Asia/Kathmandu", "Antarctica/Troll", "America/Sao_Paulo", "Africa/Monrovia", "Etc/GMT+12"]
    + ["localtime", "Factory", "posixrules", "../UTC", "/etc/passwd", "utc", "posix/UTC", "UTC\x00"]
)
CURRENCIES = ["USD", "USD", "EUR", "JPY", "KWD", "XTS", "XAU", "CLF", "UYW", "usd", "ZZZ", "US", ""]
UUIDS = [
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "6BA7B810-9DAD-11D1-80B4-00C04FD430C8",
    "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
    "6ba7b8109dad11d180b400c04fd430c8",
    "６ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "std_6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "sub_6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "std_",
]
INTEGERS = [0, 0, 1, 2, -1, 3, 10, 99, 100, 101, 1_000, 1_001, 10**15, 10**15 + 1] + [
    sign * 2**bits + off for bits in (31, 32, 53, 63, 64) for sign in (1, -1) for off in (-1, 0, 1)
]
SECONDS = [0, -1, 1, NOW, NOW - 1, NOW - 3_600, NOW + 3_600, NOW - 40 * 86_400, NOW + 40 * 86_400]
SECONDS += [NOW - YEAR, NOW + YEAR, NOW - 31 * YEAR, NOW + 100 * YEAR, 2**31, -(2**31)]
SECONDS += [TIMESTAMP_SECONDS_MIN, TIMESTAMP_SECONDS_MIN - 1, TIMESTAMP_SECONDS_MIN + 86_400]
SECONDS += [TIMESTAMP_SECONDS_MAX, TIMESTAMP_SECONDS_MAX + 1, TIMESTAMP_SECONDS_MAX - 50_000]
SECONDS += [TIMESTAMP_SECONDS_MAX - YEAR - 86_400, TIMESTAMP_SECONDS_MAX - 999 * YEAR]
SECONDS += [2**62, -(2**62), 2**63 - 1, -(2**63)]
NANOS = [0] * 8 + [1, 999, 1_000, 999_999_000, 999_999_999, 10**9, -1, 2**31 - 1, -(2**31)]
BYTES = [b"", b"\x00", b"x" * 31, b"x" * 32, b"x" * 33, b"\xff" * 64, b"\x80" * 4_096, b"y" * MIB]

RANGES = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
PERCENT = st.integers(0, 99)
INSTANTS = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12))),
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1),
]
TOKEN_TEXTS = [
    "",
    "a",
    "mine-customer",
    "\x00",
    "\ufffe",
    "😀",
    "std_x",
    "x" * 1_000,
    str(UUIDS[0]),
]
JSON_TOKENS = ['["\\ud800"]', "[1e400]", "[" * 1_500, '[{"a":1}]', "null", "[9" + "9" * 900 + "]"]


def _encoded(text: str) -> str:
    """Return a page token of any JSON text, as `page_token` would write it."""
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


texts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=40))
fresh = st.integers(0, 2**64).map(lambda number: f"f{number:x}")
uuids = st.one_of(
    st.integers(0, 2**64).map(lambda number: str(uuid5(NAMESPACE, str(number)))),
    st.sampled_from(UUIDS),
)
decimals = st.one_of(st.sampled_from(DECIMALS), st.decimals(allow_nan=False).map(str))
keys = st.one_of(
    st.sampled_from(INTEGERS),
    st.integers(-5, 5),
    st.sampled_from(TOKEN_TEXTS),
    st.sampled_from(INSTANTS),
    st.sampled_from([UUID(UUIDS[0]), UUID(UUIDS[1])]),
)
shapes: Sequence[st.SearchStrategy[tuple[Any, ...]]] = [
    st.tuples(st.sampled_from(INTEGERS)),
    st.tuples(st.sampled_from(INTEGERS), st.sampled_from(INTEGERS)),
    st.tuples(st.sampled_from(TOKEN_TEXTS)),
    st.tuples(st.sampled_from(INSTANTS), st.just(UUID(UUIDS[0]))),
    st.tuples(st.sampled_from(TOKEN_TEXTS), *[st.sampled_from(INTEGERS)] * 2),
    st.tuples(
        st.sampled_from(INTEGERS),
        st.sampled_from(INSTANTS),
        st.sampled_from(TOKEN_TEXTS),
        st.sampled_from(INTEGERS),
    ),
    st.lists(keys, max_size=5).map(tuple),
]
page_tokens = st.one_of(
    st.one_of(*shapes).map(lambda made: page_token(*made)),
    st.sampled_from(JSON_TOKENS).map(_encoded),
    texts,
)


def texts_for(field: str, known: Known) -> st.SearchStrategy[str]:
    """Return texts for a field of this name: half of them name what exists, if anything does."""
    hinted = _hinted(field)
    exists = known.texts(field)
    if not exists:
        return st.one_of(hinted, hinted, texts)
    return st.one_of(st.sampled_from(exists), st.sampled_from(exists), hinted, texts)


def integers_for(field: FieldDescriptor) -> st.SearchStrategy[int]:
    """Return integers that the field can hold."""
    low, high = RANGES[field.cpp_type]
    held = [number for number in INTEGERS if low <= number <= high]
    return st.one_of(st.sampled_from(held), st.integers(low, high))


def enums_for(field: FieldDescriptor) -> st.SearchStrategy[int]:
    """Return the enum's numbers, and some that it does not have."""
    assert field.enum_type is not None
    good = [value.number for value in field.enum_type.values]
    return st.sampled_from([*good, *good, 99, -1, 2**31 - 1, -(2**31)])


def _hinted(field: str) -> st.SearchStrategy[str]:
    match field:
        case "page_token":
            return page_tokens
        case "time_zone":
            return st.sampled_from(ZONES)
        case "currency_code":
            return st.sampled_from(CURRENCIES)
        case "request_id" | "line_id":
            return uuids
        case _ if field.endswith("_id"):
            return st.one_of(fresh, uuids)
        case _ if field.endswith(("code", "codes", "number", "id")):
            return fresh
        case _ if field.endswith(("amount", "decimal", "percent", "units", "size", "up_to")):
            return decimals
    return st.one_of(fresh, decimals)
