"""Correcting events: a correction is sealed like events, as a record of its own.

Lock order: the sealers' advisory lock, shared; the request id; the event's key; and last the
shard's counter row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs import db, requests, telemetry
from libs.clock import Clock
from libs.partition import partition_of
from libs.requests import Request
from libs.tenant import Tenant
from libs.wire import timestamp
from services.ingest.domain.candidates import Candidates, Submission, read_candidates
from services.ingest.domain.event import EventNotFound
from services.ingest.domain.identity import event_key
from services.ingest.domain.retention import check_above, find_fault_below
from services.ingest.domain.sent import read_event
from services.ingest.domain.version import EventRetracted, Found, RuleBroken, Version
from services.ingest.operations import metrics
from services.ingest.operations.messages import ack_token, event_message, stored_message
from services.ingest.operations.reading import corrected, find_recorded
from services.ingest.operations.sealing import SHARD
from services.ingest.store import keys, log, segments, versions
from services.ingest.store.segments import Opened, SliceContent
from services.ingest.store.settings import Topology
from services.ingest.store.slice_content import pack_corrections
from tally.ingest.v1 import ingest_service_pb2 as pb
from tally.ingest.v1 import segment_pb2

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    """Names an event of a tenant."""

    tenant: Tenant
    source: str
    event_id: str


@dataclass(frozen=True, slots=True)
class Corrector:
    """Amends and retracts events, one in a transaction. `worker` is the engine of that role."""

    worker: AsyncEngine
    clock: Clock
    topology: Topology
    committed: Callable[[], None]  # Called after each commit of a segment.
    # One at a time: the worker's connections are for those who seal and hand on.
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def amend(self, request: Request, submission: Submission) -> pb.AmendEventResponse:
        """Give the event of `submission`, its only one, the content that it has there.

        Raises:
            RuleBroken: the event breaks a rule of events.
            EventNotFound: the tenant stored no event of this identity.
            EventRetracted: it was taken back.
            EventTooOld: it happened before the floor.
            LogTrimmed: the log does not have it any more.
            RequestIdReused: the request came before with other content.
        """
        candidates = read_candidates([submission])
        if 0 in candidates.faults:
            raise RuleBroken(candidates.faults[0])
        event = read_event(candidates.content(0))
        identity = Identity(submission.rules.tenant, event.source, event.id)
        async with self._turn, db.begin_worker(self.worker) as conn:
            opened = await segments.open_segment(conn, SHARD, alone=False)
            earlier = await requests.claim(conn, identity.tenant, request, pb.AmendEventResponse)
            if earlier is not None:
                return earlier
            current = await self._lock_current(conn, identity, opened.floor)
            if current.retracted:
                raise EventRetracted(_said(identity, "was retracted"))
            new = _amended(current, candidates)
            if (fault := find_fault_below(new.time, opened.floor)) is not None:
                raise RuleBroken(fault)
            if new.digest != current.digest:
                current = await self._seal(conn, identity, opened, current, new)
            answer = pb.AmendEventResponse(
                event=stored_message(corrected(identity.tenant, current)),
                ack_token=ack_token(current.number),
            )
            await requests.save_answer(conn, identity.tenant, request, answer)
        self.committed()
        return answer

    async def retract(self, request: Request, identity: Identity) -> pb.RetractEventResponse:
        """Take an event back. Raises as `amend` does."""
        async with self._turn, db.begin_worker(self.worker) as conn:
            opened = await segments.open_segment(conn, SHARD, alone=False)
            earlier = await requests.claim(conn, identity.tenant, request, pb.RetractEventResponse)
            if earlier is not None:
                return earlier
            current = await self._lock_current(conn, identity, opened.floor)
            if not current.retracted:
                new = replace(current, retracted=True)
                current = await self._seal(conn, identity, opened, current, new)
            answer = pb.RetractEventResponse(
                event=stored_message(corrected(identity.tenant, current)),
                ack_token=ack_token(current.number),
            )
            await requests.save_answer(conn, identity.tenant, request, answer)
        self.committed()
        return answer

    def _key(self, identity: Identity) -> bytes:
        return event_key(identity.source, identity.event_id, self.topology.key_secret)

    async def _lock_current(
        self, conn: AsyncConnection, identity: Identity, floor: datetime | None
    ) -> Version:
        """Return what the event is, and let nobody else correct it until the transaction ends."""
        current = await self._find_locked(conn, identity)
        check_above(current.time, floor)
        return current

    async def _find_locked(self, conn: AsyncConnection, identity: Identity) -> Version:
        tenant, key = identity.tenant, self._key(identity)
        locked = await keys.lock_key(conn, tenant, SHARD, key)
        if locked is None:
            raise EventNotFound(_said(identity, "is not stored"))
        # A statement of its own: what another correction has committed meanwhile is seen.
        newest = await versions.find_newest(conn, tenant, key)
        if newest is not None:
            return newest
        number, digest = locked
        parts = await log.find_segment_parts(conn, tenant, SHARD, number)
        found = await find_recorded(
            parts, tenant, source=identity.source, event_id=identity.event_id
        )
        return _recorded(found, digest)

    async def _seal(
        self,
        conn: AsyncConnection,
        identity: Identity,
        opened: Opened,
        current: Version,
        new: Version,
    ) -> Version:
        """Append what makes `current` the `new` version; return it with its number."""
        now = self.clock.now()
        new = replace(new, version=current.version + 1, corrected_at=now)
        number = await segments.append_segment(
            conn,
            shard_id=SHARD,
            opened=opened,
            sealed_at=now,
            traceparent=telemetry.headers().get("traceparent", ""),
            slices=self._slices(identity.tenant, current, new),
        )
        new = replace(new, number=number)
        await versions.insert_version(conn, identity.tenant, self._key(identity), new)
        metrics.CORRECTIONS.labels("retraction" if new.retracted else "amendment").inc()
        return new

    def _slices(self, tenant: Tenant, current: Version, new: Version) -> list[SliceContent]:
        """Tell each partition what it loses and what it gains."""
        added = stored_message(corrected(tenant, new))
        told: dict[int, segment_pb2.Correction] = {}

        def of(customer_id: str) -> segment_pb2.Correction:
            partition = partition_of(tenant, customer_id, self.topology.partitions)
            return told.setdefault(
                partition,
                segment_pb2.Correction(tenant=tenant, position=added.position, version=new.version),
            )

        loses = of(current.customer_id).removed
        loses.customer_id = current.customer_id
        loses.time.CopyFrom(timestamp(_instant(current.time)))
        if not new.retracted:
            of(new.customer_id).added.CopyFrom(added)
        times = [_instant(version.time) for version in (current, new)]
        return [
            SliceContent(
                partition=partition,
                event_count=0,
                time_min=min(times),
                time_max=max(times),
                tenants=(),  # Whose events are looked for in slices finds none here.
                content=pack_corrections([told[partition]]),
                correction_count=1,
            )
            for partition in sorted(told)
        ]


def _recorded(found: Found, digest: int) -> Version:
    event = found.logged.event
    return Version(
        version=1,
        number=found.position.number,
        origin=found.position,
        received=found.logged.received,
        time=found.logged.time,
        customer_id=event.customer_id,
        digest=digest,
        retracted=False,
        content=event_message(event).SerializeToString(deterministic=True),
        corrected_at=None,
    )


def _amended(current: Version, candidates: Candidates) -> Version:
    """Return `current` with the content of the only candidate."""
    content = candidates.content(0)
    given = bool(candidates.times_given[0])
    event = read_event(content)
    return replace(
        current,
        time=int(candidates.times[0]) if given else current.received,
        customer_id=event.customer_id,
        digest=int(candidates.digests[0]),
        content=content,
    )


def _said(identity: Identity, problem: str) -> str:
    return f"the event of source {identity.source!r} and id {identity.event_id!r} {problem}"


def _instant(micros: int) -> datetime:
    return EPOCH + timedelta(microseconds=micros)
