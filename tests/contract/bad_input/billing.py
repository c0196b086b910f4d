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
from tally.invoicing.v1.invoice_service_pb2 import (
    GetInvoiceRequest,
    Invoice,
    InvoiceKind,
    InvoiceStatus,
    ListInvoicesRequest,
)
from tally.invoicing.v1.tenant_service_pb2 import BillingEntity, UpdateBillingEntityRequest
from tally.rating.v1.subscription_service_pb2 import CreateSubscriptionRequest, Subscription
from tests.contract.bad_input.rules import (
    CURRENCY,
    LONG,
    NOT_FOUND,
    OPTIONAL_CODE,
    OPTIONAL_TEXT,
    PRICE,
    TEXT,
    UUID,
    Fields,
    Foreign,
    Refusal,
    missing,
    named,
    uuid_of,
)
from tests.wait import until

ADD_ON = {"name": "Setup", "units": "1", "unit_amount": "1"}


def adjusted(at: str) -> Fields:
    """What an adjusted fee refuses."""
    return {
        f"{at}.units": {**PRICE, "too much": "1" + "0" * 16},
        f"{at}.unit_amount": PRICE,
        f"{at}.name": OPTIONAL_TEXT,
    }


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
            "twice": ["a", "a"],
            "foreign": Refusal([Foreign("tax")], NOT_FOUND, "TAX_NOT_FOUND", ""),
        },
    },
    "tally.invoicing.v1.BillingService.RefreshDraft": {
        "request_id": UUID,
        "invoice_id": uuid_of("draft", "INVOICE_NOT_FOUND"),
    },
    "tally.invoicing.v1.BillingService.AdjustFee": {
        "request_id": UUID,
        "invoice_id": uuid_of("draft", "INVOICE_NOT_FOUND"),
        "adjusted_fee": {"absent": Refusal(None, field="*")},
        **adjusted("adjusted_fee"),
        "adjusted_fee.line_id": uuid_of("draft_line", "LINE_NOT_FOUND"),
    },
    "tally.invoicing.v1.BillingService.FinalizeInvoice": {
        "request_id": UUID,
        "invoice_id": uuid_of("due_draft", "INVOICE_NOT_FOUND"),
    },
    "tally.invoicing.v1.BillingService.PreviewInvoice": {
        "customer_id": {"oversized": LONG},
        "subscription_id": {
            "oversized": LONG,
            **missing("subscription", "SUBSCRIPTION_NOT_FOUND"),
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
        "adjusted_fees": {"oversized": Refusal([{}] * 101, field="*")},
        **adjusted("adjusted_fees[0]"),
        "adjusted_fees[0].line_id": UUID,
    },
}


def billing_requests(
    world: Mapping[str, str], command: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """The fields of a good request by method."""
    fee = {"units": "2", "unit_amount": "3", "name": "Set"}
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
            "adjusted_fees": [fee | {"line_id": world["voided_line"]}],
        },
        "invoicing.v1.BillingService.RefreshDraft": {**command, "invoice_id": world["draft"]},
        "invoicing.v1.BillingService.ExplainLine": {
            "invoice_id": world["draft"],
            "line_id": world["draft_line"],
        },
        "invoicing.v1.BillingService.AdjustFee": {
            **command,
            "invoice_id": world["draft"],
            "adjusted_fee": fee | {"line_id": world["draft_line"]},
        },
        "invoicing.v1.BillingService.PreviewInvoice": {
            "subscription_id": world["subscription"],
        },
        "invoicing.v1.BillingService.FinalizeInvoice": {
            **command,
            "invoice_id": world["due_draft"],
        },
    }


async def billed_by_hand(client: SuiteClient, world: Mapping[str, str]) -> dict[str, str]:
    """Return the ids of an invoice to void, and of one that is voided."""
    ids = dict(world)
    for key in ("to_void", "voided"):
        invoice = await _finalized(client, ids)
        ids[key] = invoice.invoice_id
    asked = billing_requests(ids, {"request_id": str(uuid4())})
    void = asked["invoicing.v1.BillingService.VoidInvoice"] | {"invoice_id": ids["voided"]}
    await client.billing.VoidInvoice(VoidInvoiceRequest(**void))
    return {
        "to_void": ids["to_void"],
        "voided": ids["voided"],
        "voided_line": invoice.lines[0].line_id,
    }


async def drafted(client: SuiteClient, world: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the ids of two drafts that wait for their grace, and of a line."""
    entity = BillingEntity(grace_days=60, number_prefix=name.upper())
    await client.tenants.UpdateBillingEntity(
        UpdateBillingEntityRequest(request_id=str(uuid4()), billing_entity=entity)
    )
    found: dict[str, str] = {}
    for key in ("draft", "due_draft"):
        subscription = Subscription(
            subscription_id=f"{name}-{key}", customer_id=f"{name}-{key}", plan_code=world["plan"]
        )
        await client.subscriptions.CreateSubscription(
            CreateSubscriptionRequest(request_id=str(uuid4()), subscription=subscription)
        )

        async def rated(customer: str = f"{name}-{key}") -> Invoice | None:
            listed = ListInvoicesRequest(customer_id=customer)
            for one in (await client.invoices.ListInvoices(listed)).invoices:
                if one.kind != InvoiceKind.INVOICE_KIND_SUBSCRIPTION:
                    continue  # Usage has reached a threshold, too.
                asked = GetInvoiceRequest(invoice_id=one.invoice_id)
                invoice = (await client.invoices.GetInvoice(asked)).invoice
                return invoice if invoice.lines else None
            return None

        invoice = await until(rated, describe=lambda: "no draft has lines")
        assert invoice is not None
        found[key] = invoice.invoice_id
        found.setdefault("draft_line", invoice.lines[0].line_id)
    return found


async def _finalized(client: SuiteClient, world: Mapping[str, str]) -> Invoice:
    good = billing_requests(world, {"request_id": str(uuid4())})
    made = CreateOneOffInvoiceRequest(**good["invoicing.v1.BillingService.CreateOneOffInvoice"])
    invoice_id = (await client.billing.CreateOneOffInvoice(made)).invoice.invoice_id

    async def finalized() -> Invoice | None:
        asked = GetInvoiceRequest(invoice_id=invoice_id)
        found = (await client.invoices.GetInvoice(asked)).invoice
        return found if found.status == InvoiceStatus.INVOICE_STATUS_FINALIZED else None

    invoice = await until(finalized, describe=lambda: "no invoice was finalized")
    assert invoice is not None
    return invoice
