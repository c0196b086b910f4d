"""Every case of expressions holds."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.expression import evaluate_case

FILE = Path(__file__).parent / "data/rating/expression.json"
CASES = json.loads(FILE.read_text(encoding="utf-8"), parse_float=Decimal)["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_an_expression_gives_what_its_source_states(case: dict[str, Any]) -> None:
    assert evaluate_case(case["given"]) == case["expect"]
