"""What comes over the wire is read exactly or refused by field."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from libs import wire
from libs.errors import FieldInvalid, FieldsInvalid
from libs.quantity import decimal_text
from tally.common.v1.money_pb2 import Money
from tally.rating.v1.meter_service_pb2 import Aggregation, Meter


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0.10", "0.1"),
        ("+5", "5"),
        ("1e3", "1000"),
        (".5", "0.5"),
        ("5.", "5"),
        ("-0", "0"),
        ("0e20", "0"),
        ("1e-30", "0." + "0" * 29 + "1"),
        ("100", "100"),
    ],
)
def test_decimals_are_written_plainly(text: str, canonical: str) -> None:
    assert decimal_text(wire.parse_decimal(text, "x")) == canonical


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1,5",
        "NaN",
        "inf",
        "0x1",
        "1e31",
        "1e-31",
        "0." + "1" * 31,
        "1" * 65,
        " 1",
        "1_0",
        "٣",
        "1e9999",
    ],
)
def test_what_is_no_decimal_is_refused(text: str) -> None:
    with pytest.raises(FieldInvalid, match=r"^price: ") as caught:
        wire.parse_decimal(text, "price")
    assert caught.value.field == "price"


def test_bounds_of_decimals_are_checked() -> None:
    assert wire.parse_decimal("0", "x", at_least=Decimal(0)) == 0
    with pytest.raises(FieldInvalid):
        wire.parse_decimal("-0.1", "x", at_least=Decimal(0))
    with pytest.raises(FieldInvalid):
        wire.parse_decimal("0", "x", above=Decimal(0))


def test_instants_survive_to_the_microsecond() -> None:
    instant = datetime(2014, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
    assert wire.parse_timestamp(wire.timestamp(instant), "t") == instant
    early = datetime(1, 1, 1, tzinfo=UTC)
    assert wire.parse_timestamp(wire.timestamp(early), "t") == early


@pytest.mark.parametrize(
    "message",
    [Timestamp(nanos=1), Timestamp(nanos=-1000), Timestamp(seconds=2**60), Timestamp(nanos=10**9)],
)
def test_instants_finer_or_farther_than_we_keep_are_refused(message: Timestamp) -> None:
    with pytest.raises(FieldInvalid):
        wire.parse_timestamp(message, "t")


@pytest.mark.parametrize(
    ("parse", "bad"),
    [
        (wire.parse_uuid, ["", "x", "{12345678-1234-5678-1234-567812345678}"]),
        (wire.parse_text, ["", "a" * 256, "a\x00"]),
        (wire.parse_code, ["", "a b", "-a", "a" * 129, "é"]),
        (wire.parse_currency, ["", "eur", "ZZZ", "EURO"]),
        (wire.parse_zone, ["", "Mars/Base", "localtime", "right/UTC", "../etc/passwd", "a" * 70]),
    ],
)
def test_malformed_text_is_refused(parse: Callable[[str, str], object], bad: list[str]) -> None:
    for text in bad:
        with pytest.raises(FieldInvalid):
            parse(text, "field")


def test_enums_are_read_by_name_and_unknown_ones_refused() -> None:
    name = wire.parse_enum(2, Aggregation, "aggregation", prefix="AGGREGATION_")
    assert name == "sum"
    for value in (0, 99):
        with pytest.raises(FieldInvalid):
            wire.parse_enum(value, Aggregation, "aggregation", prefix="AGGREGATION_")


def test_money_names_the_field_inside() -> None:
    with pytest.raises(FieldInvalid) as caught:
        wire.parse_money(Money(currency_code="?"), "amount")
    assert caught.value.field == "amount.currency_code"


def test_page_tokens_come_back_with_their_types_or_are_refused() -> None:
    instant = datetime(2014, 1, 1, tzinfo=UTC)
    token = wire.page_token(instant, "a", 3)
    assert wire.parse_page_token(token, datetime, str, int) == (instant, "a", 3)
    assert wire.parse_page_token("", datetime) == ()
    for bad in ("%%%", "aGVsbG8", token + "x", wire.page_token("a")):
        with pytest.raises(wire.PageTokenInvalid):
            wire.parse_page_token(bad, datetime, str, int)
    with pytest.raises(wire.PageTokenInvalid):
        wire.parse_page_token(wire.page_token(2**63), int)
    naive, too_early = "2014-01-01T00:00:00", "0001-01-01T00:00:00+14:00"
    for key, kind in (("\x00", str), (naive, datetime), (too_early, datetime)):
        with pytest.raises(wire.PageTokenInvalid):
            wire.parse_page_token(wire.page_token(key), kind)
    for size in (-1, 1_001):
        with pytest.raises(FieldInvalid):
            wire.parse_page(size, "")
    assert wire.parse_page(0, "").size == 100


def test_a_page_holds_what_fits_into_an_answer_and_never_nothing() -> None:
    """Two of 1 MiB and one of 2 MiB: the third no longer fits into 3 MiB."""
    small, large = (Meter(name="a" * size * 1024 * 1024) for size in (1, 2))
    assert wire.fitting([small, small, large]) == [small, small]
    assert wire.fitting([Meter(name="a" * 4 * 1024 * 1024), small]) == [
        Meter(name="a" * 4 * 1024 * 1024)
    ]
    assert wire.fitting([]) == []


def test_all_faults_are_told_at_once() -> None:
    faults = wire.Faults()
    for field in ("a", "b"):
        with faults.gathered():
            wire.parse_code("", field)
    with pytest.raises(FieldsInvalid) as caught:
        faults.check()
    assert [fault.field for fault in caught.value.faults] == ["a", "b"]


def test_faults_are_told_below_the_field_that_holds_theirs() -> None:
    faults = wire.Faults()
    with faults.gathered("things[2]"):
        wire.parse_code("", "code")
    with pytest.raises(FieldInvalid) as caught:
        faults.check()
    assert str(caught.value) == "things[2].code: is missing"
