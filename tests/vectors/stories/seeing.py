"""All that a story may expect to see: of invoices and subscriptions, and of wallets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from tally.invoicing.v1.invoice_service_pb2 import (
    InvoiceKind,
    InvoiceStatus,
    LineKind,
)
from tally.invoicing.v1.payment_service_pb2 import InvoicePaymentStatus
from tally.rating.v1.rating_service_pb2 import ListInstantFeesRequest
from tally.wallet.v1.wallet_service_pb2 import GrantKind
from tests.vectors.stories import wallets
from tests.vectors.stories.looking import LOOKS as DOCUMENTS
from tests.vectors.stories.looking import Look
from tests.vectors.stories.step import Step, at_of
from tests.vectors.stories.world import PAGE


async def _top_up(step: Step) -> dict[str, Any] | None:
    return await wallets.newest_top_up(step.world)


DRAFT = "-DRAFT"
TYPES = {"credit_purchase": "credit"}  # What peers call kinds of invoices.


async def _wallet(step: Step) -> dict[str, Any]:
    return await wallets.wallet_shown(step.world)


async def _last_transaction(step: Step) -> Mapping[str, Any]:
    return (await wallets.transactions(step.world))[-1]


async def _transaction_count(step: Step) -> int:
    return len(await wallets.transactions(step.world))


async def _invoice(step: Step) -> dict[str, Any]:
    """Look at the newest invoice as a whole, with what it is for and whether it was paid."""
    kind = InvoiceKind.Name(step.invoice.kind).removeprefix("INVOICE_KIND_").lower()
    paid = InvoicePaymentStatus.Name(step.invoice.payment_status)
    shown = await DOCUMENTS["invoice"](step)
    return {
        **shown,
        "type": TYPES.get(kind, kind),
        "payment_status": paid.removeprefix("INVOICE_PAYMENT_STATUS_").lower(),
        # What is not final has no number: peers show a draft's.
        "number_suffix": step.invoice.number[-len(DRAFT) :] or DRAFT,
    }


def of_subscription(subscription_id: str) -> dict[str, Look]:
    """Return looks at the newest invoice that bills a subscription."""

    async def newest(step: Step) -> dict[str, int]:
        *_, one = (
            one
            for one in await step.world.list_invoices()
            if any(line.subscription_id == subscription_id for line in one.lines)
        )
        return {
            "total_cents": one.total_minor,
            "sub_total_including_taxes_cents": one.subtotal_minor + one.tax_minor,
        }

    async def with_tax(step: Step) -> int:
        return (await newest(step))["sub_total_including_taxes_cents"]

    return {
        f"{subscription_id}_invoice": newest,
        f"{subscription_id}_invoice_sub_total_including_taxes_cents": with_tax,
        f"{subscription_id}_progressive_sub_total_including_taxes_cents": with_tax,
    }


async def _fees(step: Step) -> list[int]:
    return [line.amount_minor for line in step.invoice.lines]


async def _true_up(step: Step) -> dict[str, Any]:
    """Look at what usage of a charge lacks of its minimum; no event is in it."""
    [line] = step.lines(LineKind.LINE_KIND_MINIMUM)
    return {
        "amount_cents": line.amount_minor,
        "taxes_cents": line.tax_share_minor,
        "coupon_cents": line.coupons_minor,
        "units": 1,  # Its units say nothing here.
        "events": 0,
    }


async def _paid(step: Step) -> int:
    return step.invoice.credits_minor


async def _with_tax(step: Step) -> int:
    return step.invoice.subtotal_minor + step.invoice.tax_minor


async def _outbound(step: Step) -> dict[str, int]:
    return await wallets.outbound(step.world)


async def _remaining(step: Step) -> dict[str, int]:
    return await wallets.remaining(step.world)


def _paid_of(kind: GrantKind.ValueType) -> Look:
    async def look(step: Step) -> int:
        return await wallets.paid_by_kind(step.world, step.invoice.invoice_id, kind)

    return look


async def _fee(step: Step) -> dict[str, Any]:
    """Look at what the newest event costs at once, if it does, or else at an invoice's fee.

    Of several equal fees of an invoice it is that with the smallest share of its tax.
    """
    asked = ListInstantFeesRequest(subscription_id=step.subscription_id, page_size=PAGE)
    fees = (await step.world.client.rating.ListInstantFees(asked)).fees
    instant_fees = [one for one in fees if at_of(one.time) == step.at]
    if instant_fees:
        newest = instant_fees[-1]
        return {
            "units": Decimal(newest.units),
            "events": int(newest.HasField("position")),
            "amount_cents": newest.amount.amount_minor,
        }
    line = min(step.lines(LineKind.LINE_KIND_USAGE), key=lambda line: line.tax_share_minor)
    exact = Decimal(line.exact_amount) * 100
    rates = sum((Decimal(tax.rate_percent) for tax in step.invoice.taxes), Decimal(0))
    return {
        "amount_cents": line.amount_minor,
        "precise_amount_cents": exact,
        "taxes_cents": line.tax_share_minor,
        "precise_taxes_cents": exact * rates / 100,
    }


async def _draft_count(step: Step) -> int:
    found = await step.world.list_invoices()
    return sum(one.status == InvoiceStatus.INVOICE_STATUS_DRAFT for one in found)


WALLETS: Mapping[str, Look] = {
    "invoice": _invoice,
    "fee": _fee,
    "wallet": _wallet,
    "top_up": _top_up,
    "transaction": _last_transaction,
    "transactions": _transaction_count,
    "prepaid_credit_cents": _paid,
    "prepaid_granted_credit_cents": _paid_of(GrantKind.GRANT_KIND_GRANTED),
    "prepaid_purchased_credit_cents": _paid_of(GrantKind.GRANT_KIND_PURCHASED),
    "sub_total_including_taxes_cents": _with_tax,
    "outbound_cents": _outbound,
    "remaining_cents": _remaining,
    "draft_invoices": _draft_count,
    "fees_cents": _fees,
    "true_up_fee": _true_up,
}
LOOKS: Mapping[str, Look] = {**DOCUMENTS, **WALLETS}


async def look(step: Step, keys: Iterable[str], *, made: int) -> dict[str, Any]:
    """Return what each key shows, of a step that `made` so many invoices.

    One that nobody knows is left out, and missed.
    """
    looks = {**LOOKS}
    for subscription_id in step.world.customers:
        looks |= of_subscription(subscription_id)
    found = {key: await looks[key](step) for key in keys if key in looks}
    return {**found, "invoices_created": made}
