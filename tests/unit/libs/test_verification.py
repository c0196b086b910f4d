"""What a verification finds, as values and as messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from libs.difference import Difference, Finding, Unverified, compared, shown
from libs.verification import Counts, answers
from tally.rating.v1.usage_service_pb2 import VerifyUsageResponse


def test_only_fields_with_two_values_differ() -> None:
    found = compared(1, "wallet", {"wallet_id": "w"}, held_minor=(5, 7), available_minor=(3, 3))
    assert found == [Difference(1, "wallet", {"wallet_id": "w"}, "held_minor", "5", "7")]


def test_equal_decimals_do_not_differ_by_their_digits() -> None:
    assert compared(1, "cell", {}, total=(Decimal("1.50"), Decimal("1.5"))) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (Decimal("1.50"), "1.5"),
        (b"\x0a", "0a"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00+00:00"),
        (("eu", Decimal("2.0"), None), "eu, 2, "),
        (7, "7"),
    ],
)
def test_values_are_written_for_people(value: object, text: str) -> None:
    assert shown(value) == text


async def test_findings_come_first_and_what_was_looked_at_last() -> None:
    counts = Counts()

    async def findings() -> AsyncGenerator[Finding, None]:
        counts["cells"] += 1
        yield Difference(7, "cell", {"day": "today", "meter_code": "m"}, "total", "1", "2")
        counts["cells"] += 1
        yield Unverified(7, "period", {}, "it is late")

    said = [one async for one in answers(VerifyUsageResponse, findings(), counts)]
    assert [one.WhichOneof("result") for one in said] == [
        "difference",
        "unverified",
        "verification",
    ]
    difference = said[0].difference
    assert [(one.name, one.value) for one in difference.names] == [
        ("day", "today"),
        ("meter_code", "m"),
    ]
    assert (difference.tenant, difference.stored, difference.recomputed) == (7, "1", "2")
    assert said[1].unverified.reason == "it is late"
    verification = said[2].verification
    assert verification.difference_count == 1
    assert [(one.name, one.count) for one in verification.counts] == [("cells", 2)]


async def test_a_verification_that_is_left_early_is_closed() -> None:
    closed = []

    async def findings() -> AsyncGenerator[Finding, None]:
        try:
            while True:
                yield Unverified(1, "period", {}, "late")
        finally:
            closed.append(True)

    said = answers(VerifyUsageResponse, findings(), Counts())
    await anext(said)
    await said.aclose()
    assert closed == [True]
