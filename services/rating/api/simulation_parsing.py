"""Reading what is to be simulated: the prices tried, and the periods that they are tried on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from libs.wire import (
    Faults,
    parse_code,
    parse_currency,
    parse_text,
    parse_timestamp,
)
from services.rating.api.plan_parsing import parse_version
from services.rating.domain.meter import repeats
from services.rating.domain.simulation import Candidate, StoredVersion
from services.rating.store.simulation import Selection
from tally.rating.v1 import rating_service_pb2 as pb

CANDIDATES_MAX = 10
CUSTOMERS_MAX = 1_000
UNNAMED = "Simulated plan"  # The base fee of prices that are not stored.


def parse_simulation(
    request: pb.SimulatePlanRequest, now: datetime
) -> tuple[list[StoredVersion | Candidate], Selection]:
    """Read the prices tried, and the periods, which have ended by `now`.

    Raises:
        FieldInvalid, FieldsInvalid: with every fault.
    """
    faults = Faults()
    with faults.gathered():
        wanted = _parse_candidates(request.candidates, now)
    with faults.gathered():
        selection = _parse_selection(request, now)
    faults.check()
    return wanted, selection


def _parse_candidates(
    messages: Sequence[pb.CandidatePlan], now: datetime
) -> list[StoredVersion | Candidate]:
    faults = Faults()
    if not messages:
        faults.add("candidates", "is missing")
    if len(messages) > CANDIDATES_MAX:
        faults.add("candidates", f"are {len(messages)}, at most {CANDIDATES_MAX} are allowed")
        faults.check()
    candidates = []
    places: dict[bytes, int] = {}
    for place, message in enumerate(messages):
        path = f"candidates[{place}]"
        same = places.setdefault(message.SerializeToString(deterministic=True), place)
        if same != place:
            faults.add(path, f"is the same as candidates[{same}]")
            continue
        with faults.gathered(path):
            candidates.append(_parse_prices(message, now))
    faults.check()
    return candidates


def _parse_prices(message: pb.CandidatePlan, now: datetime) -> StoredVersion | Candidate:
    faults = Faults()
    if message.HasField("version"):
        for name in ("plan_code", "plan_version"):
            if getattr(message, name):
                faults.add(name, "is given together with version")
        with faults.gathered():
            currency = parse_currency(message.currency_code, "currency_code")
        with faults.gathered():
            version = parse_version(message.version, now)
        faults.check()
        return Candidate(UNNAMED, currency, version)
    with faults.gathered():
        code = parse_code(message.plan_code, "plan_code")
    if message.plan_version < 0:
        faults.add("plan_version", f"is {message.plan_version}, must not be negative")
    if message.currency_code:
        faults.add("currency_code", "is that of the plan")
    faults.check()
    return StoredVersion(code, message.plan_version)


def _parse_selection(request: pb.SimulatePlanRequest, now: datetime) -> Selection:
    faults = Faults()
    end = now
    with faults.gathered():
        if request.HasField("end"):
            end = parse_timestamp(request.end, "end")
    if end > now:
        faults.add("end", f"{end.isoformat()} is after now, {now.isoformat()}")
    if not request.HasField("start"):
        faults.add("start", "is missing")
    with faults.gathered():
        start = parse_timestamp(request.start, "start")
    with faults.gathered():
        on_plan = parse_code(request.on_plan_code, "on_plan_code") if request.on_plan_code else ""
    customers = list(request.customer_ids)
    if len(customers) > CUSTOMERS_MAX:
        faults.add("customer_ids", f"are {len(customers)}, at most {CUSTOMERS_MAX} are allowed")
        faults.check()
    for place, customer_id in enumerate(customers):
        with faults.gathered():
            parse_text(customer_id, f"customer_ids[{place}]")
    for fault in repeats(customers, "customer_ids[{}]"):
        faults.add(fault.field, fault.problem)
    faults.check()
    return Selection(start, end, customers, on_plan)
