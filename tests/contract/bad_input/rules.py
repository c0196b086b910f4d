"""The table of bad input: what every field of every request must refuse, and how.

A rule names, for a kind of badness, the value that is put into an otherwise good request. Unless
it says otherwise the answer must be INVALID_ARGUMENT / FIELD_INVALID with the field's path.
`World` values are filled in by the test: things of the caller's tenant, and of another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

INVALID, NOT_FOUND = "INVALID_ARGUMENT", "NOT_FOUND"
FAILED = "FAILED_PRECONDITION"
ALREADY_EXISTS = "ALREADY_EXISTS"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A value that names a thing of another tenant: `key` of the other tenant's world."""

    key: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a value must be refused; `field` None: at its own path; "": no field is named."""

    value: object
    code: str = INVALID
    reason: str = "FIELD_INVALID"
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """How an event must be rejected while its request succeeds."""

    value: object
    reason: str
    field: str | None = None


@dataclass(frozen=True, slots=True)
class AnyValue:
    """Every value is good, for the reason given."""

    why: str


Rule = Mapping[str, object]
Fields = Mapping[str, Rule | AnyValue]

LONG = "a" * 256
UUID: Rule = {"absent": "", "malformed": "no-uuid", "oversized": "1" * 300}
CODE: Rule = {"absent": "", "malformed": "a b", "oversized": "a" * 129}
SOME_UUID = "00000000-0000-4000-8000-000000000000"
OPTIONAL_CODE: Rule = {"malformed": "a b", "oversized": "a" * 129}
TEXT: Rule = {"absent": "", "malformed": "a\x00b", "oversized": LONG}
OPTIONAL_TEXT: Rule = {"malformed": "a\x00b", "oversized": LONG}
PRICE: Rule = {"absent": "", "malformed": "1,5", "oversized": "1e40", "negative": "-1"}
OPTIONAL_PRICE: Rule = {"malformed": "NaN", "oversized": "1" * 65, "negative": "-0.01"}
CURRENCY: Rule = {"absent": "", "malformed": "usd", "unknown": "ZZZ", "oversized": "USDX"}
ZONE: Rule = {"malformed": "Mars/Base", "oversized": "a" * 300}
INSTANT: Rule = {"malformed": {"nanos": 1}, "oversized": {"seconds": 2**60}}
PAGE: Fields = {
    "page_size": {"malformed": -1, "oversized": 1_001},
    "page_token": {
        "malformed": Refusal("%%%", reason="PAGE_TOKEN_INVALID", field=""),
        "oversized": Refusal("a" * 5_000, reason="PAGE_TOKEN_INVALID", field=""),
    },
}
ABSENT: Rule = {"absent": None}
CHECK_ONLY = AnyValue("checks without storing")
OUTPUT = AnyValue("an answer's field: ignored in a request")


def uuids(field: str) -> Rule:
    """Refuse what is no UUID, and more than a thousand."""
    return {
        "malformed": Refusal([SOME_UUID, "no-uuid"], field=f"{field}[1]"),
        "oversized": [SOME_UUID] * 1_001,
    }


def enum(*, unknown: int = 99) -> Rule:
    """Refuse UNSPECIFIED and a number that names nothing."""
    return {"absent": 0, "malformed": unknown}


def missing(key: str, reason: str) -> Rule:
    """Refuse what exists only in another tenant."""
    return {"foreign": Refusal(Foreign(key), NOT_FOUND, reason, "")}


def uuid_of(key: str, reason: str) -> Rule:
    """A required UUID of a thing."""
    return {**UUID, **missing(key, reason)}


def named(rule: Rule, key: str, reason: str) -> Rule:
    """A required name of a thing."""
    return {**rule, **missing(key, reason)}
