"""Work in the background: what became of the payment of invoices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.clock import Clock
from libs.db import begin_worker
from libs.idle import Idle, IdleCheck
from libs.tenant import Tenant
from services.invoicing.batches import Batches
from services.invoicing.loops import Parts
from services.invoicing.operations.charging import (
    PaymentProvider,
    begin_payment,
    load_charge,
    take_outcome,
)
from services.invoicing.operations.dunning import dun
from services.invoicing.operations.paying import mark_overdue
from services.invoicing.store.dunning import count_dunned, find_dunned
from services.invoicing.store.payments import count_unanswered, find_unanswered
from services.invoicing.store.receivables import (
    count_chargeable,
    count_overdue,
    find_chargeable,
    find_overdue,
)

DUNNED_MAX = 1_000


class Overdue:
    """Flags and announces invoices whose due date has passed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._batches = Batches("overdue", self._mark)

    async def step(self) -> bool:
        """Flag what is overdue by now."""
        now = self._parts.clock.now()
        async with begin_worker(self._parts.worker) as conn:
            found = await find_overdue(conn, now=now, limit=self._batches.limit)
        return await self._batches.run(found)

    async def _mark(self, tenant: Tenant, invoice_ids: Sequence[UUID]) -> bool:
        now = self._parts.clock.now()
        done = await mark_overdue(self._parts.engine, tenant, invoice_ids, now=now)
        self._parts.committed()
        return done


class Charger:
    """Has a payment provider charge what is due to be charged.

    The payment is stored first, and whoever finds one without an answer asks for it (again).
    """

    def __init__(self, parts: Parts, provider: PaymentProvider, retry_days: Sequence[int]) -> None:
        self._parts = parts
        self._provider = provider
        self._retry_days = retry_days
        self._beginning = Batches("charges to begin", self._begin, batch_max=1)
        self._asking = Batches("charges", self._ask, batch_max=1)

    async def step(self) -> bool:
        """Begin what is due by now, and ask the provider for all that it has not answered."""
        now = self._parts.clock.now()
        async with begin_worker(self._parts.worker) as conn:
            due = await find_chargeable(conn, now=now, limit=self._beginning.limit)
        begun = await self._beginning.run(due)
        async with begin_worker(self._parts.worker) as conn:
            unanswered = await find_unanswered(conn, limit=self._asking.limit)
        return await self._asking.run(unanswered) or begun

    async def _begin(self, tenant: Tenant, invoice_ids: Sequence[UUID]) -> bool:
        [invoice_id] = invoice_ids
        engine, now = self._parts.engine, self._parts.clock.now()
        await begin_payment(engine, tenant, invoice_id, self._provider.name, now=now)
        return True

    async def _ask(self, tenant: Tenant, payment_ids: Sequence[UUID]) -> bool:
        [payment_id] = payment_ids
        charge = await load_charge(self._parts.engine, tenant, payment_id)
        if charge is not None:
            outcome = await self._provider.charge(charge)
            now = self._parts.clock.now()
            await take_outcome(
                self._parts.engine, tenant, payment_id, outcome, self._retry_days, now=now
            )
            self._parts.committed()
        return True


class Dunner:
    """Takes the steps of dunning campaigns, customer by customer."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def step(self) -> bool:
        """Take the steps that have come by now."""
        now = self._parts.clock.now()
        async with begin_worker(self._parts.worker) as conn:
            found = await find_dunned(conn, now=now, limit=DUNNED_MAX)
        for tenant, customer_id, currency in found:
            await dun(self._parts.engine, tenant, customer_id, currency, now=now)
            self._parts.committed()
        return bool(found)


async def idle(worker: AsyncEngine, clock: Clock, others: IdleCheck, *, charging: bool) -> Idle:
    """Tell what `others` do and what is left to do about payments.

    Without `charging` no provider is asked, so nothing is to be charged. What a provider is
    working on waits for its message, and keeps nobody busy.
    """
    found, now = await others(), clock.now()
    charges, charge_at, unanswered = 0, None, 0
    async with begin_worker(worker) as conn:
        fallen, overdue_at = await count_overdue(conn, now=now)
        dunned, dun_at = await count_dunned(conn, now=now)
        if charging:
            charges, charge_at = await count_chargeable(conn, now=now)
            unanswered = await count_unanswered(conn)
    reasons = {
        "invoices fall overdue": fallen,
        "steps of dunning have come": dunned,
        "invoices are to be charged": charges,
        "payments are being asked for": unanswered,
    }
    busy = [f"{count} {what}" for what, count in reasons.items() if count > 0]
    times = filter(None, (found.next_due_at, overdue_at, dun_at, charge_at))
    return replace(found, busy=[*found.busy, *busy], next_due_at=min(times, default=None))
