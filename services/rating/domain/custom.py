"""Custom prices: an expression over units, events and dimension values.

It is the language of meters, but that it reads `units`, `events` and `dimensions.NAME`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from libs.errors import FieldInvalid, Refused
from services.rating.domain.expression import Expression, evaluate, parse_expression
from services.rating.domain.expression_event import Failure, Readable
from services.rating.domain.expression_parsing import Names, Token
from services.rating.domain.expression_tree import ExpressionInvalid, Node, PropertyRead
from services.rating.domain.price import ONE, ZERO, Row, row_of

UNITS, EVENTS, DIMENSIONS = "units", "events", "dimensions."


class PriceNotComputable(Refused):
    """The expression of a custom price has no value, or a text, for some usage."""

    reason = "PRICE_NOT_COMPUTABLE"


@dataclass(frozen=True, slots=True)
class CustomPrice:
    """What `expression` gives; below zero it is nothing."""

    expression: str

    @property
    def dimensions(self) -> frozenset[str]:
        """The keys of the dimensions that it reads."""
        read = parsed(self.expression).properties
        return frozenset(
            name.removeprefix(DIMENSIONS) for name in read if name.startswith(DIMENSIONS)
        )


class Part(NamedTuple):
    """Usage with the same values of the dimensions that a price reads, in `dimensions`."""

    units: Decimal
    event_count: int
    dimensions: Mapping[str, str]


NOTHING = Part(ZERO, 0, {})


def rate_custom(price: CustomPrice, parts: Iterable[Part]) -> tuple[Row, ...]:
    """Price each of `parts` for itself. "units / 4 + events" of 10 units of 2 events is 4.50.

    A row holds what the expression gave as the price of one.

    Raises:
        PriceNotComputable: the expression has no value for one of them.
    """
    return tuple(row_of("custom", ONE, max(_value(price, part), ZERO)) for part in parts)


def custom_faults(price: CustomPrice, path: str) -> list[FieldInvalid]:
    """Return why the expression is none, or has no value where there is no usage."""
    field = f"{path}.expression"
    if not price.expression:
        return [FieldInvalid(field, "is missing")]
    try:
        if not price.dimensions:
            _value(price, NOTHING)
    except ExpressionInvalid as invalid:
        return [FieldInvalid(field, str(invalid))]
    except PriceNotComputable as failed:
        return [FieldInvalid(field, str(failed))]
    return []


def _value(price: CustomPrice, part: Part) -> Decimal:
    properties = {UNITS: part.units, EVENTS: Decimal(part.event_count)} | {
        f"{DIMENSIONS}{key}": text for key, text in part.dimensions.items()
    }
    value = evaluate(parsed(price.expression), Readable("", 0, properties))
    if isinstance(value, Decimal):
        return value
    why = str(value) if isinstance(value, Failure) else f"it is the text {value[:50]!r}"
    raise PriceNotComputable(f"{_described(part)} cannot be priced: {why}")


def _described(part: Part) -> str:
    values = "".join(f", {key} {text[:50]!r}" for key, text in sorted(part.dimensions.items()))
    return f"usage of {part.units} units, {part.event_count} events{values}"


def _read(token: Token) -> Node | None:
    if token.text in (UNITS, EVENTS) or token.text.startswith(DIMENSIONS):
        return PropertyRead(token.position, token.text)
    return None


USAGE = Names("units, events, dimensions.NAME", _read)


def _parse(text: str) -> Expression:
    return parse_expression(text, USAGE)


parsed = lru_cache(maxsize=4_096)(_parse)
