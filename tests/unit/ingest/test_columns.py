"""Columns, by example: the bytes that rating reads."""

from struct import pack

from services.ingest.domain.columns import Columns, Kind, PropertyColumn, decode
from services.ingest.domain.event import Event, LoggedEvent
from services.ingest.domain.number import Number
from tests.unit.ingest.events import NOW, OTHER_TENANT, TENANT, columns_of, event

UUID = "00010203-0405-0607-0809-0a0b0c0d0e0f"  # Its bytes are 0 to 15.


def planes(code: str, *numbers: int) -> bytes:
    """Return the first bytes of all numbers, then the second ones, and so on."""
    packed = [pack(f"<{code}", number) for number in numbers]
    return bytes(octet for plane in zip(*packed, strict=True) for octet in plane)


def alone(sent: Event) -> Columns:
    return columns_of([LoggedEvent(TENANT, 0, sent, NOW)])


def test_events_become_columns() -> None:
    first = event(UUID, source="eu", time=None, properties={"n": Number(150, -2), "on": True})
    second = event("b", amount=Number(25, -1), properties={"n": "text"}, hold_id="sub_1")
    logged = [LoggedEvent(TENANT, 3, first, NOW), LoggedEvent(OTHER_TENANT, 5, second, NOW + 1)]
    assert columns_of(logged) == Columns(
        event_count=2,
        strings=("", "eu", "api_call", "acme", "sub_1", "2.5", "text"),
        indexes=planes("i", 3, 5),
        tenants=planes("i", 1, 2),
        uuids=bytes(range(16)),
        ids=("b",),
        id_rows=planes("i", 1),
        sources=planes("I", 1, 0),
        types=planes("I", 2, 2),
        customer_ids=planes("I", 3, 3),
        subscription_ids=planes("I", 0, 0),
        amounts=planes("I", 0, 5),
        hold_ids=planes("I", 0, 4),
        times=planes("q", NOW, NOW),
        times_given=b"\x00\x01",
        received_times=planes("q", NOW, NOW + 1),
        properties=(
            PropertyColumn("n", Kind.TEXT, planes("i", 1), planes("I", 6)),
            PropertyColumn("n", Kind.DECIMAL, planes("i", 0), planes("q", 150), pack("<b", -2)),
            PropertyColumn("on", Kind.FLAG, planes("i", 0), b"\x01"),
        ),
    )


def test_rows_are_left_out_where_every_event_has_a_value() -> None:
    first, second = event("a", properties={"n": True, "t": "x"}), event("b", properties={"n": True})
    columns = columns_of([LoggedEvent(TENANT, 0, first, NOW), LoggedEvent(TENANT, 1, second, NOW)])
    assert columns.properties == (
        PropertyColumn("n", Kind.FLAG, b"", b"\x01\x01"),
        PropertyColumn("t", Kind.TEXT, planes("i", 0), planes("I", columns.strings.index("x"))),
    )
    assert (columns.ids, columns.id_rows, columns.uuids) == (("a", "b"), b"", b"")


def test_a_million_as_four_bytes_has_planes_of_one_byte_each() -> None:
    assert planes("i", 1_000_000, -2) == b"\x40\xfe\x42\xff\x0f\xff\x00\xff"


def test_a_uuid_is_16_bytes_only_as_it_is_usually_written() -> None:
    for text in (
        UUID.upper(),
        UUID.replace("-", "", 1) + "0",
        UUID[:-1] + "g",
        "{" + UUID[:-2] + "}",
    ):
        columns = alone(event(text))
        assert (columns.uuids, columns.ids) == (b"", (text,))
        assert [one.event.id for one in decode(columns)] == [text]


def test_a_decimal_keeps_its_digits_where_they_fit() -> None:
    sent = {"short": Number(150, -2), "zeros": Number(10**20, -20), "long": Number(10**20 + 1, -20)}
    [logged] = decode(alone(event(properties=sent)))
    assert logged.event.properties == sent | {"zeros": Number(1, 0)}
    kinds = {column.name: column.kind for column in alone(event(properties=sent)).properties}
    assert kinds == {"short": Kind.DECIMAL, "zeros": Kind.DECIMAL, "long": Kind.LARGE_DECIMAL}
