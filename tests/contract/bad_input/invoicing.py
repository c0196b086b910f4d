"""What invoicing refuses, by request and field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.contract.bad_input.rules import (
    ABSENT,
    ALREADY_EXISTS,
    CHECK_ONLY,
    CODE,
    FAILED,
    LONG,
    NOT_FOUND,
    OPTIONAL_CODE,
    OPTIONAL_TEXT,
    OUTPUT,
    PAGE,
    PRICE,
    SOME_UUID,
    TEXT,
    UUID,
    ZONE,
    AnyValue,
    Fields,
    Foreign,
    Refusal,
    Rule,
    missing,
    named,
    uuid_of,
)

ENTITY_MISSING = missing("billing_entity", "BILLING_ENTITY_NOT_FOUND")
NOTICE: Rule = {"oversized": "a" * 501, "NUL": "a\x00"}
BILLING_ENTITY: Fields = {
    "billing_entity": ABSENT,
    "billing_entity.name": OPTIONAL_TEXT,
    "billing_entity.address": AnyValue("may be absent; its fields follow"),
    "billing_entity.address.lines": {
        "oversized": Refusal(["a"] * 5),
        "line oversized": Refusal([LONG], field="*"),
    },
    "billing_entity.address.city": OPTIONAL_TEXT,
    "billing_entity.address.postal_code": OPTIONAL_TEXT,
    "billing_entity.address.region": OPTIONAL_TEXT,
    "billing_entity.address.country_code": {"malformed": "au", "oversized": "AUS"},
    "billing_entity.tax_id": OPTIONAL_TEXT,
    "billing_entity.number_prefix": {
        "malformed": "in v",
        "ending": "A-CN",
        "oversized": "A" * 13,
        "foreign": Refusal("TAKEN", ALREADY_EXISTS, "NUMBER_PREFIX_TAKEN", ""),
    },
    "billing_entity.numbering": {"malformed": 99},
    "billing_entity.time_zone": ZONE,
    "billing_entity.default_tax_codes": {
        "malformed": Refusal(["a b"], field="*"),
        "foreign": Refusal([Foreign("tax")], NOT_FOUND, "TAX_NOT_FOUND", ""),
    },
    "billing_entity.grace_days": {"negative": -1, "oversized": 61},
    "billing_entity.net_terms_days": {"negative": -1, "oversized": 366},
    "billing_entity.zero_invoices": {"malformed": 99},
    "billing_entity.coupon_order": {"malformed": 99},
    "billing_entity.issue_anchor": {"malformed": 99},
    "billing_entity.issue_adjustment": {"malformed": 99},
    "billing_entity.is_default": AnyValue("either is meant"),
    "billing_entity.payment_details": NOTICE,
    "billing_entity.footer": NOTICE,
}

INVOICING: Mapping[str, Fields] = {
    "tally.invoicing.v1.TenantService.CreateBillingEntity": {
        "request_id": UUID,
        "billing_entity.code": CODE,
        **BILLING_ENTITY,
    },
    "tally.invoicing.v1.TenantService.UpdateBillingEntity": {
        "request_id": UUID,
        "billing_entity.code": {**OPTIONAL_CODE, **ENTITY_MISSING},
        **BILLING_ENTITY,
    },
    "tally.invoicing.v1.TenantService.GetBillingEntity": {
        "code": {**OPTIONAL_CODE, **ENTITY_MISSING},
    },
    "tally.invoicing.v1.TenantService.ListBillingEntities": {**PAGE},
    "tally.invoicing.v1.CustomerService.UpsertCustomer": {
        "request_id": UUID,
        "customer": ABSENT,
        "customer.stub": OUTPUT,
        "customer.created_at": OUTPUT,
        "customer.customer_id": TEXT,
        "customer.name": OPTIONAL_TEXT,
        "customer.email": OPTIONAL_TEXT,
        "customer.address": AnyValue("may be absent; its fields follow"),
        "customer.address.lines": {"oversized": Refusal(["a"] * 5)},
        "customer.address.city": OPTIONAL_TEXT,
        "customer.address.postal_code": OPTIONAL_TEXT,
        "customer.address.region": OPTIONAL_TEXT,
        "customer.address.country_code": {"malformed": "au", "oversized": "AUS"},
        "customer.tax_id": OPTIONAL_TEXT,
        "customer.tax_codes": {
            "malformed": Refusal(["a b"], field="*"),
            "foreign": Refusal([Foreign("tax")], NOT_FOUND, "TAX_NOT_FOUND", ""),
        },
        "customer.tax_exempt": AnyValue("yes or no"),
        "customer.tax_exempt_reason": {**OPTIONAL_TEXT, "without need": "Charity"},
        "customer.reverse_charge": AnyValue("yes or no"),
        "customer.time_zone": ZONE,
        "customer.billing_entity_code": {**OPTIONAL_CODE, **ENTITY_MISSING},
        "customer.grace_days": {"negative": -1, "oversized": 61},
        "customer.net_terms_days": {"negative": -1, "oversized": 366},
        "customer.issue_anchor": {"malformed": 99},
        "customer.issue_adjustment": {"malformed": 99},
        "customer.self_billed": AnyValue("yes or no"),
        "customer.late_usage_days": {"negative": -1, "oversized": 367},
        "customer.metadata": {
            "oversized": Refusal({f"k{n}": "v" for n in range(51)}, field="*"),
            "key oversized": Refusal({"k" * 65: "v"}, field="*"),
            "value oversized": Refusal({"k": "v" * 501}, field="*"),
        },
    },
    "tally.invoicing.v1.CustomerService.GetCustomer": {
        "customer_id": named(TEXT, "customer", "CUSTOMER_NOT_FOUND"),
    },
    "tally.invoicing.v1.CustomerService.ListCustomers": PAGE,
    "tally.invoicing.v1.TaxService.CreateTax": {
        "request_id": UUID,
        "tax": ABSENT,
        "tax.created_at": OUTPUT,
        "tax.code": CODE,
        "tax.name": OPTIONAL_TEXT,
        "tax.rate_percent": {**PRICE, "above": "100.01"},
    },
    "tally.invoicing.v1.TaxService.ListTaxes": PAGE,
    "tally.invoicing.v1.InvoiceService.GetInvoice": {
        "invoice_id": uuid_of("invoice", "INVOICE_NOT_FOUND"),
        "number": {
            "absent": Refusal("", field="*"),
            "oversized": LONG,
            **missing("invoice_number", "INVOICE_NOT_FOUND"),
        },
    },
    "tally.invoicing.v1.InvoiceService.ListInvoices": {
        "customer_id": {"oversized": LONG},
        "status": {"malformed": 99},
        "payment_status": {"malformed": 99},
        "overdue": AnyValue("yes or no"),
        **PAGE,
    },
    "tally.invoicing.v1.InvoiceService.ListFoldedLines": {
        "invoice_id": uuid_of("invoice", "INVOICE_NOT_FOUND"),
        "line_id": uuid_of("line", "LINE_NOT_FOUND"),
        **PAGE,
    },
    "tally.invoicing.v1.InvoiceService.RenderInvoice": {
        "invoice_id": uuid_of("invoice", "INVOICE_NOT_FOUND"),
        "format": {"malformed": 99},
    },
    "tally.invoicing.v1.CreditNoteService.GetCreditNote": {
        "credit_note_id": uuid_of("credit_note", "CREDIT_NOTE_NOT_FOUND"),
        "number": {
            "absent": Refusal("", field="*"),
            "oversized": LONG,
            **missing("credit_note_number", "CREDIT_NOTE_NOT_FOUND"),
        },
    },
    "tally.invoicing.v1.CreditNoteService.RenderCreditNote": {
        "credit_note_id": uuid_of("credit_note", "CREDIT_NOTE_NOT_FOUND"),
        "format": {"malformed": 99},
    },
    "tally.invoicing.v1.CreditNoteService.ListCreditNotes": {
        "customer_id": {"oversized": LONG},
        "invoice_id": {"malformed": "no-uuid", "oversized": "1" * 300},
        **PAGE,
    },
    "tally.invoicing.v1.CreditNoteService.CreateCreditNote": {
        "request_id": UUID,
        "invoice_id": uuid_of("invoice", "INVOICE_NOT_FOUND"),
        "items": {
            "absent": [],
            "oversized": [{"line_id": SOME_UUID, "amount_minor": 1}] * 1_001,
            "twice": Refusal(
                [{"line_id": SOME_UUID, "amount_minor": 1}] * 2, field="items[1].line_id"
            ),
        },
        "items[0].line_id": uuid_of("line", "LINE_NOT_FOUND"),
        "items[0].amount_minor": {
            "absent": 0,
            "negative": -1,
            "above": Refusal(10**15, FAILED, "CREDIT_EXCEEDS_LINE", ""),
        },
        "reason": {"malformed": "a\x00b", "oversized": "a" * 501},
        "validate_only": CHECK_ONLY,
    },
    "tally.invoicing.v1.CreditNoteService.VoidCreditNote": {
        "request_id": UUID,
        "credit_note_id": uuid_of("credit_note", "CREDIT_NOTE_NOT_FOUND"),
    },
}


def credit_note_requests(
    world: Mapping[str, str], command: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return a good request of every method of credit notes."""
    return {
        "invoicing.v1.CreditNoteService.GetCreditNote": {"credit_note_id": world["credit_note"]},
        "invoicing.v1.CreditNoteService.RenderCreditNote": {
            "credit_note_id": world["credit_note"],
            "format": "DOCUMENT_FORMAT_HTML",
        },
        "invoicing.v1.CreditNoteService.ListCreditNotes": {},
        "invoicing.v1.CreditNoteService.CreateCreditNote": {
            **command,
            "invoice_id": world["invoice"],
            "items": [{"line_id": world["line"], "amount_minor": 1}],
        },
        "invoicing.v1.CreditNoteService.VoidCreditNote": {
            **command,
            "credit_note_id": world["credit_note"],
        },
    }
