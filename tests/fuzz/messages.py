"""Requests made from the contracts: good ones with some fields touched, and wild ones."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from tests.contract.bad_input.requests import World, good_requests
from tests.fuzz import values
from tests.fuzz.known import Known
from tests.fuzz.methods import Method

DEPTH_MAX = 5
BYTES_MAX = 6 * 1024 * 1024  # Of what repeating an element may come to.
COUNTS = [0, 1, 1, 2, 3, 5, 11, 101, 201, 1_001, 10_001]
TOUCHED = st.sampled_from([0, 1, 1, 1, 2, 2, 3, 6])
COUNT = st.sampled_from(COUNTS)
FEW = st.integers(0, 3)
FLAGS = st.booleans()
SECONDS = st.one_of(st.sampled_from(values.SECONDS), st.integers(-(2**63), 2**63 - 1))
NANOS = st.sampled_from(values.NANOS)
BYTES = st.one_of(st.sampled_from(values.BYTES), st.binary(max_size=64))

Draw = Any  # What hypothesis calls a DrawFn, but callable with any strategy.


@st.composite
def touched(draw: Draw, method: Method, known: Known, world: World) -> Message:
    """A good request of the method, some of whose fields were set to something else."""
    good = {**good_requests(world), **_deep_requests(world)}.get(method.key, {})
    request = method.request_type(**good)
    for _ in range(draw(TOUCHED)):
        _touch(draw, request, known)
    return request


def _deep_requests(world: World) -> dict[str, dict[str, Any]]:
    """Good requests that reach further than those of the table: to usage that is priced."""
    event = {
        "type": world["meter"],
        "customer_id": world["customer"],
        "properties": {"value": {"decimal": "1"}, "region": {"text": "eu"}},
    }
    subscription = {"customer_id": world["customer"], "plan_code": world["plan"]}
    events = [{**event, "id": str(uuid4())} for _ in range(3)]
    return {
        "ingest.v1.IngestService.RecordEvents": {"events": events},
        "ingest.v1.IngestService.StreamEvents": {"batch_number": 1, "events": {"events": events}},
        "rating.v1.SubscriptionService.CreateSubscription": {
            "request_id": str(uuid4()),
            "subscription": {**subscription, "subscription_id": str(uuid4())},
        },
    }


@st.composite
def wild(draw: Draw, method: Method, known: Known) -> Message:
    """Any request that the method's contract can express."""
    request = method.request_type()
    _fill(draw, request, known, depth=0)
    return request


def _touch(draw: Draw, message: Any, known: Known) -> None:
    """Set one field of `message`, or of a message somewhere in it."""
    fields = message.DESCRIPTOR.fields
    if not fields:
        return
    field = fields[draw(st.integers(0, len(fields) - 1))]
    inner = _held(draw, message, field)
    if inner is not None and draw(values.PERCENT) < 75:
        _touch(draw, inner, known)
    elif draw(values.PERCENT) < 10:
        message.ClearField(field.name)
    else:
        _set(draw, message, field, known, depth=1)


def _held(draw: Draw, message: Any, field: FieldDescriptor) -> Message | None:
    """Return the message that the field holds, or one of them, to go down into."""
    if field.message_type is None or _is_time(field.message_type) or _is_map(field):
        return None
    if not field.is_repeated:
        found: Message | None = (
            getattr(message, field.name) if message.HasField(field.name) else None
        )
        return found
    held = getattr(message, field.name)
    return held[draw(st.integers(0, min(len(held), 4) - 1))] if held else None


def _fill(draw: Draw, message: Any, known: Known, *, depth: int) -> None:
    for field in message.DESCRIPTOR.fields:
        if draw(values.PERCENT) < (80 if depth < DEPTH_MAX else 10):
            _set(draw, message, field, known, depth=depth)


def _set(draw: Draw, message: Any, field: FieldDescriptor, known: Known, *, depth: int) -> None:
    message.ClearField(field.name)
    if _is_map(field):
        _set_map(draw, getattr(message, field.name), field, known, depth=depth)
    elif field.is_repeated:
        _set_many(draw, getattr(message, field.name), field, known, depth=depth)
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        inner.SetInParent()
        _fill_message(draw, inner, known, depth=depth + 1)
    else:
        setattr(message, field.name, _value(draw, field, known))


def _set_many(draw: Draw, held: Any, field: FieldDescriptor, known: Known, *, depth: int) -> None:
    """Fill a repeated field: a few different elements, or very many alike."""
    count = draw(COUNT)
    for _ in range(min(count, 3)):
        if field.message_type is None:
            held.append(_value(draw, field, known))
        else:
            _fill_message(draw, held.add(), known, depth=depth + 1)
    if count <= 3 or depth > 1:
        return
    last = held[-1]
    size = last.ByteSize() if isinstance(last, Message) else len(str(last))
    more = min(count, BYTES_MAX // (size + 1)) - len(held)
    held.extend([last] * max(more, 0))


def _set_map(draw: Draw, held: Any, field: FieldDescriptor, known: Known, *, depth: int) -> None:
    assert field.message_type is not None
    key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    for place in range(draw(COUNT) if depth < 2 else draw(FEW)):
        name: Any = _value(draw, key, known) if place < 3 else f"k{place}"
        if value.message_type is None:
            held[name] = _value(draw, value, known) if place < 3 else f"v{place}"
        elif place < 3:
            _fill_message(draw, held[name], known, depth=depth + 1)
        else:
            held[name].SetInParent()


def _fill_message(draw: Draw, message: Any, known: Known, *, depth: int) -> None:
    if _is_time(message.DESCRIPTOR):
        message.seconds = draw(SECONDS)
        message.nanos = draw(NANOS)
    elif depth < DEPTH_MAX:
        _fill(draw, message, known, depth=depth)


def _value(draw: Draw, field: FieldDescriptor, known: Known) -> object:
    """Draw a value of a field that holds no message."""
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
            return draw(BYTES)
        case FieldDescriptor.CPPTYPE_STRING:
            return draw(values.texts_for(field.name, known))
        case FieldDescriptor.CPPTYPE_BOOL:
            return draw(FLAGS)
        case FieldDescriptor.CPPTYPE_ENUM:
            return draw(values.enums_for(field))
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return draw(st.floats())
    return draw(values.integers_for(field))


def _is_time(descriptor: Descriptor) -> bool:
    return descriptor.full_name in ("google.protobuf.Timestamp", "google.protobuf.Duration")


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry
