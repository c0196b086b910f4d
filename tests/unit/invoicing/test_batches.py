"""Invoices are worked on a few at a time, and one that fails does not hold up the others."""

from __future__ import annotations

import asyncio
from uuid import UUID

from libs.errors import Unavailable
from libs.tenant import Tenant
from services.invoicing.loops import BATCH_MAX, PARALLEL, Batches
from services.invoicing.store.work import Reference

TENANT = Tenant(1)


def references(count: int) -> list[Reference]:
    return [(TENANT, UUID(int=place)) for place in range(count)]


async def test_no_more_than_a_few_are_worked_on_at_once() -> None:
    running = 0
    most = 0
    full = asyncio.Event()  # Set once as many run as may.

    async def one(tenant: Tenant, invoice_id: UUID) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == PARALLEL:
            full.set()
        await full.wait()
        running -= 1
        return True

    assert await Batches("test", one).run(references(20))
    assert most == PARALLEL


async def test_one_that_fails_waits_while_the_others_are_done() -> None:
    tried: list[int] = []

    async def one(tenant: Tenant, invoice_id: UUID) -> bool:
        tried.append(invoice_id.int)
        if invoice_id.int == 1:
            raise Unavailable("the wallet is away")
        return True

    batches = Batches("test", one)
    assert await batches.run(references(3))
    assert sorted(tried) == [0, 1, 2]
    assert batches.limit == BATCH_MAX + 1
    tried.clear()
    assert not await batches.run(references(2)[1:])
    assert tried == []


async def test_one_that_is_no_longer_found_is_forgotten() -> None:
    async def one(tenant: Tenant, invoice_id: UUID) -> bool:
        raise Unavailable("the wallet is away")

    batches = Batches("test", one)
    assert not await batches.run(references(2))
    assert not await batches.run([])
    assert batches.limit == BATCH_MAX
