"""Deliveries of webhooks: made once a fact, claimed by one, and sent to public addresses only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from libs import outbox
from libs.db import begin, begin_worker
from libs.requests import Request
from libs.tenant import Tenant
from services.invoicing.domain.webhook import GIVE_UP_AFTER, Answer, Delivery, DeliveryStatus
from services.invoicing.operations import webhooks
from services.invoicing.operations.posting import post
from services.invoicing.store.webhooks import (
    Claimed,
    claim_due,
    count_undelivered,
    is_due,
    offer_facts,
)
from tally.invoicing.v1 import events_pb2
from tests.receiver import Receiver, receiver
from tests.store.invoicing.steps import NOW

HEADERS = {"Tally-Signature": "t=1,v1=none"}
LATER = NOW + timedelta(days=1)


@pytest.fixture
def target() -> Iterator[Receiver]:
    """Where to send."""
    with receiver() as served:
        yield served


def command() -> Request:
    return Request("method", uuid4(), b"digest")


async def endpoint(engine: AsyncEngine, tenant: Tenant, *fact_types: str) -> UUID:
    answer = await webhooks.create_endpoint(
        engine, tenant, command(), "https://example.com/", fact_types, secret="s", now=NOW
    )
    return UUID(answer.webhook_endpoint.webhook_endpoint_id)


async def announce(engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant, *names: str) -> None:
    """Announce facts, number them as the relay does, and offer them."""
    async with begin(engine, tenant) as conn:
        for name in names:
            await outbox.append(conn, tenant, getattr(events_pb2, name)())
    async with begin_worker(worker) as conn:
        await outbox.number_waiting(conn, batch_max=100)
    for _ in range(3):  # The first may only make the cursor; the last finds nothing new.
        async with begin_worker(worker) as conn:
            await offer_facts(conn, now=NOW)


async def deliveries(engine: AsyncEngine, tenant: Tenant) -> list[Delivery]:
    """Return the deliveries, oldest first."""
    found = await webhooks.list_deliveries(
        engine, tenant, endpoint_id=None, status=None, before=None, limit=99
    )
    return [one for _, one in reversed(found)]


async def claimed(worker: AsyncEngine, tenant: Tenant, *, of_endpoint_max: int) -> list[Claimed]:
    async with begin_worker(worker) as conn:
        assert await is_due(conn, now=NOW)
        found = await claim_due(conn, now=NOW, limit=99, of_endpoint_max=of_endpoint_max)
    return [one for one in found if one.tenant == tenant]


async def test_each_fact_is_offered_once_to_each_endpoint_that_wants_it(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    everything = await endpoint(engine, tenant)
    paid = await endpoint(engine, tenant, "InvoicePaid")
    await announce(engine, worker, tenant, "InvoiceFinalized", "UnbilledAmountChanged")
    await announce(engine, worker, tenant, "InvoicePaid")
    await announce(engine, worker, Tenant(tenant + 1_000), "InvoicePaid")
    found = [(one.endpoint_id, one.fact_type) for one in await deliveries(engine, tenant)]
    assert found[0] == (everything, "InvoiceFinalized")
    assert sorted(found[1:]) == sorted([(everything, "InvoicePaid"), (paid, "InvoicePaid")])
    assert await deliveries(engine, Tenant(tenant + 1_000)) == []


async def test_an_endpoint_has_few_attempts_at_once_and_none_twice(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    first, second = [await endpoint(engine, tenant) for _ in range(2)]
    await announce(engine, worker, tenant, *["InvoicePaid"] * 3)
    both = await claimed(worker, tenant, of_endpoint_max=2)
    assert sorted(one.endpoint.endpoint_id for one in both) == sorted([first, second] * 2)
    assert await claimed(worker, tenant, of_endpoint_max=2) == []
    done = both[0]
    await webhooks.take_answer(engine, tenant, done.delivery, Answer(204), now=NOW, draw=0)
    [last] = await claimed(worker, tenant, of_endpoint_max=2)
    assert last.endpoint.endpoint_id == done.endpoint.endpoint_id


async def test_a_disabled_endpoint_keeps_what_waits_and_a_deleted_one_nothing(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    made = await endpoint(engine, tenant)
    await announce(engine, worker, tenant, "InvoicePaid")
    await webhooks.update_endpoint(
        engine, tenant, command(), made, "https://example.com/", [], disabled=True
    )
    await announce(engine, worker, tenant, "InvoiceVoided")
    assert [one.fact_type for one in await deliveries(engine, tenant)] == ["InvoicePaid"]
    assert await claimed(worker, tenant, of_endpoint_max=9) == []
    await webhooks.delete_endpoint(engine, tenant, command(), made)
    assert await deliveries(engine, tenant) == []


async def test_a_delivery_fails_after_three_days_and_can_be_replayed(
    engine: AsyncEngine, worker: AsyncEngine, tenant: Tenant
) -> None:
    await endpoint(engine, tenant)
    await announce(engine, worker, tenant, "InvoicePaid")
    [first] = await claimed(worker, tenant, of_endpoint_max=1)
    refused = Answer(500, "answered with status 500")
    await webhooks.take_answer(engine, tenant, first.delivery, refused, now=NOW, draw=0)
    [waiting] = await deliveries(engine, tenant)
    assert (waiting.status, waiting.attempts) == (DeliveryStatus.PENDING, 1)
    assert waiting.next_attempt_at == NOW + timedelta(seconds=10)
    async with begin_worker(worker) as conn:
        _, _, next_at = await count_undelivered(conn, now=NOW)
    assert next_at == waiting.next_attempt_at

    end = NOW + GIVE_UP_AFTER
    await webhooks.take_answer(engine, tenant, waiting, refused, now=end, draw=0)
    [failed] = await deliveries(engine, tenant)
    assert (failed.status, failed.last_status_code) == (DeliveryStatus.FAILED, 500)
    await webhooks.replay(engine, tenant, command(), failed.delivery_id, now=end)
    [again] = await deliveries(engine, tenant)
    assert (again.status, again.attempts) == (DeliveryStatus.PENDING, 0)
    assert (again.next_attempt_at, again.give_up_at) == (end, end + GIVE_UP_AFTER)
    # An answer to an attempt from before does not count any more.
    await webhooks.take_answer(engine, tenant, waiting, Answer(204), now=end, draw=0)
    assert await deliveries(engine, tenant) == [again]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_what_is_not_of_the_internet_is_never_connected_to(
    target: Receiver, host: str
) -> None:
    url = target.url.replace("127.0.0.1", host)
    answer = await post(url, b"{}", HEADERS, private=False)
    assert answer.status_code == 0
    assert "which is not public" in answer.error
    assert target.received == []


async def test_redirects_are_not_followed(target: Receiver) -> None:
    answer = await post(f"{target.url}/redirects", b"{}", HEADERS, private=True)
    assert answer == Answer(302, "answered with status 302")
    assert target.at("/reached") == []


async def test_a_target_that_hangs_is_left_after_a_while(target: Receiver) -> None:
    answer = await post(f"{target.url}/hangs", b"{}", HEADERS, private=True, seconds=0.2)
    assert answer == Answer(0, "no answer within 0.2 s")
    assert [one.body for one in target.received] == [b"{}"]


async def test_a_target_that_cannot_be_reached_is_an_answer_too(target: Receiver) -> None:
    answer = await post("http://127.0.0.1:1/", b"{}", HEADERS, private=True)
    assert answer.status_code == 0
    assert answer.error
    # TLS to a server that speaks none.
    tls = target.url.replace("http:", "https:")
    assert (await post(tls, b"{}", HEADERS, private=True, seconds=5)).status_code == 0
