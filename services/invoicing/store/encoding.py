"""Values that stand in JSON columns: dataclasses of the domain, exact to the last digit."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

Value = TypeVar("Value")


def to_json(value: object) -> Any:
    """Return `value` as JSON can hold it; decimals, ids and times become text."""
    return msgspec.to_builtins(value)


def from_json(content: Any, kind: type[Value]) -> Value:
    """Return what `to_json` was given."""
    return msgspec.convert(content, kind)
