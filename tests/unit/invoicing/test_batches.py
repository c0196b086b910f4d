"""Invoices are worked on many at once, and one that fails does not hold up the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

from libs.errors import Unavailable
from libs.tenant import Tenant
from services.invoicing.batches import BATCH_MAX, FOUND_MAX, PARALLEL, Batches
from services.invoicing.store.work import Reference
from tests.wait import until

TENANT = Tenant(1)


def references(count: int, *, tenant: Tenant = TENANT) -> list[Reference]:
    return [(tenant, UUID(int=place)) for place in range(count)]


class Worker:
    """Notes what it is given, and fails as long as `bad` is among it."""

    def __init__(self, bad: int, error: Exception) -> None:
        self.batches: list[list[int]] = []
        self._bad = bad
        self._error = error

    async def work(self, tenant: Tenant, invoice_ids: Sequence[UUID]) -> bool:
        places = [one.int for one in invoice_ids]
        self.batches.append(places)
        if self._bad in places:
            raise self._error
        return True


async def test_no_more_than_a_few_batches_are_worked_on_at_once() -> None:
    running = 0
    most = 0
    full = asyncio.Event()  # Set once as many run as may.

    async def work(tenant: Tenant, invoice_ids: Sequence[UUID]) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == PARALLEL:
            full.set()
        await full.wait()
        running -= 1
        return True

    assert await Batches("test", work, batch_max=2).run(references(20))
    assert most == PARALLEL


async def test_a_batch_is_of_one_tenant_and_in_order() -> None:
    worker = Worker(-1, ValueError())
    other = references(3, tenant=Tenant(2))
    assert await Batches("test", worker.work).run([*references(BATCH_MAX + 2), *other])
    full = list(range(BATCH_MAX))
    assert worker.batches == [full, [BATCH_MAX, BATCH_MAX + 1], [0, 1, 2]]


async def test_one_that_fails_waits_while_the_others_are_done() -> None:
    worker = Worker(1, Unavailable("the wallet is away"))
    batches = Batches("test", worker.work)
    assert await batches.run(references(3))
    assert worker.batches == [[0, 1, 2], [0], [1], [2]], "a batch that fails is done one by one"
    assert batches.limit == FOUND_MAX + 1
    worker.batches.clear()
    assert not await batches.run(references(2)[1:])
    assert worker.batches == []


async def test_only_what_fails_for_a_reason_of_its_own_stays_alone() -> None:
    async def second_try(error: Exception) -> list[list[int]]:
        worker = Worker(1, error)
        batches = Batches("test", worker.work)
        await batches.run(references(3))
        worker.batches.clear()

        async def has_come() -> bool:
            await batches.run(references(3))
            return any(1 in batch for batch in worker.batches)

        await until(has_come)
        return worker.batches

    assert [0, 1, 2] in await second_try(Unavailable("the wallet is away"))
    assert [1] in (alone := await second_try(ValueError("cannot be billed")))
    assert [0, 1, 2] not in alone


async def test_one_that_is_no_longer_found_is_forgotten() -> None:
    batches = Batches("test", Worker(0, Unavailable("the wallet is away")).work)
    assert await batches.run(references(2))
    assert not await batches.run([])
    assert batches.limit == FOUND_MAX
