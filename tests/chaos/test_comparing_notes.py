"""The comparison of credit notes, on plain data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.comparing import compare_billing
from tests.chaos.seen import Books, NoteSeen
from tests.chaos.test_comparing import TERMS, good

NOTE = NoteSeen("INV-CN-202601-001", "period-1", 35, 38, 38)


def differences(**changed: object) -> list[str]:
    """Compare 165 that were billed, of which 130 are left since 50 calls were retracted."""
    case = good()
    books: Books = replace(case.books, notes=[NOTE])
    log = replace(case.log, events=case.log.events[:1])
    return [*compare_billing(TERMS, log, replace(books, **changed))]  # type: ignore[arg-type]


def test_what_a_note_gives_back_is_not_billed() -> None:
    assert differences() == []


@pytest.mark.parametrize(
    ("note", "said"),
    [
        (replace(NOTE, subtotal_minor=34), "less 34 by credit notes, the log gives 130"),
        (replace(NOTE, number="INV-CN-202601-002"), "the 1 credit notes are numbered [2]"),
        (replace(NOTE, balance_minor=30), "8 is missing of the credit notes, 0 is paid by them"),
    ],
)
def test_a_fault_of_a_note_is_found(note: NoteSeen, said: str) -> None:
    [found] = differences(notes=[note])
    assert said in found


def test_usage_that_is_given_back_by_no_note_is_found() -> None:
    assert any("is billed as" in one for one in differences(notes=[]))
