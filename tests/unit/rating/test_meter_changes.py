"""What may change of a meter that plan versions charge, and what makes one count anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from services.rating.domain.meter import Aggregation, DayBucket, Dimension, Meter, MeterInUse
from services.rating.domain.meter_changes import check_changes, counts_anew
from services.rating.domain.rounding import Rounding, RoundingMode

METER = Meter(
    meter_id=UUID(int=1),
    code="calls",
    name="Calls",
    event_type="calls",
    aggregation=Aggregation.SUM,
    value_property="v",
    dimensions=(Dimension("region", ("eu", "us")), Dimension("model", ())),
    created_at=datetime(2024, 1, 1, tzinfo=UTC),
)
REGION, MODEL = METER.dimensions
CEIL = Rounding(RoundingMode.CEIL, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "API calls"},
        {"dimensions": (Dimension("region", ("ap", "us", "eu")), MODEL)},
        {"dimensions": (Dimension("region", ()), MODEL)},
    ],
)
def test_names_and_more_values_change_nothing_that_was_counted(change: dict[str, Any]) -> None:
    changed = replace(METER, **change)
    check_changes(METER, changed)
    assert not counts_anew(METER, changed)


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        ({"event_type": "requests"}, True),
        ({"aggregation": Aggregation.MAX}, True),
        ({"value_property": "w"}, True),
        ({"expression": "1", "value_property": ""}, True),
        ({"dimensions": (MODEL, REGION)}, True),
        ({"dimensions": (REGION,)}, True),
        ({"dimensions": (REGION, MODEL, Dimension("zone", ()))}, True),
        ({"dimensions": (Dimension("region", ("eu",)), MODEL)}, False),
        ({"dimensions": (REGION, Dimension("model", ("small",)))}, False),
        ({"rounding": CEIL}, False),
        ({"recurring": True}, False),
        ({"day_bucket": DayBucket.MAX}, False),
        ({"aggregation": Aggregation.PERCENTILE, "percentile": 95}, True),
    ],
)
def test_what_would_change_usage_or_prices_is_refused_by_name(
    change: dict[str, Any], anew: bool
) -> None:
    changed = replace(METER, **change)
    with pytest.raises(MeterInUse) as refused:
        check_changes(METER, changed)
    named = set(refused.value.metadata["fields"].split(", "))
    assert named == {f"meter.{name}" for name in change}
    assert counts_anew(METER, changed) == anew
