"""A step of a story, as what is looked at after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from libs.period import local_midnight
from libs.wire import read_date
from tally.invoicing.v1.credit_note_service_pb2 import CreditNote
from tally.invoicing.v1.invoice_service_pb2 import (
    Invoice,
    InvoiceLine,
    LineKind,
)
from tally.rating.v1.billing_period_pb2 import BillingPeriod, PeriodKind
from tally.rating.v1.subscription_service_pb2 import (
    GetSubscriptionRequest,
    GetSubscriptionResponse,
)
from tests.vectors.stories.world import World, instant

BASE, USAGE = PeriodKind.PERIOD_KIND_BASE, PeriodKind.PERIOD_KIND_USAGE


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was played: when, with which verbs, and the documents that it made.

    If it made no invoice, the one that its last action names.
    """

    world: World
    at: datetime
    actions: Sequence[Mapping[str, Any]]
    invoices: Sequence[Invoice]
    notes: Sequence[CreditNote]
    former_notes: Sequence[CreditNote]  # Of earlier steps, if its last action is about an invoice.

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

    def plan(self, place: int) -> str:
        """Return a plan of the subscription: -1 is the newest, -2 the one before it."""
        return self.world.plans[self.subscription_id][place]

    def lines_of(self, place: int, *kinds: LineKind.ValueType) -> list[InvoiceLine]:
        """Return the lines of a plan, of those kinds, if there are any, that it billed."""
        lines = (line for one in self.invoices for line in one.lines)
        code = self.plan(place)
        return [one for one in lines if one.plan_code == code and (not kinds or one.kind in kinds)]

    async def subscription(self) -> GetSubscriptionResponse:
        """Return the subscription as it is now."""
        asked = GetSubscriptionRequest(subscription_id=self.subscription_id)
        return await self.world.client.subscriptions.GetSubscription(asked)

    async def period_of(self, place: int, kind: PeriodKind.ValueType) -> BillingPeriod:
        """Return the period of a plan that is due by now, the newest one.

        Where no charge makes one of usage, that of the base fee shows when it would be.
        """
        periods = await self.world.list_periods(self.subscription_id)
        of_plan = [one for one in periods if one.plan_code == self.plan(place)]
        due = [one for one in of_plan if at_of(one.due_at) <= self.at]
        wanted = [one for one in due if one.kind == kind]
        return (wanted or [one for one in due if one.kind == BASE])[-1]

    async def due(self, kind: PeriodKind.ValueType) -> list[BillingPeriod]:
        """Return the billing periods that became due on its local day, up to it."""
        day = self.world.day(self.at)
        return [
            one
            for one in await self.world.list_periods(self.subscription_id)
            if one.kind == kind
            and at_of(one.due_at) <= self.at
            and self.world.day(at_of(one.due_at)) == day
        ]

    async def ended(self) -> list[BillingPeriod]:
        """Return the periods whose usage is billed on its day.

        A plan without charges has none: there the base fee's show when they would be.
        """
        usage = await self.due(USAGE)
        if usage:
            return usage
        periods = await self.world.list_periods(self.subscription_id)
        day = self.world.day(self.at)
        ends = [one for one in periods if self.world.day(at_of(one.usage_period.end)) == day]
        return [one for one in ends if one.kind == BASE]


def first_of(period: BillingPeriod) -> datetime:
    days = period.fee_days
    return local_midnight(read_date(days.first_day), ZoneInfo(days.time_zone))


def end_of(period: BillingPeriod) -> datetime:
    days = period.fee_days
    return local_midnight(read_date(days.end_day), ZoneInfo(days.time_zone))


def at_of(message: Any) -> datetime:
    return instant(message.ToJsonString())


def text_of(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
