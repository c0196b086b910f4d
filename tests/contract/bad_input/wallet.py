"""What the wallet refuses, by request and field."""

from __future__ import annotations

from collections.abc import Mapping

from tests.contract.bad_input.rules import (
    ABSENT,
    CODE,
    CURRENCY,
    FAILED,
    INSTANT,
    LONG,
    NOT_FOUND,
    OPTIONAL_CODE,
    OPTIONAL_TEXT,
    OUTPUT,
    PAGE,
    SOME_UUID,
    TEXT,
    UUID,
    AnyValue,
    Fields,
    Refusal,
    Rule,
    enum,
    missing,
    uuid_of,
    uuids,
)

FIXED = AnyValue("what does not change is ignored")
CREDITS: Rule = {
    "malformed": "1,5",
    "oversized": "1" * 65,
    "negative": "-1",
    "both": "1",  # With an amount, too.
}
ASKED: Fields = {
    "amount": ABSENT,
    "amount.currency_code": {
        **CURRENCY,
        "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
    },
    "amount.amount_minor": {
        "absent": Refusal(0, field="*"),
        "negative": Refusal(-1, field="*"),
        "oversized": Refusal(2**63 - 1, field="*"),
    },
    "credits": CREDITS,
}

LIMITS: Fields = {
    f"wallet.{name}.{field}": rule
    for name in ("top_up_minimum", "top_up_maximum")
    for field, rule in {
        "currency_code": {
            **CURRENCY,
            "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
        },
        "amount_minor": {"absent": Refusal(0, field="*"), "negative": -1},
    }.items()
} | {
    "wallet.top_up_minimum": AnyValue("absent: any"),
    "wallet.top_up_maximum": {
        "below the minimum": Refusal({"currency_code": "USD", "amount_minor": 99}, field="*")
    },
}

