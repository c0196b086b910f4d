"""How a stored invoice differs from the one that its closed periods and its taxes make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from libs.difference import Difference, Names, compared
from services.invoicing.domain.adjusted_fee import AdjustedFee, adjust
from services.invoicing.domain.content_hash import content_hash
from services.invoicing.domain.coupon import CouponUse, use_coupons
from services.invoicing.domain.invoice import (
    Content,
    Credit,
    Kind,
    Status,
    compose,
    with_coupons,
    with_notes,
    with_taxes,
)
from services.invoicing.domain.line import Line, RatedPeriod
from services.invoicing.domain.note_use import NoteApplication
from services.invoicing.domain.tax import Tax, TaxAmount, TaxTerms

Part = tuple[UUID, UUID, UUID, bool]  # Of a credit: line, wallet, grant, captured.


@dataclass(frozen=True, slots=True, kw_only=True)
class FrozenInvoice:
    """All that is stored of an invoice whose lines stand.

    `closed` are the periods that it bills for the first time, `adjusted` those whose adjustment it
    bills, each with its sequence.
    """

    tenant: int
    invoice_id: UUID
    kind: Kind
    status: Status
    customer_id: str
    currency: str
    number: str
    sequences: tuple[int | None, int | None]  # Among its entity's, and among its customer's.
    progressive_credit_minor: int
    coupons_minor: int
    subtotal_minor: int
    tax_minor: int
    credit_notes_minor: int
    credits_minor: int
    total_minor: int
    content_hash: bytes
    lines: tuple[Line, ...]
    coupons: tuple[CouponUse, ...]
    default_tax_codes: tuple[str, ...] | None
    taxes: tuple[TaxAmount, ...]
    notes: tuple[NoteApplication, ...]  # What paid it; not the notes on it.
    credits: tuple[Credit, ...]
    closed: tuple[UUID, ...]
    adjusted: tuple[tuple[UUID, int], ...]
    by_hand: tuple[RatedPeriod, ...] = ()  # What it bills without a period.
    adjusted_fees: tuple[AdjustedFee, ...] = ()
    crossing_id: UUID | None = None  # Of a progressive one: what rating froze for it.

    @property
    def names(self) -> Names:
        """What people call it."""
        number = {"number": self.number} if self.number else {"status": str(self.status)}
        return {**number, "invoice_id": str(self.invoice_id)}

    @property
    def closes(self) -> tuple[tuple[UUID, int], ...]:
        """Every period that it bills, with the sequence of what was frozen of it."""
        return (*((period_id, 0) for period_id in self.closed), *self.adjusted)


def invoice_differences(invoice: FrozenInvoice, rated: Sequence[RatedPeriod]) -> list[Difference]:
    """Return how `invoice` differs from what it makes of `rated`, what it bills as it was frozen.

    Its coupons are taken off again as they were then, taxes are taken at the rates that were frozen
    with it, credit notes pay what they paid, and progressive invoices have billed what its lines
    say.
    """
    tenant, named = invoice.tenant, invoice.names
    billed = {(one.period_id, one.sequence) for one in rated}
    found = [
        Difference(tenant, "invoice", {**named, "period_id": str(one[0])}, "close", str(one[1]), "")
        for one in invoice.closes
        if one not in billed
    ]
    every = [*rated, *invoice.by_hand]
    shown = adjust(invoice.invoice_id, invoice.currency, every, invoice.adjusted_fees)
    content = composed_again(invoice, shown)
    digest = content_hash(
        invoice.invoice_id,
        content,
        customer_id=invoice.customer_id,
        currency=invoice.currency,
        period_ids=invoice.closed if invoice.crossing_id is None else [*{one for one, _ in billed}],
    )
    credits_minor = sum(credit.amount_minor for credit in invoice.credits)
    left_minor = content.gross_minor - content.credit_notes_minor
    found += compared(
        tenant,
        "invoice",
        named,
        progressive_credit_minor=(
            invoice.progressive_credit_minor,
            content.progressive_credit_minor,
        ),
        coupons_minor=(invoice.coupons_minor, content.coupons_minor),
        subtotal_minor=(invoice.subtotal_minor, content.subtotal_minor),
        tax_minor=(invoice.tax_minor, content.tax_minor),
        credit_notes_minor=(invoice.credit_notes_minor, content.credit_notes_minor),
        credits_minor=(invoice.credits_minor, credits_minor),
        total_minor=(invoice.total_minor, left_minor - credits_minor),
        content_hash=(invoice.content_hash, digest),
    )
    found += line_differences(invoice, content)
    found += coupon_differences(invoice, content)
    found += tax_differences(invoice, content)
    return found + number_differences(invoice)


def line_differences(invoice: FrozenInvoice, content: Content) -> list[Difference]:
    """Return how the lines differ from those of `content`, and their credits from what was paid."""
    stored = {line.line_id: (place, line) for place, line in enumerate(invoice.lines)}
    again = {line.line_id: (place, line) for place, line in enumerate(content.lines)}
    paid: Counter[UUID] = Counter()
    for credit in invoice.credits:
        paid[credit.line_id] += credit.amount_minor
    found: list[Difference] = []
    for line_id in dict.fromkeys([*stored, *again]):
        named = {**invoice.names, "line_id": str(line_id)}
        was, is_ = stored.get(line_id), again.get(line_id)
        if was is None or is_ is None:
            amounts = (_amount(was), _amount(is_))
            found += compared(invoice.tenant, "line", named, amount_minor=amounts)
            continue
        fields = {name: (value, _fields(*is_)[name]) for name, value in _fields(*was).items()}
        fields["credits_minor"] = (was[1].credits_minor, paid[line_id])
        found += compared(invoice.tenant, "line", named, **fields)
    return found


def composed_again(invoice: FrozenInvoice, rated: Sequence[RatedPeriod]) -> Content:
    """Return the content of an invoice of `rated`; a tax that it did not bear then is nothing."""
    early = {line.line_id: line.progressive_credit_minor for line in invoice.lines}
    content = compose(invoice.invoice_id, rated, early)
    coupons = [one.coupon for one in invoice.coupons]
    used = use_coupons(content.lines, invoice.currency, coupons)
    content = with_coupons(content, used)
    taxes = {one.tax.code: one.tax for one in invoice.taxes}
    for code in (code for line in content.lines for code in line.fee.tax_codes):
        taxes.setdefault(code, Tax(code, "", Decimal(0)))
    content = with_taxes(content, TaxTerms(invoice.default_tax_codes, taxes))
    return with_notes(content, invoice.notes)


def coupon_differences(invoice: FrozenInvoice, content: Content) -> list[Difference]:
    """Return how much more or less the coupons take off of `content`."""
    again = {one.coupon.applied_coupon_id: one.amount_minor for one in content.coupons}
    return [
        one
        for use in invoice.coupons
        for one in compared(
            invoice.tenant,
            "coupon",
            {**invoice.names, "coupon_code": use.coupon.code},
            amount_minor=(use.amount_minor, again.get(use.coupon.applied_coupon_id, 0)),
        )
    ]


def tax_differences(invoice: FrozenInvoice, content: Content) -> list[Difference]:
    """Return how the taxes differ from those of `content`."""
    stored = {one.tax.code: one for one in invoice.taxes}
    again = {one.tax.code: one for one in content.taxes}
    found: list[Difference] = []
    for code in dict.fromkeys([*stored, *again]):
        was, is_ = stored.get(code), again.get(code)
        found += compared(
            invoice.tenant,
            "tax",
            {**invoice.names, "tax_code": code},
            base_minor=(was and was.base_minor, is_ and is_.base_minor),
            amount_minor=(was and was.amount_minor, is_ and is_.amount_minor),
        )
    return found


def number_differences(invoice: FrozenInvoice) -> list[Difference]:
    """Return a difference if the number shows none of the sequences that the invoice took.

    What comes before it, prefix and month or customer, is as the entity was then.
    """
    if invoice.status not in (Status.FINALIZED, Status.VOIDED):
        return compared(invoice.tenant, "invoice", invoice.names, number=(invoice.number, ""))
    endings = [f"{sequence:03}" for sequence in invoice.sequences if sequence is not None]
    shown = invoice.number.rpartition("-")[2]
    if shown in endings:
        return []
    wanted = " or ".join(endings)
    return [Difference(invoice.tenant, "invoice", invoice.names, "number", shown, wanted)]


def credit_differences(
    tenant: int, named: Names, stored: Iterable[Credit], paid: Iterable[Credit]
) -> list[Difference]:
    """Return how an invoice's credits differ from what the ledger paid of it."""
    was, is_ = _parts(stored), _parts(paid)
    found: list[Difference] = []
    for part in dict.fromkeys([*was, *is_]):
        line_id, wallet_id, grant_id, captured = part
        of_part = {
            **named,
            "line_id": str(line_id),
            "wallet_id": str(wallet_id),
            "grant_id": str(grant_id),
            "source": "captured" if captured else "available",
        }
        found += compared(tenant, "credit", of_part, amount_minor=(was.get(part), is_.get(part)))
    return found


