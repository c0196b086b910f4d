"""Explaining: what each meter reads in an event, or why it reads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from libs.quantity import decimal_text
from services.rating.domain.event import PropertyValue, UsageEvent
from services.rating.domain.expression import evaluate
from services.rating.domain.expression_event import Failure, Readable
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.reading import parsed
from services.rating.domain.value import parse_value, text_of

SHOWN_MAX = 50  # Characters of a value that is none.


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter counts of an event: a `value`, or none because of a `problem`."""

    meter_code: str
    value: str
    problem: str
    dimensions: tuple[tuple[str, str], ...]  # Keys and values; "" is a missing one.


def read_event(event: UsageEvent, meters: Sequence[Meter]) -> list[Reading]:
    """Return what each of `meters`, all of the event's type, reads in it, by code."""
    return [_read(event, meter) for meter in sorted(meters, key=lambda meter: meter.code)]


def _read(event: UsageEvent, meter: Meter) -> Reading:
    dimensions = tuple(
        (each.key, text_of(event.properties.get(each.key))) for each in meter.dimensions
    )
    if meter.aggregation is Aggregation.COUNT:
        return Reading(meter.code, "1", "", dimensions)
    found = _value(event, meter)
    if isinstance(found, Failure):
        return Reading(meter.code, "", str(found), dimensions)
    source = "the expression" if meter.expression else f"property {meter.value_property}"
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        text = text_of(found)
        return Reading(meter.code, text, "" if text else f"{source} is empty", dimensions)
    number = parse_value(found)
    if number is None:
        problem = f"{source} is {text_of(found)[:SHOWN_MAX]!r}: no number below 10^30, 30 places"
        return Reading(meter.code, "", problem, dimensions)
    return Reading(meter.code, decimal_text(number), "", dimensions)


def _value(event: UsageEvent, meter: Meter) -> PropertyValue | None | Failure:
    if not meter.expression:
        return event.properties.get(meter.value_property)
    readable = Readable(event.type, event.moment.time, event.properties)
    return evaluate(parsed(meter.expression), readable)
