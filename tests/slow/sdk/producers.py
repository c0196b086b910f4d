"""What the tests of producers share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from cli.client import SuiteClient
from tally.ingest.v1.ingest_service_pb2 import ListEventsRequest
from tests.slow.sdk.conftest import built
from tests.suite import Suite
from tests.wait import until

Module = Callable[[str], Any]


def settings(client_module: Module, **given: Any) -> Any:
    return client_module("producing").ProducerSettings(**given)


def tally(client_module: Module, suite: Suite, tenant: int, address: str = "") -> Any:
    addresses = address or suite.stack.addresses
    return client_module("").Tally(addresses, token=suite.token(tenant))


def record_many(
    producer: Any, count: int, start: datetime, *, first: int = 0, made: bool = False
) -> None:
    """Record events of 0, 0.25, 0.5, ... units each, a millisecond apart; `made`: their ids.

    From the one numbered `first` on.
    """
    for number in range(first, first + count):
        producer.record(
            id="" if made else f"event-{number}",
            type="calls",
            customer_id="acme",
            time=start + timedelta(milliseconds=number),
            properties={"value": Decimal(number) / 4, "model": f"m{number % 3}"},
        )


async def until_accepted(producer: Any, count: int) -> None:
    """Wait until so many events are known to be stored."""
    await until(lambda: producer.report().accepted >= count, describe=producer.report)


async def stored(client: SuiteClient) -> int:
    """Return how many events the tenant has, of the first thousand."""
    return len((await client.ingest.ListEvents(ListEventsRequest(page_size=1_000))).events)


def environment(suite: Suite, tenant: int) -> dict[str, str]:
    """Return what a process needs to be a client."""
    address = suite.stack.addresses["ingest"]
    wheel = str(built("python/*.whl"))
    return {"AT": address, "TOKEN": suite.token(tenant), "PYTHONPATH": wheel}
