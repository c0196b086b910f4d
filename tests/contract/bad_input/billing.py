"""What billing by hand refuses, by request and field; its good requests, and what they name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from cli.client import SuiteClient
from tally.invoicing.v1.billing_service_pb2 import (
    CreateOneOffInvoiceRequest,
    VoidInvoiceRequest,
)
from tally.invoicing.v1.invoice_service_pb2 import GetInvoiceRequest, Invoice, InvoiceStatus
from tests.contract.bad_input.rules import (
    CURRENCY,
    NOT_FOUND,
    OPTIONAL_CODE,
    PRICE,
    TEXT,
    UUID,
    Fields,
    Foreign,
    Refusal,
    named,
    uuid_of,
)
from tests.wait import until

ADD_ON = {"name": "Setup", "units": "1", "unit_amount": "1"}

BILLING: Mapping[str, Fields] = {
    "tally.invoicing.v1.BillingService.CreateOneOffInvoice": {
        "request_id": UUID,
        "customer_id": named(TEXT, "customer", "CUSTOMER_NOT_FOUND"),
        "currency_code": CURRENCY,
        "add_ons": {"absent": Refusal([]), "oversized": Refusal([ADD_ON] * 1_001, field="*")},
        "add_ons[0].code": {
            **OPTIONAL_CODE,
            "twice": Refusal("add-on-2", field="add_ons[1].code"),
        },
        "add_ons[0].name": TEXT,
        "add_ons[0].units": {**PRICE, "zero": "0", "too much": "1" + "0" * 16},
        "add_ons[0].unit_amount": PRICE,
        "add_ons[0].tax_codes": {
            "malformed": Refusal(["a b"], field="*"),
            "foreign": Refusal([Foreign("tax")], NOT_FOUND, "TAX_NOT_FOUND", ""),
        },
    },
    "tally.invoicing.v1.BillingService.VoidInvoice": {
        "request_id": UUID,
        "invoice_id": uuid_of("to_void", "INVOICE_NOT_FOUND"),
        "reason": {"absent": "", "malformed": "a\x00b", "oversized": "a" * 501},
    },
    "tally.invoicing.v1.BillingService.ReissueInvoice": {
        "request_id": UUID,
        "invoice_id": uuid_of("voided", "INVOICE_NOT_FOUND"),
    },
}


def billing_requests(
    world: Mapping[str, str], command: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """The fields of a good request by method."""
    return {
        "invoicing.v1.BillingService.CreateOneOffInvoice": {
            **command,
            "customer_id": world["customer"],
            "currency_code": "EUR",
            "add_ons": [
                {"code": "setup", "name": "Setup", "units": "1", "unit_amount": "1"},
                {"name": "Hours", "units": "2.5", "unit_amount": "80"},
            ],
        },
        "invoicing.v1.BillingService.VoidInvoice": {
            **command,
            "invoice_id": world["to_void"],
            "reason": "Disputed",
        },
        "invoicing.v1.BillingService.ReissueInvoice": {
            **command,
            "invoice_id": world["voided"],
        },
    }


async def billed_by_hand(client: SuiteClient, world: Mapping[str, str]) -> dict[str, str]:
    """Return the ids of an invoice to void, and of one that is voided."""
    ids = dict(world)
    for key in ("to_void", "voided"):
        ids[key] = await _finalized(client, ids)
    asked = billing_requests(ids, {"request_id": str(uuid4())})
    void = asked["invoicing.v1.BillingService.VoidInvoice"] | {"invoice_id": ids["voided"]}
    await client.billing.VoidInvoice(VoidInvoiceRequest(**void))
    return {key: ids[key] for key in ("to_void", "voided")}


async def _finalized(client: SuiteClient, world: Mapping[str, str]) -> str:
    good = billing_requests(world, {"request_id": str(uuid4())})
    made = CreateOneOffInvoiceRequest(**good["invoicing.v1.BillingService.CreateOneOffInvoice"])
    invoice_id = (await client.billing.CreateOneOffInvoice(made)).invoice.invoice_id

    async def finalized() -> Invoice | None:
        asked = GetInvoiceRequest(invoice_id=invoice_id)
        found = (await client.invoices.GetInvoice(asked)).invoice
        return found if found.status == InvoiceStatus.INVOICE_STATUS_FINALIZED else None

    await until(finalized, describe=lambda: "no invoice was finalized")
    return invoice_id
