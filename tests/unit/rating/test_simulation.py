"""Which plan versions may be tried together, and of which meters a period's usage is not known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest

from libs.errors import FieldsInvalid
from services.rating.domain.meter import Meter
from services.rating.domain.plan import Charge, IntervalUnit, PlanVersion
from services.rating.domain.price import StandardPrice
from services.rating.domain.simulation import Candidate, check_comparable, unmetered_codes
from tests.property.rating.test_charges import a_period
from tests.unit.rating.test_fan_out import FAN_OUT, ONCE

PERIOD = a_period(31)
LATER = PERIOD.usage.start + timedelta(days=1)
BEFORE = replace(ONCE, created_at=PERIOD.usage.start)


def a_version(code: str) -> PlanVersion:
    charge = Charge(code, code, "", StandardPrice(Decimal(1)), ())
    start = PERIOD.usage.start
    return PlanVersion(UUID(int=1), 1, IntervalUnit.MONTH, None, None, (charge,), start)


@pytest.mark.parametrize(
    ("own", "tried", "known"),
    [
        (BEFORE, BEFORE, True),
        (BEFORE, replace(BEFORE, event_type="other"), False),
        (BEFORE, replace(BEFORE, created_at=LATER), False),
        (BEFORE, replace(BEFORE, changed_at=PERIOD.usage.start), True),
        (BEFORE, replace(BEFORE, changed_at=LATER), False),  # It was another before.
        (BEFORE, replace(BEFORE, fan_out=True), False),  # Events that others took are not in it.
        (replace(BEFORE, fan_out=True), BEFORE, False),
        (replace(BEFORE, fan_out=True), replace(FAN_OUT, created_at=BEFORE.created_at), True),
    ],
)
def test_usage_is_known_of_meters_that_counted_the_same_events_all_the_time(
    own: Meter, tried: Meter, known: bool
) -> None:
    meters = {"own": replace(own, code="own"), "tried": replace(tried, code="tried")}
    found = unmetered_codes(PERIOD, a_version("own"), a_version("tried"), meters)
    assert found == ([] if known else ["tried"])


MONTHLY = Candidate("Tried", "USD", a_version("own"))
OTHER = replace(MONTHLY, version=replace(MONTHLY.version, plan_version_id=UUID(int=2)))
WEEKLY = replace(
    MONTHLY,
    version=replace(MONTHLY.version, plan_version_id=UUID(int=3), interval_unit=IntervalUnit.WEEK),
)


@pytest.mark.parametrize(
    ("candidates", "refused"),
    [
        ([MONTHLY], []),
        ([MONTHLY, OTHER], []),
        ([MONTHLY, OTHER, MONTHLY], ["candidates[2]: is the version of candidates[0]"]),
        ([MONTHLY, WEEKLY], ["candidates[1]: is priced by week, candidates[0] by month"]),
        (
            [MONTHLY, WEEKLY, replace(OTHER, currency="EUR")],
            [
                "candidates[1]: is priced by week, candidates[0] by month",
                "candidates[2]: is priced in EUR, candidates[0] in USD",
            ],
        ),
        (
            [WEEKLY, replace(WEEKLY, currency="EUR")],
            [
                "candidates[1]: is the version of candidates[0]",
                "candidates[1]: is priced in EUR, candidates[0] in USD",
            ],
        ),
    ],
)
def test_candidates_are_each_there_once_and_of_one_currency_and_interval(
    candidates: list[Candidate], refused: list[str]
) -> None:
    faults: list[str] = []
    try:
        check_comparable(candidates)
    except FieldsInvalid as error:
        faults = [str(fault) for fault in error.faults]
    assert faults == refused
