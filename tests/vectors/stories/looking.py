"""What a story expects to see after a step: each key as a look through the public API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

from libs.wire import read_date
from tally.invoicing.v1.invoice_service_pb2 import (
    InvoiceKind,
    InvoiceLine,
    InvoiceStatus,
    LineKind,
)
from tally.rating.v1.subscription_changes_pb2 import UnusedFee
from tally.rating.v1.subscription_service_pb2 import (
    SubscriptionStatus,
)
from tally.rating.v1.usage_service_pb2 import GetUsageRequest
from tests.vectors.stories.step import Step, at_of, text_of
from tests.vectors.stories.windows import (
    look_charges_from,
    look_charges_to,
    look_from,
    look_new_from,
    look_new_to,
    look_old_charges_from,
    look_old_charges_to,
    look_to,
)

INVOICE_TYPES = {
    InvoiceKind.INVOICE_KIND_SUBSCRIPTION: "subscription",
    InvoiceKind.INVOICE_KIND_PROGRESSIVE: "progressive_billing",
}


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
    return sum(line.amount_minor for line in step.invoice.lines)


async def _progressive_credit(step: Step) -> int:
    return step.invoice.progressive_credit_minor


async def _invoice_type(step: Step) -> str:
    return INVOICE_TYPES[step.invoice.kind]


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


async def _in_trial(step: Step) -> bool:
    found = await step.subscription()
    return found.HasField("trial_end") and step.at < at_of(found.trial_end)


async def _trial_end(step: Step) -> str:
    return text_of(at_of((await step.subscription()).trial_end))


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
    """Look at what the step's credit notes come to, or those of before that it may change."""
    notes = step.notes or step.former_notes
    total = sum(one.total_minor for one in notes)
    return {
        "balance_cents": sum(one.balance_minor for one in notes),
        "sub_total_cents": sum(one.subtotal_minor for one in notes),
        "taxes_cents": sum(one.tax_minor for one in notes),
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
        changed = newest.plan_code == step.plan(-1) and at_of(newest.start) <= step.at
        return {-2: ("active", "terminated"), -1: ("pending", "active")}[place][changed]

    return look


async def _numbers(step: Step) -> list[str]:
    """Look at the numbers; drafts show their billing entity's prefix."""
    entities = step.world.entities
    return sorted(
        one.number or f"{entities[one.billing_entity_code].number_prefix}-DRAFT"
        for one in step.invoices
    )


async def _entity_sequences(step: Step) -> list[int | None]:
    """Look at the places among all of the entity's invoices, which numbers with months show."""
    parts = [one.rsplit("-", 2) for one in await _numbers(step)]
    places = [int(last) for _, month, last in parts if len(month) == len("YYYYMM")]
    return [*places, *[None] * (len(parts) - len(places))]


LOOKS: Mapping[str, Look] = {
    "numbers": _numbers,
    "entity_sequences": _entity_sequences,
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
    "new_from": look_new_from,
    "new_to": look_new_to,
    "old_charges_from": look_old_charges_from,
    "old_charges_to": look_old_charges_to,
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
    "progressive_billing_credit_cents": _progressive_credit,
    "invoice_type": _invoice_type,
    "in_trial": _in_trial,
    "trial_ended_at": _trial_end,
    "from": look_from,
    "to": look_to,
    "charges_from": look_charges_from,
    "charges_to": look_charges_to,
}
