"""JSONL, and arrays of objects, say the events that their rows are."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from cli.events.event import Event, FileFault, ReadEvent
from cli.events.fields import Kind, Rules
from cli.events.sources import LINE_BYTES_MAX, Format
from tests.unit.cli.events.reads import events, problems, read

FULL = b"""{"id": "e1", "source": "gw", "type": "call", "time": "2014-02-01T10:00:00.5+11:00",
 "customer_id": "acme", "subscription_id": "acme-pro", "amount": "1.50", "hold_id": "h",
 "properties": {"model": "a", "tokens": 12, "cost": 0.10000000000000000001, "cached": false}}"""
MEANT = Event(
    id="e1",
    source="gw",
    type="call",
    time=1_391_209_200_500_000,
    customer_id="acme",
    subscription_id="acme-pro",
    properties={
        "model": "a",
        "tokens": Decimal(12),
        "cost": Decimal("0.10000000000000000001"),
        "cached": False,
    },
    amount=Decimal("1.50"),
    hold_id="h",
)


def test_a_line_is_an_event_with_every_digit_that_was_written() -> None:
    (event,) = events(FULL.replace(b"\n", b""), Format.JSONL)
    assert event == MEANT
    assert str(event.amount) == "1.50" and str(event.properties["tokens"]) == "12"


@pytest.mark.parametrize("indent", [None, 2])
def test_an_array_is_read_as_its_lines_are(indent: int | None) -> None:
    objects = [{"id": f'"{{[\\{n}', "type": "t,]}", "customer_id": "é\n"} for n in range(50)]
    lines = "\n".join(map(json.dumps, objects)).encode()
    array = json.dumps(objects, indent=indent).encode()
    assert events(array, Format.JSONL) == events(lines, Format.JSONL)
    assert len(events(array, Format.JSONL)) == 50


def test_elements_of_an_array_are_named_by_the_line_on_which_they_begin() -> None:
    found = read(b'[\n {"id": "a"},\n\n {"id":\n "b"}, 7, {"id": "c"} ]\n', Format.JSONL)
    assert [(one.line, isinstance(one, ReadEvent)) for one in found] == [
        (2, True),
        (4, True),
        (5, False),
        (5, True),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [(b'[{"id": "a"}, {"id": ', "no end"), (b'[{"id": "a"}] {}', "something follows")],
)
def test_an_array_that_is_damaged_cannot_be_read_on(content: bytes, said: str) -> None:
    with pytest.raises(FileFault, match=said):
        read(content, Format.JSONL)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"id": "a"', "no JSON"),
        ("7", "not a JSON object"),
        ('{"id": "\\ud800"}', "no JSON"),
        ('{"id": "a", "user": "x"}', "'user': not a field"),
        ('{"id": "a", "id:decimal": "x"}', "'id:decimal': not a field"),
        ('{"id": 1.5}', "id: 1.5 is no text"),
        ('{"id": true}', "id: True is no text"),
        ('{"id": "a", "properties": {"p": null}}', "properties.p: null is no text"),
        ('{"id": "a", "properties": {"p": [1]}}', "properties.p: an array is no text"),
        ('{"id": "a", "properties": {"p": {}}}', "properties.p: an object is no text"),
        ('{"id": "a", "properties": {"p": 1e-99999999999999999999}}', "out of range"),
        ('{"id": "a", "properties": [1]}', "properties: not an object"),
        ('{"id": "a", "properties": {"p": 1}, "properties.p": 2}', "properties.p is given twice"),
        ('{"id": "a", "amount": "1,5"}', "amount: '1,5' is no decimal"),
        ('{"id": "a", "amount": true}', "amount: True is no decimal"),
        ('{"id": "a", "time": 1391209200}', "time: 1391209200 is no time"),
        ('{"id": "a", "time": "2014-02-01T10:00:00"}', "no offset; --time-zone"),
        ('{"id": "a", "time": "2014-02-30T10:00:00Z"}', "no time"),
        ('{"id": "a", "time": "2014-W05-6T10:00:00Z"}', "no time like"),
        ('{"id": "a", "time": "2014-02-01T10:00:00.0000001Z"}', "finer than a microsecond"),
        ('{"type": "t", "properties": {}}', "id: missing"),
    ],
)
def test_a_row_that_is_no_event_says_why_and_the_next_one_is_read(row: str, said: str) -> None:
    found = problems(f'\n{row}\n{{"id": "b"}}\n'.encode(), Format.JSONL)
    assert len(found) == 1 and found[0][0] == 2 and said in found[0][1]


def test_null_in_place_of_a_field_and_zeros_behind_a_microsecond_say_nothing() -> None:
    row = b'{"id": 7, "source": null, "time": "2014-02-01t10:00:00.000001000z", "amount": null}'
    (event,) = events(row, Format.JSONL)
    assert (event.id, event.source, event.time, event.amount) == (
        "7",
        "",
        1_391_248_800_000_001,
        None,
    )


def test_a_line_beyond_the_limit_is_passed_by() -> None:
    long = b'{"id": "' + b"x" * (2 * LINE_BYTES_MAX) + b'"}\n'
    assert problems(long + b'{"id": "b"}', Format.JSONL) == [(1, "longer than 1048576 bytes")]
    assert read(long + b'{"id": "b"}', Format.JSONL)[1].line == 2


def test_rows_that_were_done_are_passed_by_but_counted_as_lines() -> None:
    content = b'{"id": "a"}\n\nbad\n{"id": "c"}\n'
    assert [one.line for one in read(content, Format.JSONL, after=2)] == [4]
    array = b'[{"id": "a"}, {"id": "b"}, {"id": "c"}]'
    (last,) = read(array, Format.JSONL, after=2)
    assert isinstance(last, ReadEvent) and last.event.id == "c"


def test_names_of_the_file_are_mapped_and_constants_fill_what_is_missing() -> None:
    rules = Rules(
        renamed={"user": "customer_id", "n": "properties.tokens:decimal"},
        constants={"type": "call", "properties.region": "eu", "source": "file"},
        kinds={"hit": Kind.FLAG},
        skips_unknown=True,
    )
    row = b'{"id": "a", "user": "acme", "n": "5", "source": "gw", "x": [], "properties": %s}'
    (event,) = events(row % b'{"hit": "true"}', Format.JSONL, rules)
    assert event == MEANT._replace(
        id="a",
        time=None,
        subscription_id="",
        properties={"tokens": Decimal(5), "hit": True, "region": "eu"},
        amount=None,
        hold_id="",
    )
    assert "given twice" in problems(row % b'{"tokens": 1}', Format.JSONL, rules)[0][1]
    renamed = Rules(renamed={"user": "customer_id"})
    clash = problems(b'{"id": "a", "user": "x", "customer_id": "y"}', Format.JSONL, renamed)
    assert "'customer_id': not a field" in clash[0][1]
