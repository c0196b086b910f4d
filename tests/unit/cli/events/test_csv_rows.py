"""CSV: the header names fields and properties, a cell is text unless its column says more."""

from __future__ import annotations

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from cli.events.event import FileFault
from cli.events.fields import Kind, Rules
from cli.events.sources import LINE_BYTES_MAX, Format
from tests.unit.cli.events.reads import events, problems, read

HEAD = (
    b"id,customer_id,properties.tokens,properties.cost:decimal,properties.hit:flag,properties\r\n"
)


def test_cells_are_texts_unless_the_header_or_an_option_says_more() -> None:
    row = HEAD + b'e1,"a,""c""\nme",007,1.50,true,"{""n"": 1.0, ""t"": ""1.0""}"\r\n'
    (event,) = events(row, Format.CSV)
    assert event.customer_id == 'a,"c"\nme'
    assert event.properties == {
        "tokens": "007",
        "cost": Decimal("1.50"),
        "hit": True,
        "n": Decimal("1.0"),
        "t": "1.0",
    }
    (counted,) = events(row, Format.CSV, Rules(kinds={"tokens": Kind.DECIMAL}))
    assert counted.properties["tokens"] == Decimal(7)


def test_an_empty_cell_says_nothing() -> None:
    (event,) = events(HEAD + b"e1,,,,,\r\n", Format.CSV)
    assert (event.customer_id, event.properties) == ("", {})


def test_a_byte_order_mark_and_another_delimiter_are_taken() -> None:
    assert events(b"\xef\xbb\xbfid;type\ne1;a,b\n", Format.CSV, delimiter=";")[0].type == "a,b"


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (b"e1,acme,,\r\n", "4 cells, the header has 6"),
        (b"e1,acme,,1.5.0,,\r\n", "properties.cost: '1.5.0' is no decimal"),
        (b"e1,acme,,NaN,,\r\n", "properties.cost: 'NaN' is no decimal"),
        (b"e1,acme,,1_000,,\r\n", "properties.cost: '1_000' is no decimal"),
        (b"e1,acme,,,yes,\r\n", "properties.hit: 'yes' is neither true nor false"),
        (b"e1,acme,,,,[1]\r\n", "properties: not a JSON object"),
        (b'e1,acme,,,,"{""tokens"": 1"\r\n', "properties: no JSON"),
        (b"e1,ac\xffme,,,,\r\n", "not UTF-8"),
        (b'e1,"ac"me,,,,\r\n', "no CSV"),
        (b",acme,,,,\r\n", "id: missing"),
    ],
)
def test_a_row_that_is_no_event_says_why_and_the_next_one_is_read(row: bytes, said: str) -> None:
    content = HEAD + b'e0,"two\r\nlines",,,,\r\n' + row + b"e2,acme,,,,\r\n"
    found = problems(content, Format.CSV)
    assert [line for line, _ in found] == [4] and said in found[0][1]
    assert [one.line for one in read(content, Format.CSV)] == [2, 4, 5]


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (b"", "no header"),
        (b"id,type,id\n", "'id' twice"),
        (b"id,user,when\n", "'user', 'when': not a field"),
        (b"id,properties.\n", "'properties.': not a field"),
        (b"id," + b"x" * LINE_BYTES_MAX, "longer than"),
    ],
)
def test_a_header_that_means_nothing_refuses_the_file(header: bytes, said: str) -> None:
    with pytest.raises(FileFault, match=said):
        read(header, Format.CSV)


def test_two_columns_that_mean_the_same_refuse_the_file() -> None:
    both = Rules(renamed={"user": "customer_id", "who": "customer_id"})
    with pytest.raises(FileFault, match="'user' and 'who' both give customer_id"):
        read(b"id,user,who\n", Format.CSV, both)


def test_a_time_without_an_offset_is_on_the_clocks_that_are_named() -> None:
    sydney = Rules(zone=ZoneInfo("Australia/Sydney"))
    times = b"id,time\na,2014-02-01 11:00:00\nb,2014-04-06 02:30:00\nc,2014-10-05 02:30:00\n"
    first, *others = read(times, Format.CSV, sydney)
    assert events(times.split(b"\nb,")[0], Format.CSV, sydney)[0].time == 1_391_212_800_000_000
    assert first.line == 2
    said = [problem for _, problem in problems(times, Format.CSV, sydney)]
    assert len(said) == len(others) == 2 and all("twice or never" in one for one in said)


def test_ids_from_content_are_stable_and_tell_rows_and_lines_apart() -> None:
    rules = Rules(ids_from_content=True)
    row = b"2014-02-01T10:00:00Z,acme\n"
    content = b"time,customer_id\n" + row + row + row.replace(b"acme", b"beta")
    ids = [event.id for event in events(content, Format.CSV, rules)]
    assert len(set(ids)) == 3 and ids == [e.id for e in events(content, Format.CSV, rules)]
    assert "time: missing" in problems(b"time,customer_id\n,acme\n", Format.CSV, rules)[0][1]
