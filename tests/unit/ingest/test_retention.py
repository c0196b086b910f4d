"""How long keys and the log are kept, and what is refused because of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from libs.planes import from_planes
from services.ingest.domain.columns import INT64
from services.ingest.domain.event import LoggedEvent
from services.ingest.domain.identity import event_key
from services.ingest.domain.retention import (
    Ages,
    EventTooOld,
    check_above,
    find_fault_below,
    find_identities_below,
    month_of,
    refuse_below,
)
from services.ingest.domain.validation import Reason
from tests.unit.ingest.events import (
    NOW,
    SECOND,
    SECRET,
    TENANT,
    columns_of,
    event,
    read,
    submission,
)

JANUARY = datetime(2026, 1, 1, tzinfo=UTC)  # As NOW.
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("instant", "name", "days"),
    [
        (JANUARY, "2026-01", 31),
        (JANUARY - timedelta(microseconds=1), "2025-12", 31),
        (datetime(2028, 2, 29, 23, 59, tzinfo=UTC), "2028-02", 29),
        (datetime(2026, 5, 1, tzinfo=timezone(timedelta(hours=2))), "2026-04", 30),
    ],
)
def test_months_are_those_of_utc(instant: datetime, name: str, days: int) -> None:
    month = month_of(instant)
    assert str(month) == name
    assert month.end - month.start == days * DAY


def test_the_floor_is_a_midnight_as_many_days_ago() -> None:
    now = JANUARY + 400 * DAY + timedelta(hours=23)
    assert Ages(400, 0).floor(now) == JANUARY
    assert Ages(400, 0).prunes_before(now) == JANUARY - DAY


def test_without_pruning_the_floor_stays_a_hundred_days_above_what_is_dropped() -> None:
    assert Ages(0, 500).floor(JANUARY + 400 * DAY) == JANUARY
    assert Ages(0, 500).prunes_before(JANUARY) is None
    assert Ages(0, 0).floor(JANUARY) is None


def test_a_month_is_dropped_so_many_days_after_its_end() -> None:
    ages, end = Ages(400, 500), datetime(2026, 2, 1, tzinfo=UTC)
    assert ages.drops(JANUARY, end + 500 * DAY)
    assert not ages.drops(JANUARY, end + 500 * DAY - timedelta(microseconds=1))
    assert not Ages(400, 0).drops(JANUARY, end + 5_000 * DAY)


def test_just_what_lies_before_the_floor_is_too_old() -> None:
    assert find_fault_below(NOW, JANUARY) is None
    fault = find_fault_below(NOW - 1, JANUARY)
    assert fault is not None and (fault.reason, fault.field) == (Reason.TIME_TOO_OLD, "time")
    assert "2025-12-31T23:59:59.999999" in fault.detail and "2026-01-01T00:00:00" in fault.detail
    check_above(NOW, JANUARY)
    check_above(NOW - 1, None)
    with pytest.raises(EventTooOld, match="events before 2026-01-01"):
        check_above(NOW - 1, JANUARY)


def test_events_below_the_floor_are_at_fault_and_no_others() -> None:
    sent = [event("new"), event("old", time=NOW - 1), event("untimed", time=None)]
    bad = event("bad", time=NOW - 2, type="")
    candidates = read(submission(*sent, bad))
    assert refuse_below(candidates, None) is candidates
    assert refuse_below(candidates, JANUARY - DAY) is candidates
    faults = refuse_below(candidates, JANUARY).faults
    assert {row: fault.reason for row, fault in faults.items()} == {
        1: Reason.TIME_TOO_OLD,
        3: Reason.TYPE_MISSING,
    }


def test_the_identities_to_prune_are_those_that_sealing_stored() -> None:
    sent = [
        event("b", source="s", time=NOW - 1),
        event("018f0000-0000-7000-8000-000000000001", time=NOW - SECOND),
        event("young"),
        event("untimed", time=None),
    ]
    candidates = read(submission(*sent))
    stored = {candidates.keys[row].tobytes() for row in (0, 1)}
    columns = columns_of([LoggedEvent(TENANT, place, one, NOW) for place, one in enumerate(sent)])
    found = find_identities_below(columns, JANUARY, SECRET)
    assert found == sorted((TENANT, key) for key in stored)
    assert (TENANT, event_key("s", "b", SECRET)) in found
    assert find_identities_below(columns, JANUARY - DAY, SECRET) == []
    assert from_planes(columns.times, INT64).min() == NOW - SECOND
