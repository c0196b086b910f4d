"""Parquet: exact columns are read, others refused by name before anything is."""

from __future__ import annotations

import io
from decimal import Decimal

import pyarrow
import pytest
from pyarrow import parquet

from cli.events.event import FileFault
from cli.events.fields import Rules
from cli.events.sources import Format
from tests.unit.cli.events.reads import events, problems, read


def written(**columns: pyarrow.Array) -> bytes:
    """Return a file of the columns; "__" in a name stands for "."."""
    table = pyarrow.table({name.replace("__", "."): each for name, each in columns.items()})
    target = io.BytesIO()
    parquet.write_table(table, target)
    return target.getvalue()


IDS = pyarrow.array(["a", "b"])


def test_columns_are_read_with_every_digit() -> None:
    content = written(
        id=IDS,
        customer_id=pyarrow.array([7, 8], pyarrow.int32()),
        type=pyarrow.array(["call", "call"]).dictionary_encode(),
        time=pyarrow.array([1_500, None], pyarrow.timestamp("ms", "Europe/Berlin")),
        amount=pyarrow.array([Decimal("1.50"), None], pyarrow.decimal128(38, 10)),
        properties__tokens=pyarrow.array([2**63, None], pyarrow.uint64()),
        properties__hit=pyarrow.array([False, True]),
        properties__cost=pyarrow.array(["0.1", None]),
        properties=pyarrow.array([{"m": "x", "n": None}, {"m": "", "n": 3}]),
    )
    first, second = events(content, Format.PARQUET)
    assert (first.id, first.customer_id, first.type, first.time) == ("a", "7", "call", 1_500_000)
    assert str(first.amount) == "1.5" and second.amount is None and second.time is None
    assert first.properties == {"tokens": Decimal(2**63), "hit": False, "cost": "0.1", "m": "x"}
    assert second.properties == {"hit": True, "m": "", "n": Decimal(3)}


def test_properties_may_be_a_map_or_json() -> None:
    maps = pyarrow.array([[("n", 1)], None], pyarrow.map_(pyarrow.string(), pyarrow.int64()))
    found = events(written(id=IDS, properties=maps), Format.PARQUET)
    assert [one.properties for one in found] == [{"n": Decimal(1)}, {}]
    texts = pyarrow.array(['{"n": 1.0}', "{"])
    found_json = read(written(id=IDS, properties=texts), Format.PARQUET)
    assert "no JSON" in problems(written(id=IDS, properties=texts), Format.PARQUET)[0][1]
    assert len(found_json) == 2


def test_columns_that_are_not_exact_refuse_the_file_all_at_once() -> None:
    content = written(
        id=IDS,
        amount=pyarrow.array([1.5, 2.5], pyarrow.float32()),
        properties__cost=pyarrow.array([1.5, 2.5]),
        properties__day=pyarrow.array([1, 2], pyarrow.date32()),
        properties=pyarrow.array([{"deep": [1]}, {"deep": []}]),
    )
    with pytest.raises(FileFault) as caught:
        read(content, Format.PARQUET)
    said = str(caught.value)
    for part in ("amount: float is not exact", "properties.cost: double", "properties.day: date32"):
        assert part in said
    assert "properties: list" in said


def test_names_that_mean_nothing_refuse_the_file_unless_they_are_skipped() -> None:
    content = written(id=IDS, score=pyarrow.array([1.5, 2.5]))
    with pytest.raises(FileFault, match="'score': not a field"):
        read(content, Format.PARQUET)
    assert len(events(content, Format.PARQUET, Rules(skips_unknown=True))) == 2


def test_a_time_finer_than_a_microsecond_is_unreadable() -> None:
    times = pyarrow.array([1_000, 1_001], pyarrow.timestamp("ns", "UTC"))
    found = problems(written(id=IDS, time=times), Format.PARQUET)
    assert found == [(2, "time: finer than a microsecond")]


def test_a_local_time_needs_its_zone() -> None:
    times = pyarrow.array([1, 2], pyarrow.timestamp("s"))
    assert "no offset" in problems(written(id=IDS, time=times), Format.PARQUET)[0][1]


def test_rows_that_were_done_are_passed_by() -> None:
    (last,) = read(written(id=IDS), Format.PARQUET, after=1)
    assert last.line == 2


def test_what_is_no_parquet_is_refused() -> None:
    with pytest.raises(FileFault, match="no Parquet"):
        read(b"id,type\n", Format.PARQUET)
