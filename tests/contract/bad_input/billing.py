"""What billing by hand refuses, by request and field; and its good requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.contract.bad_input.rules import (
    CURRENCY,
    OPTIONAL_CODE,
    PRICE,
    TEXT,
    UUID,
    Fields,
    Refusal,
    named,
)

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
    }