def _fields(place: int, line: Line) -> dict[str, object]:
    """Return what of a line follows from its fee, and where it stands."""
    fee = line.fee
    return {
        "position": place,
        "charge_code": fee.charge_code,
        "filter_code": fee.filter_code,
        "group_values": fee.group_values,
        "meter_code": fee.meter_code,
        "description": fee.description,
        "units": fee.units,
        "event_count": fee.event_count,
        "exact_amount": fee.exact_amount,
        "amount_minor": fee.amount_minor,
        "breakdown": fee.breakdown,
        "coupons_minor": line.coupons_minor,
        "tax_codes": line.tax_codes,
        "tax_share_minor": line.tax_share_minor,
        "credit_notes_minor": line.credit_notes_minor,
        "subscription_id": line.subscription_id,
        "plan": (line.plan_code, line.plan_version),
        "period": (line.period.start, line.period.end),
        "days": (line.first_day, line.end_day, line.time_zone),
    }


def _amount(placed: tuple[int, Line] | None) -> int | None:
    return None if placed is None else placed[1].fee.amount_minor


def _parts(credits: Iterable[Credit]) -> Counter[Part]:
    parts: Counter[Part] = Counter()
    for one in credits:
        parts[one.line_id, one.wallet_id, one.grant_id, one.captured] += one.amount_minor
    return parts
