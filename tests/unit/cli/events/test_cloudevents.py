"""CloudEvents are read by the fields that they share with ours."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from cli.events.event import Event
from cli.events.fields import Kind, Rules
from cli.events.sources import Format
from tests.unit.cli.events.reads import events, problems

CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "e1",
    "source": "/gateways/7",
    "type": "call",
    "time": "2014-02-01T10:00:00Z",
    "subject": "acme",
    "datacontenttype": "application/json; charset=utf-8",
    "dataschema": "urn:x",
    "traceparent": "00-1-2-01",
    "subscriptionid": "acme-pro",
    "amount": "1.50",
    "holdid": "h",
    "data": {"model": "a", "tokens": 12, "cost": "0.1", "cached": False},
}


def test_a_cloud_event_is_an_event() -> None:
    rules = Rules(kinds={"cost": Kind.DECIMAL})
    meant = Event(
        id="e1",
        source="/gateways/7",
        type="call",
        time=1_391_248_800_000_000,
        customer_id="acme",
        subscription_id="acme-pro",
        properties={
            "model": "a",
            "tokens": Decimal(12),
            "cost": Decimal("0.1"),
            "cached": False,
        },
        amount=Decimal("1.50"),
        hold_id="h",
    )
    line = json.dumps(CLOUD_EVENT).encode()
    assert events(line, Format.CLOUDEVENTS, rules) == [meant]
    assert events(b"[" + line + b",\n" + line + b"]", Format.CLOUDEVENTS, rules) == [meant, meant]
    (bare,) = events(line, Format.CLOUDEVENTS)
    assert bare.properties["cost"] == "0.1", "a text is a text unless it is said to be a decimal"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"specversion": "0.3"}, "specversion: '0.3' is not '1.0'"),
        ({"specversion": None}, "specversion: None"),
        ({"datacontenttype": "text/xml"}, "datacontenttype: 'text/xml' is not JSON"),
        ({"data_base64": "AA=="}, "data_base64: bytes have no properties"),
        ({"data": "text"}, "properties: not an object"),
        ({"data": {"deep": {"er": 1}}}, "properties.deep: an object"),
    ],
)
def test_what_is_no_cloud_event_of_ours_says_why(change: dict[str, object], said: str) -> None:
    ((line, problem),) = problems(json.dumps(CLOUD_EVENT | change).encode(), Format.CLOUDEVENTS)
    assert line == 1 and said in problem
