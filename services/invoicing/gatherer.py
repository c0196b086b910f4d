"""Work in the background: late usage of closed periods becomes credit notes, or waits as lines."""

from __future__ import annotations

import logging

from opentelemetry.context import Context

from libs import telemetry
from libs.db import begin_worker
from libs.tenant import Tenant
from libs.worker import PASSING
from services.invoicing.loops import Parts, link_usage
from services.invoicing.operations.gathering import gather, settle
from services.invoicing.store.gathering import find_late

log = logging.getLogger(__name__)
tracer = telemetry.tracer(__name__)

FOUND_MAX = 1_000


class Gatherer:
    """Asks rating what late usage changed, once it is due, customer by customer.

    An invoice of the customer that is finalized earlier takes it along. Whatever a process leaves
    half done any other goes on with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def step(self) -> bool:
        """Gather what is due; a customer whose usage cannot be rated holds up no other."""
        async with begin_worker(self._parts.worker) as conn:
            now = self._parts.clock.now()
            found = await find_late(conn, now=now, limit=FOUND_MAX)
        failed: Exception | None = None
        for tenant, customer_id, currency in found:
            try:
                await self.gather(tenant, customer_id, currency)
            except Exception as error:
                failed = error
                fields = {"tenant": tenant, "customer_id": customer_id, "error": str(error)}
                level = logging.WARNING if isinstance(error, PASSING) else logging.ERROR
                log.log(level, "late usage waits", extra=fields)
        if failed:
            raise failed
        return bool(found)

    async def gather(self, tenant: Tenant, customer_id: str, currency: str) -> None:
        """Ask rating for a customer's late usage, and make notes of what is given back."""
        now = self._parts.clock.now()
        context = Context()  # A trace of its own, that links to those of the usage.
        with tracer.start_as_current_span("invoicing gather late usage", context=context):
            undecided = await gather(self._parts.engine, tenant, customer_id, currency, now=now)
            rated = [
                one.rated or await self._parts.rating.adjust(tenant, one.period_id, one.sequence)
                for one in undecided
            ]
            link_usage(rated)
            await settle(self._parts.engine, tenant, rated, now=now)
        self._parts.committed()
