"""Rows are cut into batches that a request can carry, in their order."""

from __future__ import annotations

from collections.abc import Iterator

from cli.events.batches import CHARACTERS_MAX, cut
from cli.events.event import Event, FileFault, ReadEvent, Unreadable

EVENT = Event("a", "", "t", None, "c", "", {}, None, "")


def rows(*kinds: str) -> Iterator[ReadEvent | Unreadable]:
    """Give an event for each "e", an unreadable row for "u", the end of the file for "x"."""
    for line, kind in enumerate(kinds, start=1):
        if kind == "x":
            raise FileFault("damaged")
        yield Unreadable(line, "", "why") if kind == "u" else ReadEvent(line, EVENT)


def test_a_batch_has_so_many_rows_readable_or_not() -> None:
    found = list(cut(rows(*"eueee"), rows_max=2))
    assert [(len(one.events), len(one.unreadable)) for one in found] == [(1, 1), (2, 0), (1, 0)]


def test_large_events_make_small_batches() -> None:
    large = EVENT._replace(properties={"p": "x" * (CHARACTERS_MAX // 2)})
    found = list(cut([ReadEvent(n, large) for n in range(5)], rows_max=5_000))
    assert [one.row_count for one in found] == [2, 2, 1]


def test_a_strict_cut_ends_behind_the_first_unreadable_row() -> None:
    (only,) = cut(rows(*"eueee"), rows_max=10, strict=True)
    assert (len(only.events), only.unreadable[0].line) == (1, 2)


def test_what_was_read_before_a_file_breaks_is_kept() -> None:
    first, last = cut(rows(*"eex"), rows_max=2)
    assert (first.row_count, first.fault) == (2, "")
    assert (last.row_count, last.fault) == (0, "damaged")
