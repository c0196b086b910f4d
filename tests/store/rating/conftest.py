"""A database of rating with meters and a plan, opened as the service opens it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import db
from libs.errors import Refused
from libs.requests import Request
from libs.tenant import Tenant
from services.rating.domain.columns import Slice, columns_of
from services.rating.domain.event import (
    Correction,
    LogPlace,
    Moment,
    PropertyValue,
    ShardHead,
    UsageEvent,
    micros,
)
from services.rating.domain.filters import DimensionFilter
from services.rating.domain.meter import Aggregation, Dimension, Meter, ValueInput
from services.rating.domain.plan import (
    Charge,
    FilterBucket,
    FixedCharge,
    IntervalUnit,
    Plan,
    PlanVersion,
    Timing,
)
from services.rating.domain.price import StandardPrice
from services.rating.operations import announcing, closing, meters, plans, subscriptions
from services.rating.operations.folding import Catalogs, fold_slices
from services.rating.operations.log import Watermark
from services.rating.operations.subscriptions import Wish
from services.rating.operations.usage import UsageReader
from services.rating.store.applied import Lane, load_applied, open_lanes
from tally.rating.v1 import rating_service_pb2 as rating_pb
from tests.servers import Database

TENANT = Tenant(7)
JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
LANE = Lane(0, 0)
TRACEPARENT = "00-{:032x}-{:016x}-01"


def instant(text_: str) -> datetime:
    """Read "2024-01-15 10:00" as UTC."""
    return datetime.fromisoformat(text_).replace(tzinfo=UTC)


def a_request() -> Request:
    """Return a request that no one has made."""
    return Request("test", uuid4(), b"")


@dataclass
class World:
    """A rating database, the log that is folded into it, and the tenant who uses it."""

    app: AsyncEngine
    worker: AsyncEngine
    catalogs: Catalogs = field(default_factory=Catalogs)
    number: int = 0
    through: datetime = JANUARY
    log: list[UsageEvent] = field(default_factory=list)
    corrections: list[tuple[int, Correction]] = field(default_factory=list)
    dropped_before: datetime | None = None  # Older events are no longer in the log.

    def standing(self, *, through: int = 0) -> list[UsageEvent]:
        """Return what the log holds, as corrected by segments up to `through`, in log order."""
        now = {
            one.at: one.added
            for number, one in self.corrections
            if number <= through or not through
        }
        found = [now.get(place_of(event), event) for event in self.log]
        return [event for event in found if event is not None]

    async def events(
        self,
        tenant: Tenant,
        customer_id: str,
        *,
        start: datetime,
        end: datetime | None = None,
        event_type: str = "",
        corrected_through: int = 0,
    ) -> AsyncGenerator[Sequence[UsageEvent], None]:
        """Give a customer's events as ingest does."""
        if self.dropped_before is not None and start < self.dropped_before:
            raise Refused("events are no longer in the log", reason="LOG_TRIMMED")
        for event in self.standing(through=corrected_through):
            own = (event.tenant, event.customer_id) == (tenant, customer_id)
            late = end is not None and event.moment.time >= micros(end)
            if not own or late or event.moment.time < micros(start):
                continue
            if event_type in ("", event.type):
                yield [event]

    @property
    def reader(self) -> UsageReader:
        """Where the tenant's usage is read."""
        return UsageReader(self.app, self.worker, self, TENANT)

    async def heads(self) -> Sequence[ShardHead]:
        return [ShardHead(0, self.through, (self.number,))]

    async def create_meter(
        self,
        code: str,
        aggregation: Aggregation,
        *,
        value: str = "",
        dimensions: Sequence[str] = (),
        tenant: Tenant = TENANT,
        **options: Any,
    ) -> None:
        """Create a meter; what its aggregation must be told besides has a default."""
        if aggregation is Aggregation.WEIGHTED_SUM:
            options.setdefault("value_input", ValueInput.DELTA)
        if aggregation is Aggregation.PERCENTILE:
            options.setdefault("percentile", 90)
        meter = Meter(
            meter_id=uuid4(),
            code=code,
            name=code,
            event_type=options.pop("event_type", code),
            aggregation=aggregation,
            value_property=value,
            dimensions=tuple(Dimension(key, ()) for key in dimensions),
            created_at=JANUARY,
            **options,
        )
        await meters.create_meter(self.app, tenant, a_request(), meter, validate_only=False)

    async def create_plan(
        self,
        code: str,
        charges: Sequence[Charge],
        *,
        base: str | None = None,
        timing: Timing = Timing.IN_ARREARS,
        unit: IntervalUnit = IntervalUnit.MONTH,
        fixed: Sequence[FixedCharge] = (),
        tenant: Tenant = TENANT,
        **terms: Any,
    ) -> None:
        version = PlanVersion(
            plan_version_id=uuid4(),
            version=1,
            interval_unit=unit,
            base_amount=None if base is None else Decimal(base),
            base_timing=None if base is None else timing,
            charges=tuple(charges),
            created_at=JANUARY,
            fixed_charges=tuple(fixed),
            **terms,
        )
        plan = Plan(uuid4(), code, code, "USD", JANUARY)
        await plans.create_plan(
            self.app, tenant, a_request(), plan=plan, version=version, validate_only=False
        )

    async def subscribe(
        self,
        subscription_id: str,
        *,
        plan: str = "calls",
        customer: str = "",
        start: datetime = JANUARY,
        end: datetime | None = None,
        now: datetime = JANUARY,
        zone: str = "UTC",
        default: bool = False,
        delay_s: int = 600,
        historical: str | None = None,
        backfill: bool = True,
        tenant: Tenant = TENANT,
    ) -> UUID:
        wish = Wish(
            subscription_id=subscription_id,
            customer_id=customer or subscription_id,
            plan_code=plan,
            plan_version=0,
            start=start,
            end=end,
            time_zone=zone,
            default_for_usage=default,
            collection_delay_s=delay_s,
            historical_usage=None if historical is None else Decimal(historical),
            backfill=backfill,
        )
        answer = await subscriptions.create_subscription(
            self.app, tenant, a_request(), wish, now=now
        )
        return UUID(answer.subscription.subscription_uid)

    def slice(self, *events: UsageEvent) -> Slice:
        """Seal `events` as the next segment."""
        self.number += 1
        placed = [
            replace(event, moment=Moment(event.moment.time, 0, self.number, place))
            for place, event in enumerate(events)
        ]
        self.log += placed
        traceparent = TRACEPARENT.format(self.number, self.number)
        return Slice(0, 0, self.number, self.number - 1, traceparent, columns_of(placed))

    def correct(self, at: LogPlace, added: UsageEvent | None) -> Slice:
        """Seal that the event recorded at a place is `added`, or retracted, as the next segment."""
        [current] = [event for event in self.standing() if place_of(event) == at]
        self.number += 1
        if added is not None:
            added = replace(added, moment=Moment(added.moment.time, *at))
        removed = (current.customer_id, current.moment.time)
        correction = Correction(current.tenant, at, removed, added)
        self.corrections.append((self.number, correction))
        traceparent = TRACEPARENT.format(self.number, self.number)
        previous = self.number - 1
        return Slice(0, 0, self.number, previous, traceparent, columns_of([]), [correction])

    async def fold(self, *events: UsageEvent, catalogs: Catalogs | None = None) -> None:
        """Seal `events` and fold them."""
        piece = self.slice(*events)
        await self.fold_slice(piece, catalogs=catalogs)

    async def fold_slice(self, piece: Slice, *, catalogs: Catalogs | None = None) -> None:
        positions = {LANE: piece.previous_number}
        await fold_slices(self.worker, catalogs or self.catalogs, [piece], positions)

    async def announce(self, now: datetime) -> int:
        """Announce what is due by `now`, with the log complete up to there."""
        self.through = now
        groups = await announcing.load_due_groups(self.worker, now)
        watermark = await Watermark(self.worker, self).load(now)
        return await announcing.announce(self.worker, groups, watermark)

    async def close(self, period_id: UUID, now: datetime) -> rating_pb.RatedPeriod:
        answer = await closing.close_period(self.app, self, TENANT, period_id, now=now)
        return answer.rated

    async def adjust(self, period_id: UUID, sequence: int) -> rating_pb.RatedPeriod:
        answer = await closing.close_adjustment(
            self.app, self, TENANT, period_id, sequence=sequence, now=self.through
        )
        return answer.adjustment

    async def period_id(self, subscription_id: str, *, kind: str = "usage", n: int = 0) -> UUID:
        """Return the n-th period of a subscription's id."""
        rows = await self.fetch(
            "SELECT period_id FROM billing_periods WHERE subscription_id = :id AND kind = :kind"
            " ORDER BY usage_start, due_at OFFSET :n LIMIT 1",
            id=subscription_id,
            kind=kind,
            n=n,
        )
        found: UUID = rows[0][0]
        return found

    async def positions(self) -> Mapping[Lane, int]:
        async with db.begin_worker(self.worker) as conn:
            return await load_applied(conn)

    async def fetch(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Return the rows of `query`, asked by the worker."""
        async with db.begin_worker(self.worker) as conn:
            return [tuple(row) for row in await conn.execute(text(query), parameters)]

    async def subjects(self) -> list[str]:
        """Return the facts announced so far, by their short names."""
        rows = await self.fetch("SELECT subject FROM outbox ORDER BY id")
        return [subject.rpartition(".")[2] for (subject,) in rows]


def place_of(event: UsageEvent) -> LogPlace:
    """Return where an event was recorded."""
    return LogPlace(*event.moment[1:])


def an_event(
    customer: str,
    at: datetime,
    *,
    type_: str = "calls",
    subscription: str = "",
    tenant: Tenant = TENANT,
    **properties: PropertyValue,
) -> UsageEvent:
    """Return an event that is not in the log yet."""
    return UsageEvent(
        tenant=tenant,
        customer_id=customer,
        subscription_id=subscription,
        type=type_,
        moment=Moment(micros(at), 0, 0, 0),
        properties=properties,
    )


def a_charge(meter: str, price: str, *, buckets: Sequence[FilterBucket] = ()) -> Charge:
    """Return a charge of so much a unit."""
    return Charge(meter, meter, "", StandardPrice(Decimal(price)), tuple(buckets))


def a_bucket(code: str, key: str, values: Sequence[str], price: str) -> FilterBucket:
    """Return a bucket with a price of its own."""
    filters = (DimensionFilter(key, frozenset(values)),)
    return FilterBucket(code, filters, StandardPrice(Decimal(price)))


@pytest.fixture
async def world(lent_database: Callable[[str], Database]) -> AsyncIterator[World]:
    """A world with the meter `calls`, and the plan `calls` at $0.01 a call, a month."""
    async with opened_world(lent_database("rating")) as made:
        async with db.begin_worker(made.worker) as conn:
            await open_lanes(conn, [LANE])
        await made.create_meter("calls", Aggregation.COUNT)
        await made.create_plan("calls", [a_charge("calls", "0.01")])
        yield made


@asynccontextmanager
async def opened_world(opened: Database) -> AsyncIterator[World]:
    """Open a database for as long as the block lasts."""
    app = db.connect(opened.app_url, connections_max=4)
    worker = db.connect(opened.worker_url, connections_max=4)
    yield World(app, worker)
    await app.dispose()
    await worker.dispose()
