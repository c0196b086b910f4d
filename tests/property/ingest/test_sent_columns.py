"""Events sent as columns are what the same events are one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from libs.tenant import Tenant
from services.ingest.domain.candidates import Candidates, Submission
from services.ingest.domain.columns import decode
from services.ingest.domain.encoding import encode
from services.ingest.domain.limits import Limits
from services.ingest.domain.number import parse_number
from services.ingest.domain.row_form import DECIMAL_CHARACTERS_MAX, decimal_text
from services.ingest.domain.validation import Reason
from services.ingest.domain.verdicts import Decision, decide, find_identities
from services.ingest.domain.wire import Ints
from services.ingest.store.slice_content import pack_content
from tally.ingest.v1 import event_pb2 as pb
from tests.columns import columns_of, short
from tests.property.ingest.strategies import decimal_texts, sent_events, texts
from tests.unit.ingest.events import OTHER_TENANT, TENANT, read, sent_as, sent_in_columns

FEW = Limits(max_age_seconds=10, properties_max=3, key_bytes_max=2, value_bytes_max=3)
mantissas = st.one_of(
    st.sampled_from([0, -(2**63), 2**63 - 1, 10**18, -1]),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-999, 999),
)
exponents = st.sampled_from([-30, 0, 11, 12, 30]) | st.integers(-30, 30)


def _expressible(event: pb.Event) -> pb.Event:
    """Return `event` with a time that columns can say."""
    if event.HasField("time"):
        micros = event.time.seconds * 10**6 + event.time.nanos // 1_000
        micros = max(min(micros, 2**63 - 1), -(2**63))
        event.time.seconds, rest = divmod(micros, 10**6)
        event.time.nanos = rest * 1_000
    return event


good_events = st.builds(
    pb.Event,
    id=st.sampled_from(["a", "b", "c"]) | st.uuids().map(str),
    source=st.sampled_from(["", "eu"]),
    type=st.just("calls"),
    customer_id=st.sampled_from(["acme", "beta"]),
    amount=st.just("") | decimal_texts,
    properties=st.dictionaries(
        texts.filter(bool),
        st.one_of(
            st.builds(pb.PropertyValue, text=texts),
            st.builds(pb.PropertyValue, flag=st.booleans()),
            st.builds(pb.PropertyValue, decimal=decimal_texts),
        ),
        max_size=4,
    ),
)
some_events = st.lists(sent_events.map(_expressible) | good_events, min_size=1, max_size=6)
requests = st.lists(
    st.tuples(some_events, st.booleans(), st.sampled_from([TENANT, OTHER_TENANT])),
    min_size=1,
    max_size=4,
)


@given(requests, st.sampled_from([Limits(), FEW]), st.data())
def test_columns_are_candidates_as_rows_are(
    sent: list[tuple[list[pb.Event], bool, Tenant]], limits: Limits, data: st.DataObject
) -> None:
    """In any mixture with rows: same keys, digests, faults, contents, verdicts and segments."""
    as_rows, mixed = [], []
    for events, atomic, tenant in sent:
        row_form = sent_as(events, tenant, atomic, limits=limits)
        as_rows.append(row_form)
        whole = columns_of(events)
        columns = data.draw(st.sampled_from([whole, short(whole), None]))
        if columns is None:
            mixed.append(row_form)
        else:
            mixed.append(sent_in_columns(columns, tenant, atomic, limits=limits))
    assert [one.events for one in mixed] == [one.events for one in as_rows]
    assert_same(as_rows, mixed)


def assert_same(as_rows: list[Submission], mixed: list[Submission]) -> None:
    expected, found = read(*as_rows), read(*mixed)
    rows = range(len(expected.ids))
    assert list(found.ids) == list(expected.ids)
    assert found.faults == expected.faults
    faults = {row: found.faults[row].reason if row in found.faults else None for row in rows}
    assert found.keys.tolist() == expected.keys.tolist()
    assert [found.content(row) for row in rows] == [expected.content(row) for row in rows]
    # Of a row with too many properties not all are read.
    whole = [row for row in rows if faults[row] is not Reason.PROPERTIES_TOO_MANY]
    assert [found.event(row) for row in whole] == [expected.event(row) for row in whole]
    good = [row for row in rows if row not in expected.faults]
    assert found.digests[good].tolist() == expected.digests[good].tolist()
    assert found.partitions.tolist() == expected.partitions.tolist()
    judged, wanted = decided(mixed, found), decided(as_rows, expected)
    assert [list(one) for one in judged.judgements] == [list(one) for one in wanted.judgements]
    assert judged.refused == wanted.refused
    assert judged.accepted.tolist() == wanted.accepted.tolist()
    if len(wanted.accepted):
        assert decoded(found, judged.accepted) == decoded(expected, wanted.accepted)


def decided(group: list[Submission], candidates: Candidates) -> Decision:
    return decide(group, candidates, find_identities(candidates), {})


def decoded(candidates: Candidates, rows: Ints) -> object:
    columns = encode(candidates, rows, np.arange(len(rows)))
    assert pack_content(columns)
    return decode(columns)


@given(st.lists(st.tuples(mantissas, exponents), min_size=1, max_size=20))
def test_a_decimal_is_the_text_that_a_row_has(sent: list[tuple[int, int]]) -> None:
    written = [decimal_text(*one) for one in sent]
    of_rows = [
        pb.Event(id="1", type="t", customer_id="c", properties={"n": pb.PropertyValue(decimal=one)})
        for one in written
    ]
    columns = columns_of(of_rows)
    del columns.properties[:]
    column = columns.properties.add(key="n")
    column.decimals.mantissas.extend(mantissa for mantissa, _ in sent)
    column.decimals.exponents.extend(exponent for _, exponent in sent)
    assert_same([sent_as(of_rows)], [sent_in_columns(columns)])
    assert max(map(len, written)) <= DECIMAL_CHARACTERS_MAX
    for (mantissa, exponent), text in zip(sent, written, strict=True):
        number = parse_number(text)
        assert number is None or number in ((mantissa, exponent), (0, 0))
