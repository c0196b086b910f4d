"""Questions for usage as the domain knows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from libs.wire import (
    Faults,
    parse_code,
    parse_enum,
    parse_text,
    parse_timestamp,
    parse_zone,
)
from services.rating.domain.filters import ANY, DimensionFilter
from services.rating.domain.meter import repeats
from services.rating.domain.meter_rules import DIMENSION_VALUES_MAX, DIMENSIONS_MAX
from services.rating.domain.usage_query import UsageQuery
from services.rating.domain.windows import Window
from services.rating.operations.acks import Ack, parse_ack
from services.rating.operations.watching import parse_resume_token
from tally.rating.v1 import plan_service_pb2 as plan_pb
from tally.rating.v1 import usage_service_pb2 as pb

KEY_BYTES_MAX, VALUE_BYTES_MAX = 64, 1_024


@dataclass(frozen=True, slots=True)
class UsageAsked:
    """Asks for a period's usage; `as_of` None: for all of it."""

    subscription_id: str
    at: datetime
    as_of: datetime | None
    ack: Ack | None


@dataclass(frozen=True, slots=True)
class WatchAsked:
    """Asks to follow usage from what has the token `resumed`; b"" for nothing."""

    subscription_id: str
    resumed: bytes
    ack: Ack | None


def parse_usage(request: pb.GetUsageRequest, now: datetime) -> UsageAsked:
    """Read a question for the usage of a period."""
    faults = Faults()
    as_of = ack = None
    at = now
    with faults.gathered():
        parse_text(request.subscription_id, "subscription_id")
    with faults.gathered():
        if request.HasField("as_of"):
            at = as_of = parse_timestamp(request.as_of, "as_of")
    with faults.gathered():
        if request.HasField("at"):
            at = parse_timestamp(request.at, "at")
    with faults.gathered():
        ack = parse_ack(request.ack_token)
    faults.check()
    return UsageAsked(request.subscription_id, at, as_of, ack)


def parse_query(request: pb.QueryUsageRequest) -> tuple[UsageQuery, Ack | None]:
    """Read a question for usage by windows."""
    faults = Faults()
    window, ack = "", None
    filters: tuple[DimensionFilter, ...] = ()
    with faults.gathered():
        parse_text(request.subscription_id, "subscription_id")
    with faults.gathered():
        parse_code(request.meter_code, "meter_code")
    start = _parse_instant(request.HasField("start"), request.start, "start", faults)
    end = _parse_instant(request.HasField("end"), request.end, "end", faults)
    if start and end and end <= start:
        faults.add("end", f"{end.isoformat()} is not after the start {start.isoformat()}")
    with faults.gathered():
        window = parse_enum(request.window, pb.UsageWindow, "window", prefix="USAGE_WINDOW_")
    with faults.gathered():
        _check_keys(request.group_by, "group_by", "group_by[{}]")
    with faults.gathered():
        filters = _parse_filters(request.filters)
    with faults.gathered():
        if request.time_zone:
            parse_zone(request.time_zone, "time_zone")
    with faults.gathered():
        ack = parse_ack(request.ack_token)
    faults.check()
    assert start and end
    query = UsageQuery(
        subscription_id=request.subscription_id,
        meter_code=request.meter_code,
        start=start,
        end=end,
        window=Window(window),
        group_by=tuple(request.group_by),
        filters=filters,
        time_zone=request.time_zone,
    )
    return query, ack


def parse_watch(request: pb.WatchUsageRequest) -> WatchAsked:
    """Read a wish to follow usage."""
    faults = Faults()
    resumed, ack = b"", None
    with faults.gathered():
        parse_text(request.subscription_id, "subscription_id")
    with faults.gathered():
        resumed = parse_resume_token(request.resume_token)
    with faults.gathered():
        ack = parse_ack(request.ack_token)
    faults.check()
    return WatchAsked(request.subscription_id, resumed, ack)


def _parse_instant(given: bool, message: Timestamp, field: str, faults: Faults) -> datetime | None:
    if not given:
        faults.add(field, "is missing")
    else:
        with faults.gathered():
            return parse_timestamp(message, field)
    return None


def _check_keys(keys: Sequence[str], field: str, path: str) -> None:
    """Check up to 8 property keys, each once; `path` is that of each, with "{}" for its place."""
    faults = Faults()
    if len(keys) > DIMENSIONS_MAX:
        faults.add(field, f"are {len(keys)}, at most {DIMENSIONS_MAX} are allowed")
        faults.check()
    for place, key in enumerate(keys):
        with faults.gathered():
            parse_text(key, path.format(place), bytes_max=KEY_BYTES_MAX)
    for fault in repeats(keys, path):
        faults.add(fault.field, fault.problem)
    faults.check()


def _parse_filters(messages: Sequence[plan_pb.DimensionFilter]) -> tuple[DimensionFilter, ...]:
    _check_keys([each.key for each in messages], "filters", "filters[{}].key")
    faults = Faults()
    for place, each in enumerate(messages):
        with faults.gathered():
            _check_values(each.values, f"filters[{place}].values")
    faults.check()
    return tuple(DimensionFilter(each.key, frozenset(each.values)) for each in messages)


def _check_values(values: Sequence[str], path: str) -> None:
    faults = Faults()
    if not values:
        faults.add(path, "is missing")
    if len(values) > DIMENSION_VALUES_MAX:
        faults.add(path, f"are {len(values)}, at most {DIMENSION_VALUES_MAX} are allowed")
        faults.check()
    for place, value in enumerate(values):
        with faults.gathered():
            parse_text(value, f"{path}[{place}]", bytes_max=VALUE_BYTES_MAX)
    if ANY in values and len(values) > 1:
        faults.add(path, f"{ANY!r} stands alone: it means every value")
    for fault in repeats(values, path + "[{}]"):
        faults.add(fault.field, fault.problem)
    faults.check()
