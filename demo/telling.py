"""Tells the stories to a running suite: sets each up, records its usage, moves the clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

from cli.client import SuiteClient
from cli.invoices import all_invoices
from demo.failure import DemoFailed
from demo.story import Story, Window
from libs.testclock import advance
from tally.ingest.v1.event_pb2 import Event, RejectionReason, Verdict
from tally.ingest.v1.ingest_service_pb2 import RecordEventsRequest
from tally.invoicing.v1.customer_service_pb2 import UpsertCustomerRequest
from tally.invoicing.v1.invoice_service_pb2 import GetInvoiceRequest, Invoice, InvoiceStatus
from tally.invoicing.v1.tax_service_pb2 import CreateTaxRequest
from tally.invoicing.v1.tenant_service_pb2 import UpdateBillingEntityRequest
from tally.rating.v1.meter_service_pb2 import CreateMeterRequest
from tally.rating.v1.plan_service_pb2 import CreatePlanRequest
from tally.rating.v1.subscription_service_pb2 import CreateSubscriptionRequest
from tally.rating.v1.usage_service_pb2 import GetUsageRequest, GetUsageResponse
from tally.wallet.v1.wallet_service_pb2 import CreateWalletRequest, GrantCreditsRequest

BATCH_MAX = 1_000
# Usage is recorded this long before its period ends: in time, and not too far ahead of time.
BEFORE_END = timedelta(minutes=1)
AFTER_END = timedelta(hours=1)  # Longer than the collection delay.

Told = Callable[[Story, int], None]  # A story, and how many of its events were just recorded.
Moved = Callable[[datetime], None]  # The instant that the suite has reached.


@dataclass(frozen=True, slots=True)
class Step:
    """What happens at an instant: a story begins, or the usage of a period is recorded."""

    at: datetime
    story: Story
    window: Window | None


@dataclass(frozen=True, slots=True)
class Teller:
    """The clients: one for each tenant, and an internal one that moves the clock."""

    clients: dict[int, SuiteClient]
    internal: SuiteClient
    told: Told
    moved: Moved

    async def tell(self, stories: Sequence[Story]) -> None:
        """Play all stories on one timeline, until the last invoice is out.

        Raises:
            DemoFailed: an event got another verdict than it must.
        """
        for step in timeline(stories):
            await self._move(step.at)
            client = self.clients[step.story.tenant]
            if step.window is None:
                await set_up(client, step.story)
            else:
                await self._record(client, step.story, step.window.events)
        await self._move(max(last_end(story) for story in stories) + AFTER_END)
        for story in stories:
            await self._record(self.clients[story.tenant], story, story.open_events)
        await self._move(max(last_end(story) for story in stories) + AFTER_END)

    async def _move(self, to: datetime) -> None:
        await advance(self.internal.clocks, to, progress=self.moved)

    async def _record(self, client: SuiteClient, story: Story, events: Sequence[Event]) -> None:
        """Record the events, the first batch twice: what was sent before must change nothing."""
        for batch in batches(events):
            await record(client, batch, Verdict.VERDICT_ACCEPTED)
            self.told(story, len(batch))
        for batch in list(batches(events))[:1]:
            await record(client, batch, Verdict.VERDICT_DUPLICATE)


def timeline(stories: Sequence[Story]) -> list[Step]:
    """Return all steps of all stories in the order of time."""
    steps = [Step(story.start, story, None) for story in stories]
    steps += [
        Step(window.end - BEFORE_END, story, window)
        for story in stories
        for window in story.windows
    ]
    return sorted(steps, key=lambda step: step.at)


def last_end(story: Story) -> datetime:
    """Return the end of the story's last period that is billed."""
    return story.windows[-1].end


def batches(events: Sequence[Event]) -> Iterator[Sequence[Event]]:
    """Yield the events in batches that one request may hold."""
    for start in range(0, len(events), BATCH_MAX):
        yield events[start : start + BATCH_MAX]


async def record(client: SuiteClient, batch: Sequence[Event], expected: Verdict.ValueType) -> None:
    """Record a batch.

    Raises:
        DemoFailed: an event got another verdict than `expected`.
    """
    answer = await client.ingest.RecordEvents(RecordEventsRequest(events=batch))
    for event, verdict in zip(batch, answer.verdicts, strict=True):
        if verdict.verdict != expected:
            raise DemoFailed(
                f"event {event.id} of {event.time.ToJsonString()} is "
                f"{Verdict.Name(verdict.verdict)}, not {Verdict.Name(expected)}: "
                f"{RejectionReason.Name(verdict.reason)} {verdict.field} {verdict.detail}"
            )


async def set_up(client: SuiteClient, story: Story) -> None:
    """Create all that a story needs before its first event."""
    await client.tenants.UpdateBillingEntity(
        UpdateBillingEntityRequest(request_id=fresh_id(), billing_entity=story.seller)
    )
    for tax in story.taxes:
        await client.taxes.CreateTax(CreateTaxRequest(request_id=fresh_id(), tax=tax))
    await client.customers.UpsertCustomer(
        UpsertCustomerRequest(request_id=fresh_id(), customer=story.customer)
    )
    for meter in story.meters:
        await client.meters.CreateMeter(CreateMeterRequest(request_id=fresh_id(), meter=meter))
    await client.plans.CreatePlan(
        CreatePlanRequest(request_id=fresh_id(), plan=story.plan, version=story.version)
    )
    await client.subscriptions.CreateSubscription(
        CreateSubscriptionRequest(request_id=fresh_id(), subscription=story.subscription)
    )
    if story.pack is not None:
        opened = await client.wallets.CreateWallet(
            CreateWalletRequest(request_id=fresh_id(), wallet=story.pack.wallet)
        )
        request = GrantCreditsRequest(request_id=fresh_id(), grant=story.pack.grant)
        request.grant.wallet_id = opened.wallet.wallet_id
        await client.wallets.GrantCredits(request)


async def finalized(client: SuiteClient) -> list[Invoice]:
    """Return the tenant's finalized invoices with their lines, oldest first."""
    found = [
        (await client.invoices.GetInvoice(GetInvoiceRequest(invoice_id=one.invoice_id))).invoice
        async for one in all_invoices(client)
        if one.status == InvoiceStatus.INVOICE_STATUS_FINALIZED
    ]
    return sorted(found, key=lambda invoice: invoice.period.end.ToNanoseconds())


async def open_usage(client: SuiteClient, story: Story) -> GetUsageResponse | None:
    """Return the usage of the period after the last window; None if the story has none there."""
    if not story.open_events:
        return None
    request = GetUsageRequest(subscription_id=story.subscription.subscription_id)
    return await client.usage.GetUsage(request)


def fresh_id() -> str:
    """Return a new request id."""
    return str(uuid4())
