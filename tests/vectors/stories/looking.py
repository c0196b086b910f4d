"""What a story expects to see after a step: each key as a look through the public API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from libs.period import local_midnight
from libs.wire import read_date
from tally.invoicing.v1.invoice_service_pb2 import Invoice, InvoiceLine, InvoiceStatus, LineKind
from tally.rating.v1.billing_period_pb2 import BillingPeriod, PeriodKind
from tally.rating.v1.subscription_service_pb2 import GetSubscriptionRequest, SubscriptionStatus
from tests.vectors.stories.world import World, instant

SECOND = timedelta(seconds=1)
BASE, USAGE = PeriodKind.PERIOD_KIND_BASE, PeriodKind.PERIOD_KIND_USAGE


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was played: when, with which verbs, and the invoices that it made."""

    world: World
    at: datetime
    actions: Sequence[Mapping[str, Any]]
    invoices: Sequence[Invoice]

    @property
    def invoice(self) -> Invoice:
        """The newest invoice that it made."""
        return self.invoices[-1]

    @property
    def subscription_id(self) -> str:
        """The subscription that it names last, or the story's one."""
        named = [one["subscription"] for one in self.actions if "subscription" in one]
        return named[-1] if named else [*self.world.customers][-1]

    def lines(self, *kinds: LineKind.ValueType) -> list[InvoiceLine]:
        """Return the lines of those kinds, all that it billed."""
        return [line for one in self.invoices for line in one.lines if line.kind in kinds]

    async def due(self, kind: PeriodKind.ValueType) -> list[BillingPeriod]:
        """Return the billing periods that became due on its local day, up to it."""
        day = self.world.day(self.at)
        return [
            one
            for one in await self.world.list_periods(self.subscription_id)
            if one.kind == kind
            and _instant(one.due_at) <= self.at
            and self.world.day(_instant(one.due_at)) == day
        ]


Look = Callable[[Step], Awaitable[Any]]


def sum_of(*kinds: LineKind.ValueType) -> Look:
    """Look at what lines of those kinds come to; nothing is None."""

    async def look(step: Step) -> int | None:
        found = step.lines(*kinds)
        return sum(line.amount_minor for line in found) if found else None

    return look


async def _total(step: Step) -> int:
    return step.invoice.total_minor if step.invoices else 0


async def _fees(step: Step) -> int:
    return step.invoice.subtotal_minor


async def _fee_count(step: Step) -> int:
    return len(step.invoice.lines)


async def _created(step: Step) -> int:
    return len(step.invoices)


async def _taxes(step: Step) -> int:
    return step.invoice.tax_minor


async def _issued(step: Step) -> str:
    return read_date(step.invoice.issue_date).isoformat()


async def _invoice_status(step: Step) -> str:
    return InvoiceStatus.Name(step.invoice.status).removeprefix("INVOICE_STATUS_").lower()


async def _subscription_status(step: Step) -> str:
    asked = GetSubscriptionRequest(subscription_id=step.subscription_id)
    found = (await step.world.client.subscriptions.GetSubscription(asked)).subscription
    return SubscriptionStatus.Name(found.status).removeprefix("SUBSCRIPTION_STATUS_").lower()


async def _from(step: Step) -> str | None:
    base = await step.due(BASE)
    return _text(_first(base[-1])) if base else None


async def _to(step: Step) -> str | None:
    base = await step.due(BASE)
    return _text(_end(base[-1]) - SECOND) if base else None


async def _charges_from(step: Step) -> str | None:
    usage = await step.due(USAGE)
    return _text(_instant(usage[-1].usage_period.start)) if usage else None


async def _charges_to(step: Step) -> str | None:
    usage = await step.due(USAGE)
    return _text(_instant(usage[-1].usage_period.end) - SECOND) if usage else None


LOOKS: Mapping[str, Look] = {
    "total_amount_cents": _total,
    "total_after_refresh_cents": _total,
    "termination_invoice_total_cents": _total,
    "fees_amount_cents": _fees,
    "fees_on_invoice": _fee_count,
    "invoices_created": _created,
    "taxes_amount_cents": _taxes,
    "issuing_date": _issued,
    "invoice_status": _invoice_status,
    "subscription_status": _subscription_status,
    "subscription_fee_cents": sum_of(LineKind.LINE_KIND_BASE),
    "charge_fee_cents": sum_of(LineKind.LINE_KIND_USAGE),
    "commitment_fee_cents": sum_of(LineKind.LINE_KIND_COMMITMENT),
    "from": _from,
    "to": _to,
    "charges_from": _charges_from,
    "charges_to": _charges_to,
}


async def look(step: Step, keys: Iterable[str]) -> dict[str, Any]:
    """Return what each key shows; one that nobody knows is left out, and missed."""
    return {key: await LOOKS[key](step) for key in keys if key in LOOKS}


def _first(period: BillingPeriod) -> datetime:
    days = period.fee_days
    return local_midnight(read_date(days.first_day), ZoneInfo(days.time_zone))


def _end(period: BillingPeriod) -> datetime:
    days = period.fee_days
    return local_midnight(read_date(days.end_day), ZoneInfo(days.time_zone))


def _instant(message: Any) -> datetime:
    return instant(message.ToJsonString())


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
