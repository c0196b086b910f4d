"""What ingest computes without a server, for rows and for columns, by processor time."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any, TypeVar

from libs.tenant import Tenant
from services.ingest.api import answers, submitting
from services.ingest.domain.candidates import Rules, Submission, read_candidates
from services.ingest.domain.limits import Limits
from services.ingest.domain.verdicts import Judgements, decide, find_identities
from services.ingest.operations.recording import Recorded
from services.ingest.operations.sealing import encode_slices
from tally.ingest.v1.bulk_pb2 import RecordColumnsRequest
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tests.bench.workload import BATCH_EVENTS, START, Workload
from tests.columns import columns_of, short

T = TypeVar("T")

CUSTOMERS = 1_000
REQUESTS = 10  # Of 1,000 events: a full group.
ROUNDS = 7
MICROS = 1_000_000
RULES = Rules(Tenant(1), Limits(), int(START.timestamp()) * MICROS, 4, bytes(32))
Stages = Mapping[str, float]


def measure_ingest() -> dict[str, Stages]:
    """Return the microseconds of an event by form and stage, both forms in turns."""
    rows = Workload(CUSTOMERS, seed=5).batches(REQUESTS, duplicates=0)
    columns = [in_columns(one) for one in rows]
    spent: defaultdict[str, list[Stages]] = defaultdict(list)
    for _ in range(ROUNDS):
        spent["rows"].append(_of_a_group(rows, _parse_rows, answers.recorded_message))
        spent["columns"].append(_of_a_group(columns, _parse_columns, answers.columns_message))
    return {
        form: {stage: round(median(one[stage] for one in found), 2) for stage in found[0]}
        for form, found in spent.items()
    }


def in_columns(request: bytes) -> bytes:
    """Return a serialized RecordEventsRequest as a RecordColumnsRequest."""
    events = RecordEventsRequest.FromString(request).events
    return RecordColumnsRequest(columns=short(columns_of(events))).SerializeToString()


def _parse_rows(request: bytes) -> Submission:
    return submitting.rows_of(RULES, RecordEventsRequest.FromString(request), atomic=False)


def _parse_columns(request: bytes) -> Submission:
    columns = RecordColumnsRequest.FromString(request).columns
    return submitting.columns_of(RULES, columns, atomic=False)


def _of_a_group(
    requests: list[bytes],
    parse: Callable[[bytes], Submission],
    answer: Callable[[Recorded], Any],
) -> Stages:
    """Take a group of requests through all stages that need no database."""
    spent: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], T]) -> T:
        started = time.thread_time()
        result = work()
        seconds = time.thread_time() - started
        spent[stage] = seconds * MICROS / (REQUESTS * BATCH_EVENTS)
        return result

    group = timed("parse", lambda: [parse(one) for one in requests])
    candidates = timed("read", lambda: read_candidates(group))
    identities = timed("identities", lambda: find_identities(candidates))
    decision = timed("verdicts", lambda: decide(group, candidates, identities, {}))
    timed("encode", lambda: encode_slices(candidates, decision.accepted))
    timed("answers", lambda: [_written(one, answer) for one in decision.judgements])
    return {**spent, "all": sum(spent.values())}


def _written(judgements: Judgements, answer: Callable[[Recorded], Any]) -> bytes:
    written: bytes = answer(Recorded(judgements, 0, 1)).SerializeToString()
    return written
