"""Columns, by example: the bytes that rating reads."""

from struct import pack

from services.ingest.domain.columns import Columns, Kind, PropertyColumn, decode
from services.ingest.domain.event import Event, LoggedEvent
from services.ingest.domain.number import Number
from tests.unit.ingest.events import NOW, OTHER_TENANT, TENANT, columns_of, event


def alone(sent: Event) -> Columns:
    return columns_of([LoggedEvent(TENANT, 0, sent, NOW)])


def test_events_become_columns() -> None:
    first = event("a", source="eu", time=None, properties={"n": Number(150, -2), "on": True})
    second = event("b", amount=Number(25, -1), properties={"n": "text"}, hold_id="sub_1")
    logged = [LoggedEvent(TENANT, 3, first, NOW), LoggedEvent(OTHER_TENANT, 5, second, NOW + 1)]
    assert columns_of(logged) == Columns(
        event_count=2,
        strings=("", "eu", "api_call", "acme", "sub_1", "2.5", "text"),
        indexes=pack("<2i", 3, 5),
        tenants=pack("<2i", 1, 2),
        ids=("a", "b"),
        sources=pack("<2I", 1, 0),
        types=pack("<2I", 2, 2),
        customer_ids=pack("<2I", 3, 3),
        subscription_ids=pack("<2I", 0, 0),
        amounts=pack("<2I", 0, 5),
        hold_ids=pack("<2I", 0, 4),
        times=pack("<2q", NOW, NOW),
        times_given=b"\x00\x01",
        received_times=pack("<2q", NOW, NOW + 1),
        properties=(
            PropertyColumn("n", Kind.TEXT, pack("<i", 1), pack("<I", 6)),
            PropertyColumn("n", Kind.DECIMAL, pack("<i", 0), pack("<q", 150), pack("<b", -2)),
            PropertyColumn("on", Kind.FLAG, pack("<i", 0), b"\x01"),
        ),
    )


def test_a_decimal_keeps_its_digits_where_they_fit() -> None:
    sent = {"short": Number(150, -2), "zeros": Number(10**20, -20), "long": Number(10**20 + 1, -20)}
    [logged] = decode(alone(event(properties=sent)))
    assert logged.event.properties == sent | {"zeros": Number(1, 0)}
    kinds = {column.name: column.kind for column in alone(event(properties=sent)).properties}
    assert kinds == {"short": Kind.DECIMAL, "zeros": Kind.DECIMAL, "long": Kind.LARGE_DECIMAL}
