"""Reading what is asked for of subscriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from google.protobuf.message import Message

from libs.errors import FieldInvalid
from libs.wire import (
    Faults,
    parse_code,
    parse_date,
    parse_enum,
    parse_text,
    parse_timestamp,
    parse_zone,
)
from services.rating.api.override_parsing import parse_overrides
from services.rating.api.price_parsing import parse_optional
from services.rating.domain.calendar import BillingTime
from services.rating.domain.overrides import NOTHING_OTHER
from services.rating.domain.phases import PHASES_MAX, Phase
from services.rating.domain.subscription import COLLECTION_DELAY_S, COLLECTION_DELAY_S_MAX
from services.rating.operations.subscriptions import Wish
from tally.rating.v1 import subscription_changes_pb2 as changes_pb
from tally.rating.v1 import subscription_service_pb2 as pb

METADATA_MAX, KEY_BYTES_MAX, TEXT_BYTES_MAX = 50, 64, 500


def parse_wish(request: pb.CreateSubscriptionRequest) -> Wish:
    """Read what is asked for when subscribing.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    if not request.HasField("subscription"):
        raise FieldInvalid("subscription", "is missing")
    message, path = request.subscription, "subscription"
    faults = Faults()
    with faults.gathered():
        subscription_id = parse_text(message.subscription_id, f"{path}.subscription_id")
    with faults.gathered():
        customer_id = parse_text(message.customer_id, f"{path}.customer_id")
    with faults.gathered():
        plan_code = parse_code(message.plan_code, f"{path}.plan_code")
    if message.plan_version < 0:
        problem = f"is {message.plan_version}, must not be negative"
        faults.add(f"{path}.plan_version", problem)
    with faults.gathered():
        start = parse_optional_instant(message, "start", f"{path}.start")
    with faults.gathered():
        end = parse_optional_instant(message, "end", f"{path}.end")
    with faults.gathered():
        time_zone = parse_zone(message.time_zone, f"{path}.time_zone", default="UTC")
    delay_s = COLLECTION_DELAY_S
    if message.HasField("collection_delay_s"):
        delay_s = message.collection_delay_s
    if not 0 <= delay_s <= COLLECTION_DELAY_S_MAX:
        problem = f"is {delay_s}, must be 0 to {COLLECTION_DELAY_S_MAX}"
        faults.add(f"{path}.collection_delay_s", problem)
    billing_time = BillingTime.CALENDAR
    if message.billing_time:
        with faults.gathered():
            billing_time = BillingTime(
                parse_enum(
                    message.billing_time,
                    pb.BillingTime,
                    f"{path}.billing_time",
                    prefix="BILLING_TIME_",
                )
            )
    anchor_day: date | None = None
    if message.HasField("anchor_day"):
        with faults.gathered():
            anchor_day = parse_date(message.anchor_day, f"{path}.anchor_day")
    historical: Decimal | None = None
    with faults.gathered():
        historical = parse_optional(request.historical_usage, "historical_usage")
    metadata: tuple[tuple[str, str], ...] = ()
    with faults.gathered():
        metadata = parse_metadata(message.metadata, f"{path}.metadata")
    if message.billing_entity_code:
        with faults.gathered():
            parse_code(message.billing_entity_code, f"{path}.billing_entity_code")
    phases = _parse_phases(request.phases, faults)
    overrides = NOTHING_OTHER
    with faults.gathered():
        overrides = parse_overrides(request.overrides)
    backfill = "bill"
    if request.backfill:
        with faults.gathered():
            backfill = parse_enum(
                request.backfill, changes_pb.Backfill, "backfill", prefix="BACKFILL_"
            )
    faults.check()
    return Wish(
        subscription_id=subscription_id,
        customer_id=customer_id,
        plan_code=plan_code,
        plan_version=message.plan_version,
        start=start,
        end=end,
        time_zone=time_zone,
        default_for_usage=message.default_for_usage,
        collection_delay_s=delay_s,
        billing_time=billing_time,
        anchor_day=anchor_day,
        metadata=metadata,
        billing_entity_code=message.billing_entity_code,
        phases=phases,
        overrides=overrides,
        historical_usage=historical,
        backfill=backfill == "bill",
    )


def _parse_phases(
    messages: Sequence[changes_pb.SubscriptionPhase], faults: Faults
) -> tuple[Phase, ...]:
    """Read the plans that follow, noting `faults`."""
    if len(messages) > PHASES_MAX:
        faults.add("phases", f"{len(messages)} phases, at most {PHASES_MAX}")
        return ()
    found = []
    for place, message in enumerate(messages):
        path = f"phases[{place}]"
        if message.plan_version < 0:
            problem = f"is {message.plan_version}, must not be negative"
            faults.add(f"{path}.plan_version", problem)
        with faults.gathered():
            plan_code = parse_code(message.plan_code, f"{path}.plan_code")
            if not message.HasField("start"):
                raise FieldInvalid(f"{path}.start", "is missing")
            start = parse_timestamp(message.start, f"{path}.start")
            found.append(Phase(plan_code, message.plan_version, start))
    return tuple(found)


def parse_metadata(entries: Mapping[str, str], field: str) -> tuple[tuple[str, str], ...]:
    """Read texts of the client's, by key.

    Raises:
        FieldInvalid: there are too many, or one is too long.
    """
    if len(entries) > METADATA_MAX:
        raise FieldInvalid(field, f"{len(entries)} entries, at most {METADATA_MAX}")
    for key, value in entries.items():
        parse_text(key, field, bytes_max=KEY_BYTES_MAX)
        parse_text(value, field, bytes_max=TEXT_BYTES_MAX, required=False)
    return tuple(sorted(entries.items()))


def parse_optional_instant(message: Message, name: str, path: str) -> datetime | None:
    """Read an instant that may be absent."""
    return parse_timestamp(getattr(message, name), path) if message.HasField(name) else None
