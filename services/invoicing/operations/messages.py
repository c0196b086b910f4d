"""What the service knows, as its contracts say it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from libs.quantity import decimal_text
from libs.wire import civil_date, day_period, optional_time, period_message, timestamp
from services.invoicing.domain.coupon import CouponOrder
from services.invoicing.domain.credit_note import CreditNote, NoteAmounts, NoteItem, NoteStatus
from services.invoicing.domain.folded_lines import shown_lines
from services.invoicing.domain.invoice import Invoice, Kind, Status
from services.invoicing.domain.line import BreakdownRow, FeeKind, Line
from services.invoicing.domain.party import (
    Address,
    BillingEntity,
    IssueAdjustment,
    IssueAnchor,
    KnownCustomer,
    Numbering,
    ZeroInvoices,
)
from services.invoicing.domain.payment import InvoicePaymentStatus
from services.invoicing.domain.tax import KnownTax, TaxAmount
from services.invoicing.domain.voiding import Voiding
from services.invoicing.operations.coupon_messages import use_message
from tally.common.v1.period_pb2 import CivilDate
from tally.invoicing.v1 import (
    credit_note_service_pb2,
    customer_service_pb2,
    invoice_service_pb2,
    payment_service_pb2,
    progressive_credit_pb2,
    tax_service_pb2,
    tenant_service_pb2,
    voiding_pb2,
)

KIND = {
    Kind.SUBSCRIPTION: invoice_service_pb2.INVOICE_KIND_SUBSCRIPTION,
    Kind.INSTANT: invoice_service_pb2.INVOICE_KIND_INSTANT,
    Kind.PROGRESSIVE: invoice_service_pb2.INVOICE_KIND_PROGRESSIVE,
    Kind.ONE_OFF: invoice_service_pb2.INVOICE_KIND_ONE_OFF,
    Kind.CREDIT_PURCHASE: invoice_service_pb2.INVOICE_KIND_CREDIT_PURCHASE,
}
STATUS = {
    Status.DRAFT: invoice_service_pb2.INVOICE_STATUS_DRAFT,
    Status.FINALIZING: invoice_service_pb2.INVOICE_STATUS_FINALIZING,
    Status.OPEN: invoice_service_pb2.INVOICE_STATUS_OPEN,
    Status.FINALIZED: invoice_service_pb2.INVOICE_STATUS_FINALIZED,
    Status.SKIPPED: invoice_service_pb2.INVOICE_STATUS_SKIPPED,
    Status.VOIDED: invoice_service_pb2.INVOICE_STATUS_VOIDED,
}
PAYMENT_STATUS = {
    InvoicePaymentStatus.NONE: payment_service_pb2.INVOICE_PAYMENT_STATUS_NONE,
    InvoicePaymentStatus.PENDING: payment_service_pb2.INVOICE_PAYMENT_STATUS_PENDING,
    InvoicePaymentStatus.PROCESSING: payment_service_pb2.INVOICE_PAYMENT_STATUS_PROCESSING,
    InvoicePaymentStatus.PARTIALLY_PAID: payment_service_pb2.INVOICE_PAYMENT_STATUS_PARTIALLY_PAID,
    InvoicePaymentStatus.SUCCEEDED: payment_service_pb2.INVOICE_PAYMENT_STATUS_SUCCEEDED,
    InvoicePaymentStatus.FAILED: payment_service_pb2.INVOICE_PAYMENT_STATUS_FAILED,
}
NOTE_STATUS = {
    NoteStatus.AVAILABLE: credit_note_service_pb2.CREDIT_NOTE_STATUS_AVAILABLE,
    NoteStatus.CONSUMED: credit_note_service_pb2.CREDIT_NOTE_STATUS_CONSUMED,
    NoteStatus.VOIDED: credit_note_service_pb2.CREDIT_NOTE_STATUS_VOIDED,
}
LINE_KIND = {
    FeeKind.BASE: invoice_service_pb2.LINE_KIND_BASE,
    FeeKind.USAGE: invoice_service_pb2.LINE_KIND_USAGE,
    FeeKind.MINIMUM: invoice_service_pb2.LINE_KIND_MINIMUM,
    FeeKind.FIXED: invoice_service_pb2.LINE_KIND_FIXED,
    FeeKind.CORRECTION: invoice_service_pb2.LINE_KIND_CORRECTION,
    FeeKind.COMMITMENT: invoice_service_pb2.LINE_KIND_COMMITMENT,
    FeeKind.ADD_ON: invoice_service_pb2.LINE_KIND_ADD_ON,
}
NUMBERING = {
    Numbering.PER_ENTITY: tenant_service_pb2.NUMBERING_PER_ENTITY,
    Numbering.PER_CUSTOMER: tenant_service_pb2.NUMBERING_PER_CUSTOMER,
}
ZERO_INVOICES = {
    ZeroInvoices.FINALIZE: tenant_service_pb2.ZERO_INVOICES_FINALIZE,
    ZeroInvoices.SKIP: tenant_service_pb2.ZERO_INVOICES_SKIP,
}
ISSUE_ANCHOR = {
    None: tenant_service_pb2.ISSUE_ANCHOR_UNSPECIFIED,
    IssueAnchor.NEXT_PERIOD_START: tenant_service_pb2.ISSUE_ANCHOR_NEXT_PERIOD_START,
    IssueAnchor.CURRENT_PERIOD_END: tenant_service_pb2.ISSUE_ANCHOR_CURRENT_PERIOD_END,
}
ISSUE_ADJUSTMENT = {
    None: tenant_service_pb2.ISSUE_ADJUSTMENT_UNSPECIFIED,
    IssueAdjustment.ALIGN_WITH_FINALIZATION: (
        tenant_service_pb2.ISSUE_ADJUSTMENT_ALIGN_WITH_FINALIZATION
    ),
    IssueAdjustment.KEEP_ANCHOR: tenant_service_pb2.ISSUE_ADJUSTMENT_KEEP_ANCHOR,
}

COUPON_ORDER = {
    CouponOrder.SCOPE_THEN_AGE: tenant_service_pb2.COUPON_ORDER_SCOPE_THEN_AGE,
    CouponOrder.PERCENTAGES_FIRST: tenant_service_pb2.COUPON_ORDER_PERCENTAGES_FIRST,
}


def invoice_message(invoice: Invoice) -> invoice_service_pb2.Invoice:
    """Write an invoice, with the lines that are shown of those it holds, and its taxes."""
    period = invoice.period
    return invoice_service_pb2.Invoice(
        invoice_id=str(invoice.invoice_id),
        number=invoice.number,
        kind=KIND[invoice.kind],
        status=STATUS[invoice.status],
        customer_id=invoice.customer_id,
        customer_name=invoice.buyer.name,
        currency_code=invoice.currency,
        issue_date=optional_date(invoice.issue_date),
        due_date=optional_date(invoice.due_date),
        period=None if period is None else period_message(period.start, period.end),
        lines=[line_message(line) for line in shown_lines(invoice.invoice_id, invoice.lines)],
        progressive_credit_minor=invoice.progressive_credit_minor,
        progressive_credits=[
            progressive_credit_pb2.ProgressiveCredit(
                invoice_id=str(one.invoice_id), number=one.number, amount_minor=one.amount_minor
            )
            for one in invoice.early
        ],
        coupons_minor=invoice.coupons_minor,
        coupons=[use_message(use) for use in invoice.coupons],
        subtotal_minor=invoice.subtotal_minor,
        taxes=[tax_amount_message(tax) for tax in invoice.taxes],
        tax_minor=invoice.tax_minor,
        credit_notes_minor=invoice.credit_notes_minor,
        credit_notes=[
            invoice_service_pb2.AppliedCreditNote(
                credit_note_id=str(one.credit_note_id),
                number=one.number,
                amount_minor=one.amount_minor,
            )
            for one in invoice.notes
        ],
        credits_minor=invoice.credits_minor,
        total_minor=invoice.total_minor,
        finalized_at=optional_time(invoice.finalized_at),
        trace_id=invoice.trace_id,
        created_at=timestamp(invoice.created_at),
        time_zone=invoice.time_zone,
        tax_note=invoice.buyer.tax_note,
        billing_entity_code=invoice.entity_code,
        payment_status=PAYMENT_STATUS[invoice.payment_status],
        paid_minor=invoice.receivable.paid_minor if invoice.receivable else 0,
        due_minor=invoice.due_minor,
        overdue=invoice.receivable is not None and invoice.receivable.overdue_now,
        disputed=invoice.receivable is not None and invoice.receivable.disputed,
        voiding=None if invoice.voiding is None else voiding_message(invoice.voiding),
        reissue_of="" if invoice.reissue_of is None else str(invoice.reissue_of),
    )


def voiding_message(voiding: Voiding) -> voiding_pb2.Voiding:
    """Write how an invoice was voided."""
    again = voiding.reissued_as
    return voiding_pb2.Voiding(
        reason=voiding.reason,
        voided_at=timestamp(voiding.voided_at),
        reissued_as="" if again is None else str(again),
    )


def line_message(line: Line) -> invoice_service_pb2.InvoiceLine:
    """Write a line."""
    fee = line.fee
    adjusts = line.adjustment_sequence > 0
    timed = fee.kind is not FeeKind.ADD_ON
    return invoice_service_pb2.InvoiceLine(
        line_id=str(line.line_id),
        kind=invoice_service_pb2.LINE_KIND_ADJUSTMENT if adjusts else LINE_KIND[fee.kind],
        charge_code=fee.charge_code,
        filter_code=fee.filter_code,
        meter_code=fee.meter_code,
        description=fee.description,
        units=decimal_text(fee.units),
        event_count=fee.event_count,
        exact_amount=decimal_text(fee.exact_amount),
        amount_minor=fee.amount_minor,
        progressive_credit_minor=line.progressive_credit_minor,
        coupons_minor=line.coupons_minor,
        tax_codes=line.tax_codes,
        tax_share_minor=line.tax_share_minor,
        credit_notes_minor=line.credit_notes_minor,
        credits_minor=line.credits_minor,
        period_id=str(line.period_id) if timed else "",
        period=period_message(line.period.start, line.period.end) if timed else None,
        subscription_id=line.subscription_id,
        plan_code=line.plan_code,
        plan_version=line.plan_version,
        breakdown=[row_message(row) for row in fee.breakdown],
        group_values=[
            invoice_service_pb2.LineGroupValue(key=key, value=value)
            for key, value in fee.group_values
        ],
        trace_id=line.trace_id,
        adjustment_sequence=line.adjustment_sequence,
        days=day_period(line.first_day, line.end_day, line.time_zone) if timed else None,
        folded_lines=line.folded_lines,
    )


def row_message(row: BreakdownRow) -> invoice_service_pb2.LineBreakdownRow:
    """Write one step of a price."""
    return invoice_service_pb2.LineBreakdownRow(
        label=row.label,
        units=decimal_text(row.units),
        unit_amount=decimal_text(row.unit_amount),
        flat_amount=decimal_text(row.flat_amount),
        amount=decimal_text(row.amount),
        up_to="" if row.up_to is None else decimal_text(row.up_to),
        pricing_unit=row.pricing_unit,
    )


def tax_amount_message(tax: TaxAmount) -> invoice_service_pb2.InvoiceTax:
    """Write one tax of an invoice."""
    return invoice_service_pb2.InvoiceTax(
        tax_code=tax.tax.code,
        name=tax.tax.name,
        rate_percent=decimal_text(tax.tax.rate_percent),
        base_minor=tax.base_minor,
        amount_minor=tax.amount_minor,
    )


def credit_note_message(note: CreditNote) -> credit_note_service_pb2.CreditNote:
    """Write a credit note."""
    return credit_note_service_pb2.CreditNote(
        credit_note_id=str(note.credit_note_id),
        number=note.number,
        status=NOTE_STATUS[note.status],
        invoice_id=str(note.invoice_id),
        invoice_number=note.invoice_number,
        customer_id=note.customer_id,
        currency_code=note.currency,
        reason=note.reason,
        items=note_items(note.items),
        subtotal_minor=note.subtotal_minor,
        tax_minor=note.tax_minor,
        total_minor=note.total_minor,
        balance_minor=note.balance_minor,
        period_id="" if note.period_id is None else str(note.period_id),
        adjustment_sequence=note.sequence,
        issue_date=civil_date(note.issue_date),
        issued_at=timestamp(note.issued_at),
        voided_at=optional_time(note.voided_at),
        trace_id=note.trace_id,
    )


def estimate_message(
    invoice: Invoice, amounts: NoteAmounts, reason: str
) -> credit_note_service_pb2.CreditNote:
    """Write what a credit note on `invoice` would give back."""
    return credit_note_service_pb2.CreditNote(
        invoice_id=str(invoice.invoice_id),
        invoice_number=invoice.number,
        customer_id=invoice.customer_id,
        currency_code=invoice.currency,
        reason=reason,
        items=note_items(amounts.items),
        subtotal_minor=amounts.subtotal_minor,
        tax_minor=amounts.tax_minor,
        total_minor=amounts.total_minor,
        balance_minor=amounts.total_minor,
    )


def note_items(items: Iterable[NoteItem]) -> list[credit_note_service_pb2.CreditNoteItem]:
    """Write what is given back of each line."""
    return [
        credit_note_service_pb2.CreditNoteItem(
            line_id=str(item.line_id), amount_minor=item.amount_minor
        )
        for item in items
    ]


def customer_message(customer: KnownCustomer) -> customer_service_pb2.Customer:
    """Write a customer."""
    profile = customer.profile
    return customer_service_pb2.Customer(
        customer_id=profile.customer_id,
        name=profile.name,
        email=profile.email,
        address=address_message(profile.address),
        tax_id=profile.tax_id,
        tax_codes=profile.tax_codes,
        tax_exempt=profile.tax_exempt,
        tax_exempt_reason=profile.tax_exempt_reason,
        reverse_charge=profile.reverse_charge,
        time_zone=profile.time_zone,
        metadata=profile.metadata,
        stub=profile.stub,
        created_at=timestamp(customer.created_at),
        billing_entity_code=profile.entity_code,
        grace_days=profile.grace_days,
        net_terms_days=profile.net_terms_days,
        issue_anchor=ISSUE_ANCHOR[profile.issue_anchor],
        issue_adjustment=ISSUE_ADJUSTMENT[profile.issue_adjustment],
        self_billed=profile.self_billed,
        late_usage_days=profile.late_usage_days,
    )


def entity_message(entity: BillingEntity, *, is_default: bool) -> tenant_service_pb2.BillingEntity:
    """Write a billing entity."""
    return tenant_service_pb2.BillingEntity(
        code=entity.code,
        name=entity.name,
        address=address_message(entity.address),
        tax_id=entity.tax_id,
        number_prefix=entity.number_prefix,
        numbering=NUMBERING[entity.numbering],
        time_zone=entity.time_zone,
        default_tax_codes=entity.default_tax_codes,
        grace_days=entity.grace_days,
        net_terms_days=entity.net_terms_days,
        zero_invoices=ZERO_INVOICES[entity.zero_invoices],
        coupon_order=COUPON_ORDER[entity.coupon_order],
        issue_anchor=ISSUE_ANCHOR[entity.issue_anchor],
        issue_adjustment=ISSUE_ADJUSTMENT[entity.issue_adjustment],
        is_default=is_default,
        payment_details=entity.payment_details,
        footer=entity.footer,
    )


def address_message(address: Address) -> tenant_service_pb2.Address:
    """Write an address."""
    return tenant_service_pb2.Address(
        lines=address.lines,
        city=address.city,
        postal_code=address.postal_code,
        region=address.region,
        country_code=address.country_code,
    )


def tax_message(known: KnownTax) -> tax_service_pb2.Tax:
    """Write a tax."""
    return tax_service_pb2.Tax(
        code=known.tax.code,
        name=known.tax.name,
        rate_percent=decimal_text(known.tax.rate_percent),
        created_at=timestamp(known.created_at),
    )


def optional_date(day: date | None) -> CivilDate | None:
    """Write a day, absent if there is none."""
    return None if day is None else civil_date(day)
