"""Reading what is to be previewed: a charge, and units or events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.tenant import Tenant
from libs.wire import Faults, check_size, parse_code, parse_currency, parse_decimal
from services.rating.api.event_parsing import Defaults, parse_events
from services.rating.api.meter_parsing import parse_meter
from services.rating.api.plan_parsing import VERSION_BYTES_MAX, parse_charge
from services.rating.domain.event import UsageEvent
from services.rating.domain.meter import Meter
from services.rating.domain.plan import Charge
from services.rating.operations.previewing import Units
from tally.rating.v1 import plan_service_pb2 as pb
from tally.rating.v1 import price_models_pb2 as models_pb


@dataclass(frozen=True, slots=True)
class Preview:
    """What is to be priced: `units`, or where they are None what a meter counts in `events`."""

    charge: Charge
    currency: str
    units: Units | None
    meter: Meter | None  # None: the charge's.
    events: Sequence[UsageEvent]


def parse_preview(request: pb.PreviewPriceRequest, tenant: Tenant, now: datetime) -> Preview:
    """Read what is to be priced; events without a time happen `now`.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    faults = Faults()
    units: Units | None = None
    meter: Meter | None = None
    if not request.HasField("charge"):
        faults.add("charge", "is missing")
        faults.check()
    with faults.gathered():
        check_size(request.charge, "charge", bytes_max=VERSION_BYTES_MAX)
        charge = parse_charge(request.charge, "charge")
    with faults.gathered():
        currency = parse_currency(request.currency_code, "currency_code")
    with faults.gathered():
        if request.HasField("units"):
            units = _parse_units(request.units)
    if units is not None and (request.events or request.HasField("meter")):
        faults.add("units", "are given together with events or a meter")
    with faults.gathered():
        if request.HasField("meter"):
            meter = parse_meter(request.meter, "meter", now)
    if request.HasField("meter") and request.meter.code != request.charge.meter_code:
        faults.add("meter.code", f"is not that of the charge, {request.charge.meter_code[:128]!r}")
    with faults.gathered():
        events = parse_events(request.events, "events", tenant, Defaults(now, anyones=True))
    faults.check()
    return Preview(charge, currency, units, meter, events)


def _parse_units(message: models_pb.PreviewedUnits) -> Units:
    faults = Faults()
    with faults.gathered():
        units = parse_decimal(message.units, "units.units")
    count = message.event_count
    if count < 0:
        faults.add("units.event_count", f"is {count}, must not be negative")
    code = message.filter_code
    with faults.gathered():
        if code:
            parse_code(code, "units.filter_code")
    faults.check()
    return Units(units, count, code)