WALLET: Mapping[str, Fields] = {
    "tally.wallet.v1.WalletService.CreateWallet": {
        "request_id": UUID,
        "wallet": ABSENT,
        "wallet.wallet_id": OUTPUT,
        "wallet.created_at": OUTPUT,
        "wallet.customer_id": TEXT,
        "wallet.currency_code": CURRENCY,
        "wallet.name": OPTIONAL_TEXT,
        "wallet.code": OPTIONAL_CODE,
        "wallet.rate": {
            "malformed": "1,5",
            "oversized": "1000000001",
            "negative": "-1",
            "zero": "0",
        },
        "wallet.low_balance.currency_code": {
            **CURRENCY,
            "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
        },
        "wallet.low_balance.amount_minor": {"absent": Refusal(0, field="*"), "negative": -1},
        "wallet.soft_limit.currency_code": {
            **CURRENCY,
            "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
        },
        "wallet.soft_limit.amount_minor": {"absent": Refusal(0, field="*"), "negative": -1},
        **LIMITS,
        "wallet.expires_at": {**INSTANT, "past": {"seconds": 1}},
        "wallet.terminated_at": OUTPUT,
        "wallet.priority": {"negative": -1, "oversized": 101},
        "wallet.scope": AnyValue("absent: pays for everything"),
        "wallet.scope.fee_kinds": {"malformed": Refusal(["colour"], field="*")},
        "wallet.scope.meter_codes": {"malformed": Refusal(["a b"], field="*")},
    },
    "tally.wallet.v1.WalletService.GetWallet": {
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
    },
    "tally.wallet.v1.WalletService.ListWallets": {"customer_id": {"oversized": LONG}, **PAGE},
    "tally.wallet.v1.WalletService.GrantCredits": {
        "request_id": UUID,
        "grant": ABSENT,
        "grant.grant_id": OUTPUT,
        "grant.remaining": OUTPUT,
        "grant.created_at": OUTPUT,
        "grant.wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        "grant.kind": enum(),
        "grant.amount": ABSENT,
        "grant.amount.currency_code": {
            **CURRENCY,
            "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
        },
        "grant.amount.amount_minor": {
            "absent": Refusal(0, field="*"),
            "negative": Refusal(-1, field="*"),
            "oversized": Refusal(2**63 - 1, field="*"),
        },
        "grant.credits": CREDITS,
        "grant.remaining_credits": OUTPUT,
        "grant.priority": {"negative": -1, "oversized": 101},
        "grant.effective_at": INSTANT,
        "grant.expires_at": {**INSTANT, "past": {"seconds": 1}},
        "grant.reference": OPTIONAL_TEXT,
    },
    "tally.wallet.v1.WalletService.UpdateWallet": {
        "request_id": UUID,
        "wallet": ABSENT,
        "wallet.wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        "wallet.customer_id": FIXED,
        "wallet.currency_code": FIXED,
        "wallet.created_at": FIXED,
        "wallet.code": FIXED,
        "wallet.rate": FIXED,
        "wallet.expires_at": FIXED,
        "wallet.terminated_at": FIXED,
        "wallet.name": OPTIONAL_TEXT,
        "wallet.priority": {"negative": -1, "oversized": 101},
        "wallet.scope": AnyValue("absent: pays for everything"),
        "wallet.scope.fee_kinds": {"malformed": Refusal(["colour"], field="*")},
        "wallet.scope.meter_codes": {"malformed": Refusal(["a b"], field="*")},
        "wallet.low_balance.currency_code": {
            **CURRENCY,
            "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
        },
        "wallet.low_balance.amount_minor": {"absent": Refusal(0, field="*"), "negative": -1},
        "wallet.soft_limit.currency_code": {
            **CURRENCY,
            "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
        },
        "wallet.soft_limit.amount_minor": {"absent": Refusal(0, field="*"), "negative": -1},
        **LIMITS,
    },
    "tally.wallet.v1.WalletService.TerminateWallet": {
        "request_id": UUID,
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        "leftover": enum(),
    },
    "tally.wallet.v1.WalletService.VoidCredits": {
        "request_id": UUID,
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        **ASKED,
        "grant_id": {
            "malformed": "no-uuid",
            "unknown": Refusal(SOME_UUID, NOT_FOUND, "GRANT_NOT_FOUND", ""),
        },
    },
    "tally.wallet.v1.WalletService.TransferCredits": {
        "request_id": UUID,
        "source_wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        "target_wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        **ASKED,
    },
    "tally.wallet.v1.WalletService.GetBalance": {
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
    },
    "tally.wallet.v1.WalletService.ListGrants": {
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        **PAGE,
    },
    "tally.wallet.v1.WalletService.ListEntries": {
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        **PAGE,
    },
    "tally.wallet.v1.WalletService.ApplyCredits": {
        "invoice_id": UUID,
        "content_hash": {"absent": b"", "malformed": b"short", "oversized": b"x" * 33},
        "customer_id": TEXT,
        "currency_code": CURRENCY,
        "lines": AnyValue("an invoice of nothing has none; their fields follow"),
        "lines[0].line_id": UUID,
        "lines[0].fee_kind": CODE,
        "lines[0].meter_code": OPTIONAL_CODE,
        "lines[0].amount_minor": AnyValue("negative in an adjustment"),
        "lines[0].period.start": {**ABSENT, **INSTANT},
        "lines[0].period.end": {**ABSENT, **INSTANT},
        "lines[0].subscription_id": OPTIONAL_TEXT,
        "lines[0].target_wallet_code": OPTIONAL_CODE,
        "settled_periods[0].period_id": UUID,
        "settled_periods[0].subscription_id": TEXT,
        "settled_periods[0].period": {"absent": Refusal(None, field="*")},
        "as_of": INSTANT,
    },
    "tally.wallet.v1.WalletService.ReturnCredits": {"invoice_id": UUID, "as_of": INSTANT},
    "tally.wallet.v1.HoldService.Authorize": {
        "request_id": UUID,
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        "amount": ABSENT,
        "amount.currency_code": {
            **CURRENCY,
            "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
        },
        "amount.amount_minor": {
            "absent": Refusal(0, field="*"),
            "negative": Refusal(-1, field="*"),
            "oversized": Refusal(2**63 - 1, FAILED, "INSUFFICIENT_BALANCE", ""),
        },
        "ttl": {"negative": {"seconds": -1}, "oversized": {"seconds": 31 * 86_400}},
        "subscription_id": TEXT,
        "standalone": {"malformed": False},
    },
    "tally.wallet.v1.HoldService.Capture": {
        "request_id": UUID,
        "hold_id": {"absent": "", "malformed": "no-hold", **missing("hold", "HOLD_NOT_FOUND")},
        "amount": ABSENT,
        "amount.currency_code": {
            **CURRENCY,
            "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
        },
        "amount.amount_minor": {
            "negative": Refusal(-1, field="*"),
            "oversized": Refusal(2**62, FAILED, "CAPTURE_ABOVE_HOLD", ""),
        },
        "final": AnyValue("yes or no"),
    },
    "tally.wallet.v1.HoldService.Release": {
        "request_id": UUID,
        "hold_id": {"absent": "", "malformed": "no-hold", **missing("hold", "HOLD_NOT_FOUND")},
    },
    "tally.wallet.v1.HoldService.ExtendHold": {
        "request_id": UUID,
        "hold_id": {"absent": "", "malformed": "no-hold", **missing("hold", "HOLD_NOT_FOUND")},
        "amount": AnyValue("absent: only its deadline moves"),
        "amount.currency_code": {
            **CURRENCY,
            "another": Refusal("JPY", reason="CURRENCY_MISMATCH", field="*"),
        },
        "amount.amount_minor": {
            "absent": Refusal(0, field="*"),
            "negative": Refusal(-1, field="*"),
            "oversized": Refusal(2**63 - 1, FAILED, "INSUFFICIENT_BALANCE", ""),
        },
        "ttl": {"negative": {"seconds": -1}, "oversized": {"seconds": 31 * 86_400}},
    },
    "tally.wallet.v1.HoldService.ListHolds": {
        "wallet_id": uuid_of("wallet", "WALLET_NOT_FOUND"),
        "status": {"unknown": 99},
        "subscription_id": OPTIONAL_TEXT,
        **PAGE,
    },
    "tally.wallet.v1.HoldService.GetHold": {
        "hold_id": {"absent": "", "malformed": "no-hold", **missing("hold", "HOLD_NOT_FOUND")},
    },
    "tally.wallet.v1.LedgerService.ListGrantUses": {
        "grant_id": {"malformed": "no-uuid", "oversized": "1" * 300},
        "reference": OPTIONAL_TEXT,
        "line_id": {"malformed": "no-uuid"},
        "revenue_only": AnyValue("yes or no"),
        **PAGE,
    },
    "tally.wallet.v1.LedgerService.ListApplications": {
        "invoice_ids": uuids("invoice_ids"),
        **PAGE,
    },
}
