"""Good requests of invoicing."""

from __future__ import annotations

from typing import Any

from tests.contract.bad_input.billing import billing_requests

World = dict[str, str]

ADDRESS = {"lines": ["1 Main St"], "city": "Melbourne", "country_code": "AU"}


def invoicing(world: World, fresh: str, command: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return a good request of each of its RPCs; what they make is named by `fresh`."""
    customer = {"customer_id": fresh, "address": ADDRESS}
    return {
        "invoicing.v1.TenantService.CreateBillingEntity": {
            **command,
            "billing_entity": {"code": fresh, "number_prefix": fresh[4:12].upper()},
        },
        "invoicing.v1.TenantService.ListBillingEntities": {},
        "invoicing.v1.TenantService.GetBillingEntity": {},
        "invoicing.v1.TenantService.UpdateBillingEntity": {
            **command,
            "billing_entity": {"name": "Seller", "address": ADDRESS},
        },
        "invoicing.v1.CustomerService.UpsertCustomer": {**command, "customer": customer},
        "invoicing.v1.CustomerService.GetCustomer": {"customer_id": world["customer"]},
        "invoicing.v1.CustomerService.ListCustomers": {},
        "invoicing.v1.TaxService.CreateTax": {
            **command,
            "tax": {"code": fresh, "name": "Tax", "rate_percent": "10"},
        },
        "invoicing.v1.TaxService.ListTaxes": {},
        "invoicing.v1.InvoiceService.GetInvoice": {"invoice_id": world["invoice"]},
        "invoicing.v1.InvoiceService.ListInvoices": {},
        "invoicing.v1.InvoiceService.ListFoldedLines": {
            "invoice_id": world["invoice"],
            "line_id": world["line"],
        },
        "invoicing.v1.InvoiceService.RenderInvoice": {"invoice_id": world["invoice"]},
        **billing_requests(world, command),
        "invoicing.v1.CreditNoteService.GetCreditNote": {"credit_note_id": world["credit_note"]},
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
