"""Reading values of many events: an expression is evaluated for those that the meter counts."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import numpy as np

from services.rating.domain.batch import join
from services.rating.domain.columns import Slice, columns_of
from services.rating.domain.event import Moment, UsageEvent
from services.rating.domain.meter import Aggregation, Meter
from services.rating.domain.reading import numbers_of

METER = Meter(
    meter_id=UUID(int=1),
    code="m",
    name="m",
    event_type="read",
    aggregation=Aggregation.SUM,
    value_property="",
    dimensions=(),
    created_at=datetime(2024, 1, 1, tzinfo=UTC),
    expression="event.properties.v * 2",
)


def test_events_of_other_types_between_those_of_a_meter_have_no_value_for_it() -> None:
    types, values = ("other", "read", "other", "read", "read"), ("1", "2", "3", "x", "5")
    events = [
        UsageEvent(1, "acme", "", type_, Moment(0, 0, 1, place), {"v": value})
        for place, (type_, value) in enumerate(zip(types, values, strict=True))
    ]
    batch = join([Slice(0, 0, 1, 0, "", columns_of(events))])
    rows = np.array([place for place, type_ in enumerate(types) if type_ == "read"])
    numbers = numbers_of(batch, rows, METER)
    assert numbers.known.tolist() == [False, True, False, False, True]
    found = [Decimal(int(numbers.mantissas[row])) for row in (1, 4)]
    assert [
        value.scaleb(int(numbers.exponents[row])) for value, row in zip(found, (1, 4), strict=True)
    ] == [
        Decimal(4),
        Decimal(10),
    ]
