"""What a verification finds: pure values, written as messages by `libs.verification`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from libs.quantity import decimal_text

Names = Mapping[str, str]  # From the whole to the part: {"subscription_id": "s", "day": "…"}.


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is stored otherwise than the level below it gives; "" stands for nothing."""

    tenant: int
    kind: str
    names: Names
    field: str
    stored: str
    recomputed: str


@dataclass(frozen=True, slots=True)
class Unverified:
    """Something that could not be compared now, because it is being changed."""

    tenant: int
    kind: str
    names: Names
    reason: str


Finding = Difference | Unverified


def compared(
    tenant: int, kind: str, names: Names, **fields: tuple[object, object]
) -> list[Difference]:
    """Return a difference for each of `fields` whose stored and recomputed values are not equal.

    compared(1, "wallet", {}, held_minor=(5, 7)) gives one, with "5" and "7".
    """
    return [
        Difference(tenant, kind, names, field, shown(stored), shown(recomputed))
        for field, (stored, recomputed) in fields.items()
        if stored != recomputed
    ]


def shown(value: object) -> str:
    """Write a value for people: decimals plainly, bytes in hex, None as ""."""
    match value:
        case None:
            return ""
        case Decimal():
            return decimal_text(value)
        case bytes():
            return value.hex()
        case datetime():
            return value.isoformat()
        case tuple() | list():
            return ", ".join(map(shown, value))
    return str(value)
