"""What is told of an event: who takes it, and what each meter reads in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from services.rating.domain.event import Moment, PropertyValue, UsageEvent
from services.rating.domain.explaining import Reading, read_event
from services.rating.domain.meter import Aggregation, Dimension, Meter

SUM = Meter(
    meter_id=UUID(int=1),
    code="m",
    name="m",
    event_type="read",
    aggregation=Aggregation.SUM,
    value_property="v",
    dimensions=(Dimension("region", ()), Dimension("model", ())),
    created_at=datetime(2024, 1, 1, tzinfo=UTC),
)
COUNT = replace(SUM, aggregation=Aggregation.COUNT, value_property="")
UNIQUE = replace(SUM, aggregation=Aggregation.UNIQUE_COUNT)
COMPUTED = replace(SUM, value_property="", expression="event.properties.v / event.properties.n")


def read(meter: Meter, **properties: PropertyValue) -> Reading:
    event = UsageEvent(1, "acme", "", "read", Moment(0, 0, 1, 0), properties)
    [reading] = read_event(event, [meter])
    return reading


@pytest.mark.parametrize(
    ("meter", "properties", "value"),
    [
        (COUNT, {}, "1"),
        (SUM, {"v": "1.50"}, "1.5"),
        (SUM, {"v": Decimal("1e2")}, "100"),
        (UNIQUE, {"v": True}, "true"),
        (UNIQUE, {"v": " a"}, " a"),
        (COMPUTED, {"v": "3", "n": "2"}, "1.5"),
    ],
)
def test_a_reading_is_what_the_meter_counts(
    meter: Meter, properties: dict[str, Any], value: str
) -> None:
    found = read(meter, **properties)
    assert (found.value, found.problem) == (value, "")


@pytest.mark.parametrize(
    ("meter", "properties", "said"),
    [
        (SUM, {}, "property v is ''"),
        (SUM, {"v": "5 kg"}, "property v is '5 kg'"),
        (SUM, {"v": True}, "property v is 'true'"),
        (UNIQUE, {}, "property v is empty"),
        (COMPUTED, {"v": "3", "n": "0"}, "DIVISION_BY_ZERO at character"),
        (COMPUTED, {"v": "3"}, "PROPERTY_MISSING at character"),
    ],
)
def test_a_problem_says_why_the_meter_counts_nothing(
    meter: Meter, properties: dict[str, Any], said: str
) -> None:
    found = read(meter, **properties)
    assert found.value == ""
    assert found.problem.startswith(said)


def test_dimensions_are_read_with_or_without_a_value() -> None:
    found = read(SUM, region="eu", v="x")
    assert found.dimensions == (("region", "eu"), ("model", ""))
