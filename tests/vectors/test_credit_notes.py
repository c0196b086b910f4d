"""Credit notes as Lago states them; voiding whole invoices is no part of this suite yet."""

from __future__ import annotations

import pytest

from tests.vectors.adapters.credit_notes import credit_note
from tests.vectors.cases import load
from tests.vectors.running import run

FUNCTIONS = {
    "apply_credit_notes": 2,
    "credit_note": 2,
    "credit_note_after_others": 1,
    "credit_note_series": 2,
    "termination_credit_note": 16,
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_case_of_the_function_comes_out_as_stated(function: str) -> None:
    cases = [case for case in load(names=["credit_notes"]) if case.whole["function"] == function]
    outcome = run(cases, {"credit_notes": credit_note})
    assert not outcome.failures, "\n" + "\n".join(outcome.failures)
    assert outcome.passed == FUNCTIONS[function]
