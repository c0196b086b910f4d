"""What a story expects to see after a step: each key as a look through the public API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from libs.period import local_midnight
from libs.wire import read_date
from tally.invoicing.v1.credit_note_service_pb2 import CreditNote
from tally.invoicing.v1.invoice_service_pb2 import Invoice, InvoiceLine, InvoiceStatus, LineKind
from tally.rating.v1.billing_period_pb2 import BillingPeriod, PeriodKind
from tally.rating.v1.subscription_changes_pb2 import UnusedFee
from tally.rating.v1.subscription_service_pb2 import (
    GetSubscriptionRequest,
    GetSubscriptionResponse,
    SubscriptionStatus,
)
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.vectors.stories.world import World, instant

SECOND = timedelta(seconds=1)
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
        due = [one for one in of_plan if _instant(one.due_at) <= self.at]
        wanted = [one for one in due if one.kind == kind]
        return (wanted or [one for one in due if one.kind == BASE])[-1]

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

    async def ended(self) -> list[BillingPeriod]:
        """Return the periods whose usage is billed on its day.

        A plan without charges has none: there the base fee's show when they would be.
        """
        usage = await self.due(USAGE)
        if usage:
            return usage
        periods = await self.world.list_periods(self.subscription_id)
        day = self.world.day(self.at)
        ends = [one for one in periods if self.world.day(_instant(one.usage_period.end)) == day]
        return [one for one in ends if one.kind == BASE]


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


async def _taxes(step: Step) -> int:
    return step.invoice.tax_minor


async def _issued(step: Step) -> str:
    return read_date(step.invoice.issue_date).isoformat()


async def _invoice_status(step: Step) -> str:
    return InvoiceStatus.Name(step.invoice.status).removeprefix("INVOICE_STATUS_").lower()


async def _subscription_status(step: Step) -> str:
    found = (await step.subscription()).subscription
    return SubscriptionStatus.Name(found.status).removeprefix("SUBSCRIPTION_STATUS_").lower()


async def _from(step: Step) -> str | None:
    window = await _fee_window(step)
    return None if window is None else _text(window[0])


async def _to(step: Step) -> str | None:
    window = await _fee_window(step)
    return None if window is None else _text(window[1])


async def _fee_window(step: Step) -> tuple[datetime, datetime] | None:
    """Return the days of the base fee that is due, to their last second.

    Where usage alone is due, within a longer period, that is none of its days: they end as it
    begins.
    """
    base = await step.due(BASE)
    if base:
        return _first(base[-1]), _end(base[-1]) - SECOND
    if not await step.due(USAGE):
        return None
    for one in await step.world.list_periods(step.subscription_id):
        start, end = _instant(one.usage_period.start), _instant(one.usage_period.end)
        if one.kind == BASE and start <= step.at < end:
            return _first(one), start
    return None


async def _in_trial(step: Step) -> bool:
    found = await step.subscription()
    return found.HasField("trial_end") and step.at < _instant(found.trial_end)


async def _trial_end(step: Step) -> str:
    return _text(_instant((await step.subscription()).trial_end))


async def _charges_from(step: Step) -> str | None:
    usage = await step.ended()
    return _text(_instant(usage[-1].usage_period.start)) if usage else None


async def _charges_to(step: Step) -> str | None:
    usage = await step.ended()
    return _text(_instant(usage[-1].usage_period.end) - SECOND) if usage else None


async def _invoice(step: Step) -> dict[str, Any]:
    """Look at the newest invoice as a whole."""
    one = step.invoice
    usage = [line for line in one.lines if line.kind == LineKind.LINE_KIND_USAGE]
    minimums = [line for line in one.lines if line.kind == LineKind.LINE_KIND_MINIMUM]
    base = [line for line in one.lines if line.kind == LineKind.LINE_KIND_BASE]
    found: dict[str, Any] = {
        "status": await _invoice_status(step),
        "fees": len(one.lines),
        "fees_cents": one.subtotal_minor,
        "sub_total_excluding_taxes_cents": one.subtotal_minor,
        "taxes_cents": one.tax_minor,
        "credit_notes_cents": one.credit_notes_minor,
        "total_cents": one.total_minor,
        "subscription_fee_cents": sum(line.amount_minor for line in base),
        "charge_fee_cents": sum(line.amount_minor for line in usage),
        "usage_fees_cents": sorted(line.amount_minor for line in usage),
    }
    if usage:
        found["usage_fee"] = _fee(usage[0])
    if minimums:
        found["true_up_fee"] = {**_fee(minimums[0]), "units": 1}  # Its units say nothing here.
    return found


def _fee(line: InvoiceLine) -> dict[str, Any]:
    return {
        "amount_cents": line.amount_minor,
        "taxes_cents": line.tax_share_minor,
        "units": Decimal(line.units),
    }


async def _credit_note(step: Step) -> dict[str, Any]:
    """Look at what the step's credit notes come to."""
    total = sum(one.total_minor for one in step.notes)
    return {
        "sub_total_cents": sum(one.subtotal_minor for one in step.notes),
        "taxes_cents": sum(one.tax_minor for one in step.notes),
        "total_cents": total,
        "credit_cents": total,
        "refund_cents": 0,
    }


