"""What is exported is imported again as it was, whatever the format; arrays are cut anywhere."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.events.event import Event, ReadEvent
from cli.events.exporting import export_events
from cli.events.fetching import StoredEvent
from cli.events.fields import Rules
from cli.events.json_rows import Cutting
from cli.events.reading import read_events
from cli.events.sources import find_source, opened
from libs.quantity import decimal_text, find_quantity

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
names = texts.filter(bool)
keys = names | st.sampled_from(["a", "a:decimal", ":text", "b:flag:text", "properties.a"])
micros = st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999)
decimals = (
    st.from_regex(r"\A-?[0-9]{1,30}(\.[0-9]{1,30})?\Z")
    .map(find_quantity)
    .filter(lambda found: found is not None)
    .map(lambda found: Decimal(decimal_text(found or Decimal(0))))
)
events = st.builds(
    Event,
    id=names,
    source=texts,
    type=texts,
    time=st.none() | micros,
    customer_id=texts,
    subscription_id=texts,
    properties=st.dictionaries(keys, texts | decimals | st.booleans(), max_size=6),
    amount=st.none() | decimals,
    hold_id=texts,
)
stored = st.builds(StoredEvent, event=events, received=micros)
json_values = st.recursive(
    st.text('{["\\\n]},é', max_size=5) | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


@pytest.mark.parametrize("name", ["e.jsonl.gz", "e.csv.zst", "e.parquet"])
@given(content=st.lists(stored, max_size=4))
@settings(max_examples=20)
def test_what_is_written_is_read_again_without_loss(name: str, content: list[StoredEvent]) -> None:
    with TemporaryDirectory() as folder:
        target = find_source(str(Path(folder) / name), None)
        assert asyncio.run(export_events(_pages(content), target, lambda _: None)) == len(content)
        for rules in (Rules(), Rules(received_as_time=True)):
            with opened(target) as from_:
                found = list(read_events(target, from_, rules))
            meant = [_meant(one, rules) for one in content]
            assert [one.event for one in found if isinstance(one, ReadEvent)] == meant
            assert len(found) == len(content), found
        assert [each.name for each in Path(folder).iterdir()] == [name]


@given(
    content=st.lists(json_values, max_size=4),
    indent=st.sampled_from([None, 1]),
    size=st.integers(1, 9),
)
@settings(max_examples=40)
def test_an_array_is_cut_into_its_elements_whatever_the_chunks(
    content: list[object], indent: int | None, size: int
) -> None:
    text = json.dumps(content, indent=indent, ensure_ascii=False).encode()
    source, cutting = io.BytesIO(text), Cutting()
    chunks = iter(lambda: source.read(size), b"")
    assert [json.loads(piece) for chunk in chunks for _, piece in cutting.feed(chunk)] == content
    assert cutting.depth == 0


def _meant(one: StoredEvent, rules: Rules) -> Event:
    if one.event.time is None and rules.received_as_time:
        return one.event._replace(time=one.received)
    return one.event


async def _pages(content: list[StoredEvent]) -> AsyncIterator[list[StoredEvent]]:
    for first in range(0, len(content), 2):
        yield content[first : first + 2]
