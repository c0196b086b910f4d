"""Ids, codes and tokens that exist, by the names of the fields that hold them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from tests.contract.bad_input.requests import World

PER_NAME_MAX = 24
FIRST = 4  # So many are those of the worlds; they stay.
TEXT_MAX = 2_048
# Fields that hold what another field's name stands for.
NAMES = {
    "code": ("meter", "plan", "tax"),
    "meter_code": ("meter",),
    "meter_codes": ("meter",),
    "plan_code": ("plan",),
    "tax_codes": ("tax",),
    "default_tax_codes": ("tax",),
    "subscription_id": ("subscription", "ending"),
    "customer_id": ("customer",),
    "type": ("meter",),
    "id": ("event", "retracted"),
    "rejected_event_id": ("rejected",),
    "wallet_id": ("wallet",),
    "hold_id": ("hold", "released"),
    "invoice_id": ("invoice",),
    "number": ("invoice_number",),
    "period_id": ("period",),
}
ALIASES = {"page_token": "next_page_token", "sequence": "after_seq"}
# What our own internal calls would break if they were made with the id of a draft.
NEVER_LEARNT = {"invoice_id"}


class Known:
    """What a call may name so that it reaches deep: of one tenant, and a little of another."""

    def __init__(self, mine: World, other: World) -> None:
        self._texts: dict[str, dict[str, None]] = defaultdict(dict)
        for name, keys in NAMES.items():
            for key in keys:
                for world in (other, mine):
                    self._texts[name][world[key]] = None
        self._learn_text("type", "calls")
        self._texts["key"] = dict.fromkeys(("region", "value"))

    def texts(self, field: str) -> Sequence[str]:
        """Return what exists for a field of this name, the newest last."""
        return list(self._texts.get(ALIASES.get(field, field), ()))

    def learn(self, answer: Message) -> None:
        """Take in what an answer names."""
        for name, value in _texts_in(answer, depth=4):
            if value and len(value) <= TEXT_MAX and name not in NEVER_LEARNT:
                self._learn_text(name, value)

    def _learn_text(self, name: str, value: str) -> None:
        texts = self._texts[name]
        texts[value] = None
        while len(texts) > PER_NAME_MAX:
            del texts[list(texts)[FIRST]]
        if name == "meter_code":
            self._learn_text("type", value)


def _texts_in(message: Message, depth: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for field, value in message.ListFields():
        if isinstance(value, str):
            found.append((field.name, value))
            if field.name == "code":  # Of a Meter: what others call a meter_code.
                found.append((f"{message.DESCRIPTOR.name.lower()}_code", value))
        elif isinstance(value, Message):
            found += _texts_in(value, depth - 1) if depth else []
        elif isinstance(value, Mapping) or not hasattr(value, "__getitem__"):
            continue
        elif not isinstance(value, bytes):
            found += _texts_of(field.name, value, depth)
    return found


def _texts_of(name: str, values: Any, depth: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for value in list(values[:10]):
        if isinstance(value, str):
            found.append((name, value))
        elif isinstance(value, Message) and depth:
            found += _texts_in(value, depth - 1)
    return found