async def _credit_note_balance(step: Step) -> int:
    return sum(one.balance_minor for one in step.notes)


async def _credit_note_count(step: Step) -> int:
    return len(step.notes)


async def _invoice_count(step: Step) -> int:
    return len(await step.world.list_invoices())


async def _option(step: Step) -> str | None:
    """Look at what becomes of unused fees: to credit them is what no option means."""
    found = (await step.subscription()).subscription.unused_fee
    name = UnusedFee.Name(found).removeprefix("UNUSED_FEE_").lower()
    return None if found == UnusedFee.UNUSED_FEE_CREDIT else name


async def _usage(step: Step) -> dict[str, Any]:
    asked = GetUsageRequest(subscription_id=step.subscription_id)
    found = await step.world.client.usage.GetUsage(asked)
    units = sum((Decimal(fee.units) for fee in found.fees), Decimal(0))
    return {"units": units, "amount_cents": found.amount.amount_minor}


def of_plan(place: int, *kinds: LineKind.ValueType, taxed: bool = False) -> Look:
    """Look at what lines of a plan come to: -1 is the newest, -2 the one before it."""

    async def look(step: Step) -> int:
        lines = step.lines_of(place, *kinds)
        return sum(line.amount_minor + (line.tax_share_minor if taxed else 0) for line in lines)

    return look


def fixed_of(place: int) -> Look:
    """Look at fixed charges of a plan, less what was given back of the same, by charge."""

    async def look(step: Step) -> dict[str, int]:
        found: Counter[str] = Counter()
        for line in step.lines_of(place, LineKind.LINE_KIND_FIXED):
            found[line.charge_code] += line.amount_minor
        invoices = await step.world.list_invoices()
        lines = {line.line_id: line for one in invoices for line in one.lines}
        for item in (item for note in step.notes for item in note.items):
            line = lines[item.line_id]
            if line.kind == LineKind.LINE_KIND_FIXED and line.charge_code in found:
                found[line.charge_code] -= item.amount_minor
        return found

    return look


async def _plan_count(step: Step) -> int:
    return len({line.plan_code for line in step.invoice.lines})


def status_of(place: int) -> Look:
    """Look at where the terms before and after a change of plan stand."""

    async def look(step: Step) -> str:
        *_, newest = (await step.subscription()).terms
        changed = newest.plan_code == step.plan(-1) and _instant(newest.start) <= step.at
        return {-2: ("active", "terminated"), -1: ("pending", "active")}[place][changed]

    return look


async def _new_from(step: Step) -> str:
    return _text(_first(await step.period_of(-1, BASE)))


async def _new_to(step: Step) -> str:
    return _text(_end(await step.period_of(-1, BASE)) - SECOND)


async def _old_charges_from(step: Step) -> str:
    return _text(_instant((await step.period_of(-2, USAGE)).usage_period.start))


async def _old_charges_to(step: Step) -> str:
    return _text(_instant((await step.period_of(-2, USAGE)).usage_period.end))


LOOKS: Mapping[str, Look] = {
    "invoice": _invoice,
    "credit_note": _credit_note,
    "credit_note_balance_after_cents": _credit_note_balance,
    "credit_notes": _credit_note_count,
    "customer_invoices": _invoice_count,
    "subscription_invoices": _invoice_count,
    "on_termination_credit_note": _option,
    "current_usage": _usage,
    "new_current_usage": _usage,
    "new_subscription_fees_cents": of_plan(-1, LineKind.LINE_KIND_BASE),
    "old_subscription_fee_cents": of_plan(-2, LineKind.LINE_KIND_BASE),
    "old_invoice_total_cents": of_plan(-2, taxed=True),
    "old_subscription_invoice_total_cents": of_plan(-2, taxed=True),
    "fixed_charge_fees_cents": fixed_of(-1),
    "old_fixed_charge_fees_cents": fixed_of(-2),
    "subscriptions_on_the_invoice": _plan_count,
    "old_status": status_of(-2),
    "new_status": status_of(-1),
    "new_from": _new_from,
    "new_to": _new_to,
    "old_charges_from": _old_charges_from,
    "old_charges_to": _old_charges_to,
    "total_amount_cents": _total,
    "total_after_refresh_cents": _total,
    "termination_invoice_total_cents": _total,
    "fees_amount_cents": _fees,
    "fees_on_invoice": _fee_count,
    "taxes_amount_cents": _taxes,
    "issuing_date": _issued,
    "invoice_status": _invoice_status,
    "subscription_status": _subscription_status,
    "subscription_fee_cents": sum_of(LineKind.LINE_KIND_BASE),
    "charge_fee_cents": sum_of(LineKind.LINE_KIND_USAGE),
    "commitment_fee_cents": sum_of(LineKind.LINE_KIND_COMMITMENT),
    "in_trial": _in_trial,
    "trial_ended_at": _trial_end,
    "from": _from,
    "to": _to,
    "charges_from": _charges_from,
    "charges_to": _charges_to,
}


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
