"""How a bad value gets into a good request."""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.message import Message

from tests.contract.bad_input.requests import World
from tests.contract.bad_input.rules import Foreign


def put(request: Message, path: str, value: object, other: World) -> None:
    """Set the field at `path` ("events[0].id"); None clears it, `Foreign` is looked up."""
    *parents, last = path.split(".")
    target: Any = request
    for name in parents:
        target = _step(target, name)
    value = _resolved(value, other)
    field = target.DESCRIPTOR.fields_by_name[last]
    target.ClearField(last)
    if value is None:
        return
    if isinstance(value, list):
        for one in value:
            held = getattr(target, last)
            held.add(**one) if isinstance(one, dict) else held.append(one)
    elif isinstance(value, dict) and field.message_type.GetOptions().map_entry:
        for key, one in value.items():
            if isinstance(one, dict):
                getattr(target, last)[key].MergeFrom(type(getattr(target, last)[key])(**one))
            else:
                getattr(target, last)[key] = one
    elif isinstance(value, dict):
        getattr(target, last).CopyFrom(type(getattr(target, last))(**value))
        getattr(target, last).SetInParent()
    else:
        setattr(target, last, value)


def _step(target: Any, name: str) -> Any:
    found = re.fullmatch(r"(\w+)(?:\[(\d+)\])?", name)
    assert found, name
    held = getattr(target, found[1])
    return held if found[2] is None else held[int(found[2])]


def _resolved(value: object, other: World) -> object:
    if isinstance(value, Foreign):
        return other[value.key]
    if isinstance(value, list):
        return [_resolved(one, other) for one in value]
    return value
