"""What payments refuse, by request and field; and their good requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from tests.contract.bad_input.rules import (
    ABSENT,
    CURRENCY,
    FAILED,
    INSTANT,
    LONG,
    OPTIONAL_TEXT,
    PAGE,
    TEXT,
    UUID,
    AnyValue,
    Fields,
    Refusal,
    named,
    uuid_of,
)

PAYING: Mapping[str, Fields] = {
    "tally.invoicing.v1.PaymentService.RecordPayment": {
        "request_id": UUID,
        "invoice_id": uuid_of("invoice", "INVOICE_NOT_FOUND"),
        "amount": ABSENT,
        "amount.currency_code": {
            **CURRENCY,
            "other": Refusal("EUR", reason="CURRENCY_MISMATCH", field=""),
        },
        "amount.amount_minor": {
            "absent": 0,
            "negative": -1,
            "above": Refusal(10**15, FAILED, "PAYMENT_EXCEEDS_DUE", ""),
        },
        "reference": OPTIONAL_TEXT,
        "received_at": {**INSTANT, "future": {"seconds": 253_402_300_799}},
    },
    "tally.invoicing.v1.PaymentService.GetPayment": {
        "payment_id": uuid_of("payment", "PAYMENT_NOT_FOUND"),
    },
    "tally.invoicing.v1.PaymentService.ListPayments": {
        "customer_id": {"oversized": LONG},
        "invoice_id": {"malformed": "no-uuid", "oversized": "1" * 300},
        **PAGE,
    },
    "tally.invoicing.v1.PaymentService.SetPaymentMethod": {
        "request_id": UUID,
        "payment_method": ABSENT,
        "payment_method.customer_id": named(TEXT, "customer", "CUSTOMER_NOT_FOUND"),
        "payment_method.provider": {"absent": "", "unknown": "bank", "oversized": LONG},
        "payment_method.provider_customer_id": TEXT,
        "payment_method.provider_method_id": TEXT,
    },
    "tally.invoicing.v1.PaymentService.GetPaymentMethod": {
        "customer_id": named(TEXT, "customer", "PAYMENT_METHOD_NOT_FOUND"),
    },
    "tally.invoicing.v1.PaymentService.RemovePaymentMethod": {
        "request_id": UUID,
        "customer_id": named(TEXT, "customer", "CUSTOMER_NOT_FOUND"),
    },
    "tally.invoicing.v1.DunningService.SetDunningCampaign": {
        "request_id": UUID,
        "campaign": ABSENT,
        "campaign.step_days": {
            "zero": [0],
            "falling": [7, 3],
            "twice": [3, 3],
            "late": [366],
            "oversized": list(range(1, 22)),
        },
        "campaign.thresholds": {
            "oversized": [{"currency_code": "USD", "amount_minor": 1}] * 201,
            "twice": Refusal(
                [{"currency_code": "USD", "amount_minor": 1}] * 2,
                field="campaign.thresholds[1].currency_code",
            ),
        },
        "campaign.thresholds[0].currency_code": CURRENCY,
        "campaign.thresholds[0].amount_minor": {"negative": -1},
    },
    "tally.invoicing.v1.DunningService.CreatePaymentRequest": {
        "request_id": UUID,
        "customer_id": named(TEXT, "customer", "CUSTOMER_NOT_FOUND"),
        "currency_code": {
            **CURRENCY,
            "other": Refusal("CHF", FAILED, "NOTHING_DUE", ""),
        },
        "all_due": AnyValue("yes or no"),
    },
    "tally.invoicing.v1.DunningService.GetPaymentRequest": {
        "payment_request_id": uuid_of("payment_request", "PAYMENT_REQUEST_NOT_FOUND"),
    },
    "tally.invoicing.v1.DunningService.ListPaymentRequests": {
        "customer_id": {"oversized": LONG},
        **PAGE,
    },
    "tally.invoicing.v1.DunningService.PayPaymentRequest": {
        "request_id": UUID,
        "payment_request_id": uuid_of("payment_request", "PAYMENT_REQUEST_NOT_FOUND"),
        "amount": ABSENT,
        "amount.currency_code": {
            **CURRENCY,
            "other": Refusal("EUR", reason="CURRENCY_MISMATCH", field=""),
        },
        "amount.amount_minor": {
            "absent": 0,
            "negative": -1,
            "above": Refusal(10**15, FAILED, "PAYMENT_EXCEEDS_DUE", ""),
        },
        "reference": OPTIONAL_TEXT,
    },
    "tally.invoicing.v1.PaymentService.ChargeInvoice": {
        "request_id": UUID,
        "invoice_id": uuid_of("invoice", "INVOICE_NOT_FOUND"),
    },
}


def payment_requests(
    world: Mapping[str, str], command: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """Return a good request of every method."""
    return {
        "invoicing.v1.PaymentService.RecordPayment": {
            **command,
            "invoice_id": world["invoice"],
            "amount": {"currency_code": "USD", "amount_minor": 1},
            "reference": f"wire {uuid4()}",
        },
        "invoicing.v1.PaymentService.GetPayment": {"payment_id": world["payment"]},
        "invoicing.v1.PaymentService.ListPayments": {},
        "invoicing.v1.PaymentService.SetPaymentMethod": {
            **command,
            "payment_method": {
                "customer_id": world["customer"],
                "provider": "stripe",
                "provider_customer_id": "cus_1",
                "provider_method_id": f"pm_{uuid4()}",
            },
        },
        "invoicing.v1.PaymentService.GetPaymentMethod": {"customer_id": world["customer"]},
        "invoicing.v1.PaymentService.RemovePaymentMethod": {
            **command,
            "customer_id": world["unpaying"],
        },
        "invoicing.v1.DunningService.SetDunningCampaign": {
            **command,
            "campaign": {
                "step_days": [3, 7],
                # Of as many bytes each time: the fuzzer draws its mutations from them.
                "thresholds": [
                    {"currency_code": "USD", "amount_minor": 10**8 + int(uuid4()) % 10**8}
                ],
            },
        },
        "invoicing.v1.DunningService.GetDunningCampaign": {},
        "invoicing.v1.DunningService.CreatePaymentRequest": {
            **command,
            "customer_id": world["customer"],
            "currency_code": "USD",
            "all_due": True,
        },
        "invoicing.v1.DunningService.GetPaymentRequest": {
            "payment_request_id": world["payment_request"],
        },
        "invoicing.v1.DunningService.ListPaymentRequests": {},
        "invoicing.v1.DunningService.PayPaymentRequest": {
            **command,
            "payment_request_id": world["payment_request"],
            "amount": {"currency_code": "USD", "amount_minor": 1},
            "reference": f"wire {uuid4()}",
        },
        "invoicing.v1.PaymentService.ChargeInvoice": {**command, "invoice_id": world["invoice"]},
    }
