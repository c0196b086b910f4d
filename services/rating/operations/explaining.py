"""Telling what became of a stored event: who took it, and what meters read in it."""

from __future__ import annotations

from typing import Protocol

from libs.db import Snapshots
from libs.partition import partition_of
from libs.tenant import Tenant
from libs.wire import civil_date
from services.rating.domain.attribution import Catalog, who_takes
from services.rating.domain.estimating import local_days_of
from services.rating.domain.event import UsageEvent
from services.rating.domain.explaining import Reading, read_event
from services.rating.operations.log import Log, count_partitions, is_applied
from services.rating.store.applied import load_applied
from services.rating.store.catalog import load_meters_by_type, load_terms
from services.rating.store.reattributions import find_jobs
from tally.ingest.v1.event_pb2 import StoredEvent
from tally.rating.v1 import usage_service_pb2 as pb


class EventLog(Log, Protocol):
    """The log, and single events of it by their identity."""

    async def event(self, tenant: Tenant, source: str, id_: str) -> tuple[StoredEvent, UsageEvent]:
        """Return an event as it is stored, and as rating reads it.

        Raises:
            NotFound: there is none; the reason is EVENT_NOT_FOUND.
            Unavailable: a shard is away.
        """


async def explain_event(
    snapshots: Snapshots, log: EventLog, tenant: Tenant, source: str, id_: str
) -> pb.ExplainEventResponse:
    """Tell what became of an event by the catalog as it is now. Errors: `EventLog.event`."""
    stored, event = await log.event(tenant, source, id_)
    partitions = await count_partitions(log)
    partition = partition_of(tenant, event.customer_id, partitions)
    customer = (tenant, event.customer_id)
    async with snapshots.begin() as conn:
        applied = is_applied(event, await load_applied(conn), partition)
        pending = bool(await find_jobs(conn, {customer}))
        terms = await load_terms(conn, [customer])
        meters = await load_meters_by_type(conn, [tenant])
    answer = pb.ExplainEventResponse(event=stored, applied=applied and not pending)
    if stored.retracted:
        return answer
    catalog = Catalog(0, meters[tenant], {event.customer_id: terms[customer]})
    _add_attribution(answer, event, catalog)
    readings = read_event(event, catalog.meters.get(event.type, ()))
    answer.readings.extend(_reading_message(one) for one in readings)
    return answer


def _add_attribution(answer: pb.ExplainEventResponse, event: UsageEvent, catalog: Catalog) -> None:
    [taken] = who_takes([event], catalog)
    if taken.term is None:
        return
    answer.subscription_id = taken.term.subscription_id
    answer.ambiguous = taken.ambiguous
    [(_, day), *others] = local_days_of(event, taken)
    answer.day.CopyFrom(civil_date(day))
    answer.fanned_out.extend(
        pb.FannedOut(subscription_id=term.subscription_id, day=civil_date(there))
        for term, there in sorted(others, key=lambda other: other[0].subscription_id)
    )


def _reading_message(reading: Reading) -> pb.MeterReading:
    return pb.MeterReading(
        meter_code=reading.meter_code,
        counted=not reading.problem,
        value=reading.value,
        problem=reading.problem,
        dimensions=dict(reading.dimensions),
    )
