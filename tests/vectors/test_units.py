"""Every case of rounded units and of counted days holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.units import count_days_case, round_case

FOLDER = Path(__file__).parent / "data/rating"
TOPICS = {"agg_rounding": round_case, "days_between": count_days_case}
CASES = [
    pytest.param(adapter, case, id=case["id"])
    for topic, adapter in TOPICS.items()
    for case in json.loads((FOLDER / f"{topic}.json").read_text(encoding="utf-8"))["cases"]
]


@pytest.mark.parametrize(("adapter", "case"), CASES)
def test_units_and_days_are_what_their_source_states(
    adapter: Callable[[Mapping[str, Any]], object], case: Mapping[str, Any]
) -> None:
    assert adapter(case["given"]) == case["expect"]
