"""What a meter must be like."""

from __future__ import annotations

from collections.abc import Iterator

from libs.errors import FieldInvalid
from services.rating.domain.expression import parse_expression
from services.rating.domain.expression_tree import ExpressionInvalid
from services.rating.domain.meter import Aggregation, Meter, repeats
from services.rating.domain.rounding import rounding_faults

DIMENSIONS_MAX = 8
DIMENSION_VALUES_MAX = 1_000
PERCENTILES = (50, 90, 95, 99)
RECURRING = (Aggregation.SUM, Aggregation.UNIQUE_COUNT, Aggregation.WEIGHTED_SUM)
# A day for itself says nothing of these: their results go on from day to day.
NOT_BY_DAY = (Aggregation.LATEST, Aggregation.WEIGHTED_SUM)


def meter_faults(meter: Meter, path: str) -> list[FieldInvalid]:
    """Return every rule that `meter` breaks, by field."""
    faults = [*_value_faults(meter, path), *_option_faults(meter, path)]
    if meter.rounding is not None:
        faults += rounding_faults(meter.rounding, f"{path}.rounding")
    return faults + _dimension_faults(meter, path)


def _value_faults(meter: Meter, path: str) -> Iterator[FieldInvalid]:
    """Give what is wrong with where the value comes from: a property or an expression."""
    if meter.aggregation is Aggregation.COUNT:
        for name in ("value_property", "expression"):
            if getattr(meter, name):
                yield FieldInvalid(f"{path}.{name}", "COUNT takes none")
        return
    if not meter.expression:
        if not meter.value_property:
            yield FieldInvalid(f"{path}.value_property", "is missing, and so is an expression")
        return
    if meter.value_property:
        yield FieldInvalid(f"{path}.value_property", "is given, and so is an expression")
    try:
        parse_expression(meter.expression)
    except ExpressionInvalid as invalid:
        yield FieldInvalid(f"{path}.expression", str(invalid))


def _option_faults(meter: Meter, path: str) -> Iterator[FieldInvalid]:
    """Give which options do not go with the aggregation, or with one another."""
    aggregation = meter.aggregation
    if meter.value_input is not None and aggregation is not Aggregation.WEIGHTED_SUM:
        yield FieldInvalid(f"{path}.value_input", "only WEIGHTED_SUM takes one")
    if aggregation is Aggregation.PERCENTILE:
        if meter.percentile not in PERCENTILES:
            allowed = ", ".join(map(str, PERCENTILES))
            yield FieldInvalid(f"{path}.percentile", f"must be one of {allowed}")
    elif meter.percentile:
        yield FieldInvalid(f"{path}.percentile", "only PERCENTILE takes one")
    if meter.recurring and aggregation not in RECURRING:
        allowed = ", ".join(each.name for each in RECURRING)
        yield FieldInvalid(f"{path}.recurring", f"only {allowed} may be")
    if meter.day_bucket is None:
        return
    if aggregation in NOT_BY_DAY:
        yield FieldInvalid(f"{path}.day_bucket", f"{aggregation.name} takes none")
    if meter.recurring:
        yield FieldInvalid(f"{path}.day_bucket", "a recurring meter takes none")


def _dimension_faults(meter: Meter, path: str) -> list[FieldInvalid]:
    faults = []
    if len(meter.dimensions) > DIMENSIONS_MAX:
        problem = f"are {len(meter.dimensions)}, at most {DIMENSIONS_MAX} are allowed"
        faults.append(FieldInvalid(f"{path}.dimensions", problem))
    keys = [dimension.key for dimension in meter.dimensions]
    faults += repeats(keys, path + ".dimensions[{}].key")
    for place, dimension in enumerate(meter.dimensions):
        at = f"{path}.dimensions[{place}].values"
        if len(dimension.values) > DIMENSION_VALUES_MAX:
            problem = f"are {len(dimension.values)}, at most {DIMENSION_VALUES_MAX} are allowed"
            faults.append(FieldInvalid(at, problem))
        faults += repeats(dimension.values, at + "[{}]")
    return faults
