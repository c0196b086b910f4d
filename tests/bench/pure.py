"""What rating computes without a server: folding and pricing, by processor time of one core."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from uuid import uuid4
from zoneinfo import ZoneInfo

from libs.wire import parse_timestamp
from services.rating.domain.attribution import Catalog, Term
from services.rating.domain.columns import Slice, columns_of
from services.rating.domain.event import Moment, PropertyValue, UsageEvent, micros
from services.rating.domain.folding import fold
from services.rating.domain.meter import Aggregation, Dimension, Meter
from services.rating.domain.price import GraduatedPrice, Tier, amount_of, rate
from tally.ingest.v1.event_pb2 import Event
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tally.rating.v1 import meter_service_pb2 as meter_pb
from tests.bench.workload import EVENT_TYPE, METERS, START, Workload, customer

CUSTOMERS = 1_000  # Each has 19 cells a day, and there is one day.
EVENTS = 100_000
SLICE_EVENTS = 5_000
FOLDS = 5
TENANT = 1
PRICES = 5_000
MICROS = 1_000_000
TRACEPARENT = "00-{:032x}-{:016x}-01"
TIERS = (("100", "0.5", "1"), ("1000", "0.4", "0"), ("10000", "0.3", "0"), ("100000", "0.2", "2"))


@dataclass(frozen=True, slots=True)
class Folding:
    """How fast events became cells, and how many cells there were in the end."""

    events_per_s: float
    cell_count: int


def measure_fold() -> Folding:
    """Fold 100,000 events at once, each time anew as the folder does.

    Every fold touches all cells; merging them into the stored ones is not part of it.
    """
    slices = _slices(EVENTS)
    catalogs = {TENANT: _catalog()}
    folded = fold(slices, catalogs)
    assert folded.event_count == EVENTS, folded.event_count
    with _as_in_a_service():
        seconds = [_cpu_seconds(lambda: fold(slices, catalogs)) for _ in range(FOLDS)]
    return Folding(EVENTS / median(seconds), len(folded.cells))


def price_graduated_us() -> float:
    """Return the microseconds that pricing a charge of five tiers, all reached, takes."""
    tiers = [Tier(*map(Decimal, each)) for each in TIERS]
    price = GraduatedPrice((*tiers, Tier(None, Decimal("0.1"), Decimal(0))))
    units = Decimal("123456.789")
    assert amount_of(rate(price, units)) == Decimal("23458.6789"), rate(price, units)

    def price_often() -> None:
        for _ in range(PRICES):
            amount_of(rate(price, units))

    return median(_cpu_seconds(price_often) for _ in range(FOLDS)) / PRICES * MICROS


@contextmanager
def _as_in_a_service() -> Iterator[None]:
    """Look for cycles as seldom as `libs.serve` has its process do."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.thread_time()  # Not of the thread that shows the progress.
    work()
    return time.thread_time() - started


def _slices(events: int) -> list[Slice]:
    workload = Workload(CUSTOMERS, seed=3)
    slices = []
    for number in range(1, events // SLICE_EVENTS + 1):
        sent = RecordEventsRequest.FromString(workload.batch(SLICE_EVENTS)).events
        columns = columns_of([_read(event, number, place) for place, event in enumerate(sent)])
        traceparent = TRACEPARENT.format(number, number)
        slices.append(Slice(0, 0, number, number - 1, traceparent, columns))
    return slices


def _read(event: Event, number: int, place: int) -> UsageEvent:
    properties: dict[str, PropertyValue] = {
        name: Decimal(value.decimal) if value.HasField("decimal") else value.text
        for name, value in event.properties.items()
    }
    return UsageEvent(
        tenant=TENANT,
        customer_id=event.customer_id,
        subscription_id="",
        type=event.type,
        moment=Moment(micros(parse_timestamp(event.time, "time")), 0, number, place),
        properties=properties,
    )


def _catalog() -> Catalog:
    names = meter_pb.Aggregation.Name
    meters = [
        Meter(
            meter_id=uuid4(),
            code=meter.code,
            name=meter.code,
            event_type=meter.event_type,
            aggregation=Aggregation(names(meter.aggregation).removeprefix("AGGREGATION_").lower()),
            value_property=meter.value_property,
            dimensions=tuple(Dimension(each.key, ()) for each in meter.dimensions),
            created_at=START,
        )
        for meter in METERS
    ]
    terms = {customer(number): [_term(customer(number))] for number in range(CUSTOMERS)}
    return Catalog(1, {EVENT_TYPE: meters}, terms)


def _term(subscription_id: str) -> Term:
    return Term(
        term_id=uuid4(),
        subscription_id=subscription_id,
        subscription_start=0,
        default_for_usage=False,
        zone=ZoneInfo("UTC"),
        start=0,
        end=None,
        event_types=frozenset([EVENT_TYPE]),
    )
