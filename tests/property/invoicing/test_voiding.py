"""Voiding gives back what was paid, and never more: over all notes that may be on an invoice."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.invoicing.domain.credit_note import CreditExceedsInvoice
from services.invoicing.domain.voiding import NoteOnIt, notes_to_void

AMOUNTS = st.integers(1, 1_000)


@st.composite
def notes(draw: st.DrawFn) -> list[NoteOnIt]:
    made: list[NoteOnIt] = []
    for place, total in enumerate(draw(st.lists(AMOUNTS, max_size=6))):
        used = draw(st.integers(0, total) | st.just(0))
        made.append(NoteOnIt(UUID(int=place), total, total - used))
    return made


@given(notes(), st.integers(0, 3_000))
def test_notes_stay_as_far_as_money_was_paid_and_what_was_used_always_does(
    on_it: list[NoteOnIt], paid_minor: int
) -> None:
    used_minor = sum(note.total_minor for note in on_it if note.used)
    try:
        voided = set(notes_to_void(on_it, paid_minor))
    except CreditExceedsInvoice:
        assert used_minor > paid_minor
        return
    kept = [note for note in on_it if note.credit_note_id not in voided]
    kept_minor = sum(note.total_minor for note in kept)
    assert used_minor <= kept_minor <= paid_minor
    assert {note.credit_note_id for note in on_it if note.used}.isdisjoint(voided)
    # None could stay beside those that do, were they asked in their order.
    for note in on_it:
        if note.credit_note_id in voided:
            older = sum(one.total_minor for one in kept if one.used or _older(one, note))
            assert older + note.total_minor > paid_minor


def _older(one: NoteOnIt, other: NoteOnIt) -> bool:
    return one.credit_note_id.int < other.credit_note_id.int
