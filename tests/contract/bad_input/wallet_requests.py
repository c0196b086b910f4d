"""A good request of each method of the wallet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

USD = {"currency_code": "USD", "amount_minor": 100}
LIMITS = {"top_up_minimum": USD, "top_up_maximum": {**USD, "amount_minor": 10**9}}


def wallet_requests(world: Mapping[str, str], command: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The fields of a good request by method; `command` has a request id not used before."""
    wallet = {
        "customer_id": "new",
        "currency_code": "USD",
        "scope": {"fee_kinds": ["usage"]},
        "low_balance": USD,
        "soft_limit": USD,
        **LIMITS,
    }
    grant = {"wallet_id": world["wallet"], "kind": "GRANT_KIND_GRANTED", "amount": USD}
    hold = {"wallet_id": world["wallet"], "amount": USD, "subscription_id": "s"}
    of_wallet = {"wallet_id": world["wallet"]}
    rule = {
        **of_wallet,
        "threshold": {"threshold_minor": 5},
        "target": {"target_minor": 200, "granted": True},
    }
    changed = {**rule, "rule_id": world["rule"]}
    ending = {"rule_id": world["ending_rule"]}
    return {
        "wallet.v1.WalletService.CreateWallet": {**command, "wallet": wallet},
        "wallet.v1.WalletService.GetWallet": of_wallet,
        "wallet.v1.WalletService.ListWallets": {},
        "wallet.v1.WalletService.GrantCredits": {**command, "grant": grant},
        "wallet.v1.WalletService.UpdateWallet": {
            **command,
            "wallet": {
                "wallet_id": world["wallet"],
                "scope": {"fee_kinds": ["usage"]},
                "low_balance": USD,
                "soft_limit": USD,
                **LIMITS,
            },
        },
        "wallet.v1.WalletService.TerminateWallet": {
            **command,
            "wallet_id": world["spare_wallet"],
            "leftover": "LEFTOVER_VOID",
        },
        "wallet.v1.WalletService.VoidCredits": {**command, **of_wallet, "amount": USD},
        "wallet.v1.WalletService.TransferCredits": {
            **command,
            "source_wallet_id": world["wallet"],
            "target_wallet_id": world["other_wallet"],
            "amount": USD,
        },
        "wallet.v1.WalletService.TopUp": {
            **command,
            "top_up": {**of_wallet, "paid": USD, "granted": USD, "requires_payment": True},
        },
        "wallet.v1.WalletService.ListTopUps": of_wallet,
        "wallet.v1.TopUpRuleService.CreateTopUpRule": {**command, "rule": rule},
        "wallet.v1.TopUpRuleService.UpdateTopUpRule": {**command, "rule": changed},
        "wallet.v1.TopUpRuleService.ArchiveTopUpRule": {**command, **ending},
        "wallet.v1.TopUpRuleService.GetTopUpRule": {"rule_id": world["rule"]},
        "wallet.v1.TopUpRuleService.ListTopUpRules": of_wallet,
        "wallet.v1.WalletService.GetBalance": of_wallet,
        "wallet.v1.WalletService.ListGrants": of_wallet,
        "wallet.v1.WalletService.ListEntries": of_wallet,
        "wallet.v1.WalletService.ApplyCredits": paying(),
        "wallet.v1.WalletService.ReturnCredits": {"invoice_id": str(uuid4())},
        "wallet.v1.HoldService.Authorize": {**command, **hold},
        "wallet.v1.HoldService.Capture": {**command, "hold_id": world["hold"], "amount": USD},
        "wallet.v1.HoldService.Release": {**command, "hold_id": world["released"]},
        "wallet.v1.HoldService.ExtendHold": {
            **command,
            "hold_id": world["hold"],
            "amount": USD,
            "ttl": {"seconds": 60},
        },
        "wallet.v1.HoldService.ListHolds": {**of_wallet, "subscription_id": "s"},
        "wallet.v1.HoldService.GetHold": {"hold_id": world["hold"]},
        "wallet.v1.LedgerService.ListGrantUses": {"reference": world["hold"]},
        "wallet.v1.LedgerService.ListApplications": {"invoice_ids": [world["invoice"]]},
    }


def paying() -> dict[str, Any]:
    """A new invoice of one line that asks the wallets to pay."""
    period = {"start": {"seconds": 1}, "end": {"seconds": 2}}
    line = {"line_id": str(uuid4()), "fee_kind": "usage", "amount_minor": 5, "period": period}
    settled = {"period_id": str(uuid4()), "subscription_id": "s", "period": period}
    return {
        "invoice_id": str(uuid4()),
        "content_hash": b"x" * 32,
        "customer_id": "new",
        "currency_code": "USD",
        "lines": [line],
        "settled_periods": [settled],
    }
