"""What a meter may be: every fault of one is named, by field."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.rating.domain.meter import Aggregation, DayBucket, Meter, ValueInput
from services.rating.domain.meter_rules import meter_faults
from services.rating.domain.rounding import Rounding, RoundingMode

A = Aggregation


def faults(aggregation: Aggregation, value_property: str = "v", **options: Any) -> dict[str, str]:
    meter = Meter(
        meter_id=UUID(int=1),
        code="m",
        name="m",
        event_type="m",
        aggregation=aggregation,
        value_property=value_property,
        dimensions=(),
        created_at=datetime(2024, 1, 1, tzinfo=UTC),
        **options,
    )
    return {
        fault.field.removeprefix("meter."): fault.problem for fault in meter_faults(meter, "meter")
    }


@pytest.mark.parametrize(
    ("aggregation", "options"),
    [
        (A.COUNT, {"value_property": "", "day_bucket": DayBucket.MAX}),
        (A.SUM, {"recurring": True, "rounding": Rounding(RoundingMode.CEIL, -30)}),
        (A.SUM, {"value_property": "", "expression": "event.properties.v * 8"}),
        (A.AVG, {"day_bucket": DayBucket.SUM}),
        (A.UNIQUE_COUNT, {"recurring": True}),
        (A.WEIGHTED_SUM, {"recurring": True, "value_input": ValueInput.LEVEL}),
        (A.PERCENTILE, {"percentile": 95, "day_bucket": DayBucket.MAX}),
    ],
)
def test_options_go_with_the_aggregations_that_have_a_use_for_them(
    aggregation: Aggregation, options: dict[str, Any]
) -> None:
    assert faults(aggregation, **options) == {}


@pytest.mark.parametrize(
    ("aggregation", "options", "expected"),
    [
        (A.COUNT, {}, {"value_property"}),
        (A.COUNT, {"value_property": "", "expression": "1"}, {"expression"}),
        (A.SUM, {"value_property": ""}, {"value_property"}),
        (A.SUM, {"expression": "1"}, {"value_property"}),
        (A.SUM, {"value_input": ValueInput.DELTA}, {"value_input"}),
        (A.SUM, {"percentile": 50}, {"percentile"}),
        (A.PERCENTILE, {}, {"percentile"}),
        (A.PERCENTILE, {"percentile": 75}, {"percentile"}),
        (A.MAX, {"recurring": True}, {"recurring"}),
        (A.LATEST, {"day_bucket": DayBucket.SUM}, {"day_bucket"}),
        (A.WEIGHTED_SUM, {"day_bucket": DayBucket.SUM}, {"day_bucket"}),
        (A.SUM, {"recurring": True, "day_bucket": DayBucket.MAX}, {"day_bucket"}),
        (A.SUM, {"rounding": Rounding(RoundingMode.ROUND, 31)}, {"rounding.places"}),
        (A.MAX, {"recurring": True, "percentile": 1}, {"recurring", "percentile"}),
    ],
)
def test_other_options_are_refused_all_at_once(
    aggregation: Aggregation, options: dict[str, Any], expected: set[str]
) -> None:
    assert faults(aggregation, **options).keys() == expected


def test_an_expression_that_cannot_be_read_is_refused_with_its_place() -> None:
    found = faults(A.SUM, "", expression="1 + + 2")
    assert found["expression"].startswith("SYNTAX at character 5:")
