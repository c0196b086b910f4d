"""Reading events that are tried and not recorded, by the rules of those that are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from libs.errors import FieldInvalid
from libs.tenant import Tenant
from libs.wire import Faults, parse_decimal, parse_text, parse_timestamp
from services.rating.api.meter_parsing import KEY_BYTES_MAX, VALUE_BYTES_MAX
from services.rating.domain.estimating import LAST_NUMBER, LAST_SHARD
from services.rating.domain.event import Moment, PropertyValue, UsageEvent, micros
from tally.ingest.v1 import event_pb2 as pb

EVENTS_MAX = 1_000
PROPERTIES_MAX = 64


@dataclass(frozen=True, slots=True)
class Defaults:
    """What events have that do not say it themselves.

    `anyones`: they need no type and no customer.
    """

    time: datetime
    subscription_id: str = ""
    anyones: bool = False


def parse_events(
    messages: Sequence[pb.Event], path: str, tenant: Tenant, defaults: Defaults
) -> list[UsageEvent]:
    """Read up to 1,000 events; in the log they stand after all others, in their order.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault, below `path`.
    """
    faults = Faults()
    if len(messages) > EVENTS_MAX:
        faults.add(path, f"are {len(messages)}, at most {EVENTS_MAX} are allowed")
        faults.check()
    events: list[UsageEvent] = []
    for place, message in enumerate(messages):
        with faults.gathered():
            events.append(_parse_event(message, f"{path}[{place}]", place, tenant, defaults))
    faults.check()
    return events


def _parse_event(
    message: pb.Event, path: str, place: int, tenant: Tenant, defaults: Defaults
) -> UsageEvent:
    faults = Faults()
    time = defaults.time
    with faults.gathered():
        if message.HasField("time"):
            time = parse_timestamp(message.time, f"{path}.time")
    for name in ("id", "source", "hold_id"):
        with faults.gathered():
            parse_text(getattr(message, name), f"{path}.{name}", required=False)
    with faults.gathered():
        type_ = parse_text(message.type, f"{path}.type", required=not defaults.anyones)
    with faults.gathered():
        customer_id = parse_text(
            message.customer_id, f"{path}.customer_id", required=not defaults.anyones
        )
    with faults.gathered():
        subscription_id = parse_text(
            message.subscription_id or defaults.subscription_id,
            f"{path}.subscription_id",
            required=False,
        )
    amount: Decimal | None = None
    with faults.gathered():
        if message.amount:
            amount = parse_decimal(message.amount, f"{path}.amount")
    with faults.gathered():
        properties = parse_properties(message.properties, f"{path}.properties")
    faults.check()
    return UsageEvent(
        tenant=tenant,
        customer_id=customer_id,
        subscription_id=subscription_id,
        type=type_,
        moment=Moment(micros(time), LAST_SHARD, LAST_NUMBER, place),
        properties=properties,
        amount=amount,
    )


def parse_properties(
    messages: Mapping[str, pb.PropertyValue], path: str
) -> dict[str, PropertyValue]:
    """Read the properties of an event that is tried.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault, at or below `path`.
    """
    if len(messages) > PROPERTIES_MAX:
        raise FieldInvalid(path, f"are {len(messages)}, at most {PROPERTIES_MAX} are allowed")
    faults = Faults()
    properties: dict[str, PropertyValue] = {}
    for key, value in sorted(messages.items()):
        with faults.gathered():
            parse_text(key, path, bytes_max=KEY_BYTES_MAX)
            properties[key] = _parse_property(value, f"{path}.{key}")
    faults.check()
    return properties


def _parse_property(value: pb.PropertyValue, path: str) -> PropertyValue:
    match value.WhichOneof("kind"):
        case "text":
            return parse_text(value.text, path, bytes_max=VALUE_BYTES_MAX, required=False)
        case "decimal":
            return parse_decimal(value.decimal, path)
        case "flag":
            return value.flag
        case _:
            raise FieldInvalid(path, "is missing")
